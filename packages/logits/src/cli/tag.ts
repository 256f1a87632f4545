import { basename, dirname } from "node:path";
import { gunzipSync } from "node:zlib";
import { CONLLU_COLUMNS, SequenceTagger, formatConll, formatConllu, labelledBy, parseConll, parseConllu, scoreTags, type Columns, type ConlluSentence, type LabelledSentence, type TagScores, type TaggerMethod } from "@logits/structured-prediction/tagger";
import { FormatError } from "@logits/tensor";
import { formatError, quote } from "../io/formatError.ts";
import { UsageError, bytesOf } from "./input.ts";
import { progress, writeAll } from "./output.ts";

/** What the files hold. */
interface CorpusOptions {
  readonly format?: "conll" | "conllu";
  readonly separator?: string;
  readonly labelColumn?: string;
  readonly columns?: string;
}

/** Options of `logits tag train`. */
export interface TagTrainOptions extends CorpusOptions {
  readonly model: string;
  readonly features?: string;
  readonly method?: TaggerMethod;
  readonly l1?: number;
  readonly l2?: number;
  readonly minCount?: number;
  readonly maxIterations?: number;
  readonly epochs?: number;
  readonly seed?: number;
  readonly dev?: string;
  readonly json?: boolean;
}

/** Options of `logits tag apply` and `logits tag evaluate`. */
export interface TagModelOptions extends CorpusOptions {
  readonly model: string;
  readonly probabilities?: boolean;
  readonly json?: boolean;
}

/** A file of sentences. */
interface Corpus {
  readonly format: "conll" | "conllu";
  readonly separator: string;
  readonly sentences: readonly { readonly tokens: readonly Columns[] }[];
}

/** Text of a file or, for `-`, of stdin. */
async function textOf(path: string): Promise<string> {
  let bytes: Buffer;
  if (path === "-") {
    const parts: Buffer[] = [];
    for await (const part of process.stdin) parts.push(part as Buffer);
    bytes = Buffer.concat(parts);
  } else bytes = await bytesOf(path);
  try {
    if (path.endsWith(".gz")) bytes = gunzipSync(bytes);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw formatError("logits", path, path.endsWith(".gz") ? "to be text in UTF-8, compressed by gzip" : "to be text in UTF-8", "other bytes", undefined, cause);
  }
}

async function readCorpus(path: string, options: CorpusOptions): Promise<Corpus> {
  const format = options.format ?? (/\.conllu(\.gz)?$/.test(path) ? "conllu" : "conll");
  if (format === "conllu" && options.separator !== undefined) throw new UsageError("logits: expected `--separator` only with conll, got conllu");
  const separator = options.separator?.replaceAll("\\t", "\t") ?? "whitespace", text = await textOf(path);
  try {
    const sentences = format === "conllu" ? parseConllu(text) : parseConll(text, { separator });
    if (sentences.length === 0) throw formatError("logits", path, "to hold at least one sentence", "none");
    return { format, separator, sentences };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(error.message.replace(/^\w+: expected `line (\d+)`/, (_, line: string) => `logits: expected \`${path}:${line}\``), { cause: error });
  }
}

/** Index of a column, by its number or its name. */
function columnOf(option: string, text: string, { format, sentences }: Corpus): number {
  const width = sentences[0].tokens[0].length, named = format === "conllu" ? CONLLU_COLUMNS.indexOf(text) : -1, index = named >= 0 ? named : /^-?\d+$/.test(text) ? Number(text) : NaN;
  if (!(index >= -width && index < width)) throw new UsageError(`logits: expected \`${option}\` a column in [-${width}, ${width - 1}]${format === "conllu" ? ` or among ${CONLLU_COLUMNS.join(", ")}` : ""}, got ${quote(text)}`);
  return index < 0 ? index + width : index;
}

const labelColumnOf = (corpus: Corpus, { labelColumn }: CorpusOptions): number => columnOf("--label-column", labelColumn ?? (corpus.format === "conllu" ? "upos" : "-1"), corpus);

/** Columns that the templates read; undefined: all, in their order. */
function keptColumns(corpus: Corpus, { columns }: CorpusOptions): number[] | undefined {
  if (columns === undefined) return corpus.format === "conllu" ? [1] : undefined;
  return columns.split(",").map((text) => columnOf("--columns", text.trim(), corpus));
}

async function readLabelled(paths: readonly string[], options: CorpusOptions): Promise<LabelledSentence[]> {
  const out: LabelledSentence[] = [];
  for (const path of paths) {
    const corpus = await readCorpus(path, options), label = labelColumnOf(corpus, options), kept = keptColumns(corpus, options);
    if (corpus.sentences[0].tokens[0].length < 2) throw formatError("logits", path, "to have a column of labels beside the words", "one column");
    out.push(...labelledBy(corpus.sentences, label, kept));
  }
  return out;
}

