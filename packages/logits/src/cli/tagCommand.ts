import { Option, type Command } from "commander";
import { message } from "@logits/tensor";
import { UsageError, parseCount } from "./input.ts";
import { tagApply, tagEvaluate, tagTrain } from "./tag.ts";

/** The weight of a penalty: 0 or more. */
function parsePenalty(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(text.trim() !== "" && value >= 0 && value < Infinity)) throw new UsageError(message("logits", option, "a finite number >= 0", JSON.stringify(text)));
    return value;
  };
}

/** Options that say what the files hold. */
function corpusOptions(command: Command): Command {
  return command
    .addOption(new Option("--format <kind>", "of the files; without: conllu where the name ends so (also with .gz), else conll").choices(["conll", "conllu"]))
    .option("--separator <text>", "between the columns of conll, \\t for a tab; without: white space")
    .option("--label-column <column>", "index from 0, from the end where negative, or a name of conllu; without: the last, upos")
    .option("--columns <list>", "columns that the templates read as 0, 1, ...; without: those of conll in their order, form of conllu");
}

/** The commands on taggers. */
export function addTagCommands(program: Command): void {
  const tag = program.command("tag").description("Train a tagger on labelled sentences, label others with it, measure it.");
  corpusOptions(tag.command("train").description("Learn from labelled sentences and write a model.").argument("<files...>", "labelled sentences, CoNLL or CoNLL-U, also .gz"))
    .requiredOption("--model <file>", "where the model goes")
    .option("--features <file>", "templates, one a line: %x[row,column], %lower, %shape, %brief, %prefix[row,column,n], %suffix; without: a set for words")
    .addOption(new Option("--method <name>", "how to learn").choices(["lbfgs", "owlqn", "averaged-perceptron"]))
    .option("--l1 <number>", "weight of sum |w|, 0 or more (0); makes the method owlqn", parsePenalty("--l1"))
    .option("--l2 <number>", "weight of sum w^2 / 2, 0 or more (0.3)", parsePenalty("--l2"))
    .option("--min-count <integer>", "attributes that are seen less often are left out (1)", parseCount("--min-count", 1))
    .option("--max-iterations <integer>", "steps at most (100)", parseCount("--max-iterations", 1))
    .option("--epochs <integer>", "passes of the perceptron at most (10)", parseCount("--epochs", 1))
    .option("--seed <integer>", "of the perceptron's order (0)", parseCount("--seed", 0))
    .option("--dev <file>", "labelled sentences to measure the model on")
    .option("--json", "the figures as JSON")
    .addHelpText("after", `
Examples:
  logits tag train en_ewt-ud-train.conllu --dev en_ewt-ud-dev.conllu --model pos.tagger
  logits tag train train.conll --separator "\\t" --features templates.txt --l1 0.5 --model ner.tagger

Exit codes: 0 done, 2 wrong usage or input (nothing written).`)
    .action(tagTrain);
  corpusOptions(tag.command("apply").description("Label sentences: conll gets a column more, of conllu the label column is replaced.").argument("[files...]", "sentences; none or - reads stdin"))
    .requiredOption("--model <file>", "as `logits tag train` wrote it")
    .option("--probabilities", "the probability of each label too: a column of conll, Probability= in misc of conllu")
    .addHelpText("after", `
Examples:
  logits tag apply --model pos.tagger new.conllu > tagged.conllu
  cut -f1 test.conll | logits tag apply --model ner.tagger --probabilities

Exit codes: 0 done, 2 wrong usage or input.`)
    .action(tagApply);
  corpusOptions(tag.command("evaluate").description("Compare a model's labels with right ones: tokens, sentences and, for BIO or BIOES tags, spans.").argument("<files...>", "labelled sentences"))
    .requiredOption("--model <file>", "as `logits tag train` wrote it")
    .option("--json", "the figures as JSON")
    .addHelpText("after", `
Examples:
  logits tag evaluate --model pos.tagger en_ewt-ud-test.conllu
  logits tag evaluate --model ner.tagger test.conll --json

Exit codes: 0 done, 2 wrong usage or input.`)
    .action(tagEvaluate);
}