async function readModel(path: string): Promise<SequenceTagger> {
  try {
    return SequenceTagger.fromBytes(await bytesOf(path));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(error.message.replace(/^[\w.]+: expected `bytes`/, `logits: expected \`${path}\``), { cause: error });
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

function spanWords(name: string, { precision, recall, f1, correct, predicted, gold }: Omit<NonNullable<TagScores["spans"]>, "byType">): string {
  return `${name.padEnd(10)} precision ${percent(precision)}, recall ${percent(recall)}, F1 ${percent(f1)} (${correct} right of ${predicted} found and ${gold} there)\n`;
}

function words({ tokens, accuracy, sentenceAccuracy, spans }: TagScores): string {
  let out = `tokens     ${percent(accuracy)} of ${tokens} right\nsentences  ${percent(sentenceAccuracy)} wholly right\n`;
  if (spans) {
    out += spanWords("spans", spans);
    for (const [type, scores] of Object.entries(spans.byType)) out += spanWords(`  ${type}`, scores);
  }
  return out;
}

function measure(tagger: SequenceTagger, sentences: readonly LabelledSentence[]): TagScores {
  return scoreTags(tagger.tagAll(sentences.map(({ tokens }) => tokens)), sentences.map(({ labels }) => labels));
}

/** `logits tag train`. */
export async function tagTrain(files: readonly string[], options: TagTrainOptions): Promise<void> {
  const say = progress(), { model, dev, json, features, format: _, separator: __, labelColumn: ___, columns: ____, ...training } = options;
  const sentences = await readLabelled(files, options), held = dev === undefined ? undefined : await readLabelled([dev], options);
  const templates = features === undefined ? undefined : await textOf(features);
  say(`${sentences.length} sentences, ${sentences.reduce((sum, { labels }) => sum + labels.length, 0)} tokens`);
  const tagger = SequenceTagger.fit(sentences, {
    ...training, ...(templates !== undefined && { features: templates }),
    onProgress: ({ iterations, loss, mistakes }) => { if (mistakes !== undefined || iterations % 5 === 0) say(mistakes === undefined ? `step ${iterations}: loss ${loss!.toFixed(1)}` : `pass ${iterations}: ${mistakes} mistakes`); },
  });
  const bytes = tagger.toBytes(), summary = tagger.training!;
  await writeAll(dirname(model), { [basename(model)]: bytes });
  const scores = held && measure(tagger, held);
  if (json) process.stdout.write(`${JSON.stringify({ format: "logits/tag-train", version: 1, labels: tagger.labels, bytes: bytes.length, training: summary, ...(scores && { dev: scores }) })}\n`);
  else process.stdout.write(`${model}: ${tagger.labels.length} labels, ${bytes.length} bytes, ${summary.iterations} ${summary.method === "averaged-perceptron" ? "passes" : "steps"}, ended by ${summary.reason}\n${scores ? words(scores) : ""}`);
}

/** `logits tag apply`. */
export async function tagApply(files: readonly string[], options: TagModelOptions): Promise<void> {
  const tagger = await readModel(options.model);
  for (const path of files.length === 0 ? ["-"] : files) {
    const corpus = await readCorpus(path, options), kept = keptColumns(corpus, options);
    const given = corpus.sentences.map(({ tokens }) => tokens.map((columns) => (kept ? kept.map((i) => columns[i]) : columns)));
    const labels = tagger.tagAll(given), label = corpus.format === "conllu" ? labelColumnOf(corpus, options) : -1;
    const out = corpus.sentences.map((sentence, s) => {
      const p = options.probabilities ? tagger.marginals(given[s]) : undefined;
      const tokens = sentence.tokens.map((columns, t) => {
        const name = labels[s][t], probability = p?.at(t, tagger.labels.indexOf(name)).toFixed(4);
        if (label < 0) return [...columns, name, ...(probability === undefined ? [] : [probability])];
        const changed = [...columns];
        changed[label] = name;
        if (probability !== undefined) changed[9] = `${columns[9] === "_" ? "" : `${columns[9]}|`}Probability=${probability}`;
        return changed;
      });
      return { ...sentence, tokens };
    });
    process.stdout.write(corpus.format === "conllu" ? formatConllu(out as unknown as readonly ConlluSentence[]) : formatConll(out, { separator: corpus.separator }));
  }
}

/** `logits tag evaluate`. */
export async function tagEvaluate(files: readonly string[], options: TagModelOptions): Promise<void> {
  const tagger = await readModel(options.model), scores = measure(tagger, await readLabelled(files, options));
  process.stdout.write(options.json ? `${JSON.stringify({ format: "logits/tag-evaluate", version: 1, ...scores })}\n` : words(scores));
}
