import { describe, rangeError, typeError } from "@logits/tensor";
import type { Span } from "./span.ts";
import { tagsOf, type SpanScheme } from "./tags.ts";

/** Where the labels come from. */
export interface ReadSpansOptions {
  /** Default: the scheme whose marks the labels have. */
  readonly scheme?: SpanScheme;
  /** The label outside of spans. Default "O". */
  readonly outside?: string;
}

/**
 * The spans of labels, as the CoNLL shared tasks read them: also labels that break their scheme have a reading. A span starts at B- or S-, where the type changes, and at I- or E- that nothing goes before; it
 * ends after E- or S-, and where the next label does not go on.
 *
 * @param labels - T names of one text
 * @param options - `scheme`, `outside` ("O")
 * @returns spans in the order of the text
 * @throws RangeError for a label that is not of the scheme
 * @example
 *   readSpans(["O", "B-PER", "I-PER"]); // [{ type: "PER", from: 1, to: 3 }]
 * Source: conlleval of the CoNLL-2000 shared task (Tjong Kim Sang and Buchholz).
 */
export function readSpans(labels: readonly string[], options: ReadSpansOptions = {}): Span[] {
  const where = "readSpans";
  if (!Array.isArray(labels)) throw typeError(where, "labels", "an array of names", describe(labels));
  if (labels.length === 0) return [];
  const names = [...new Set([options.outside ?? "O", ...labels])], { marks, typeOf, types } = tagsOf(where, names, options);
  const spans: Span[] = [];
  let open: { type: number; from: number } | undefined;
  const close = (to: number): void => {
    if (open) spans.push({ type: types[open.type], from: open.from, to });
    open = undefined;
  };
  const index = new Map(names.map((name, y) => [name, y]));
  for (const [t, label] of labels.entries()) {
    const y = index.get(label)!, mark = marks[y], type = typeOf[y];
    if (mark === "O" || mark === "B" || mark === "S" || open?.type !== type) close(t);
    if (mark === "O") continue;
    open ??= { type, from: t };
    if (mark === "E" || mark === "S") close(t + 1);
  }
  close(labels.length);
  return spans;
}

/** Counts, and the shares that follow from them. */
export interface SpanCounts {
  readonly correct: number;
  readonly predicted: number;
  readonly gold: number;
  /** correct / predicted; 0 where nothing was predicted. */
  readonly precision: number;
  /** correct / gold; 0 where there is nothing to find. */
  readonly recall: number;
  /** 2 correct / (predicted + gold); 0 where both are 0. */
  readonly f1: number;
}

/** Scores of predicted spans. */
export interface SpanScores extends SpanCounts {
  /** By type, in alphabetical order. */
  readonly byType: Readonly<Record<string, SpanCounts>>;
  /** Of different surface forms, where tokens were given. */
  readonly surface?: SpanCounts;
}

/**
 * Precision, recall and F1 of spans: a span counts where type, first and last token are right. With `tokens` also of surface forms, as WNUT-17 has it: each different pair of words and type counts once,
 * however often it comes, and is right where one of its spans is.
 *
 *   f1 = 2 correct / (predicted + gold)
 *
 * @param predicted - spans of each of N texts; one that comes twice counts once
 * @param gold - spans of each of N texts
 * @param options - `tokens`: the words of each text
 * @throws RangeError for another number of texts
 * @example
 *   spanScores([[{ type: "PER", from: 0, to: 2 }]], [[{ type: "PER", from: 0, to: 2 }]]).f1; // 1
 * Source: Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 shared task", CoNLL 2003; Derczynski, Nichols, van Erp, Limsopatham, W-NUT 2017 (surface forms).
 */
export function spanScores(
  predicted: readonly (readonly Pick<Span, "type" | "from" | "to">[])[], gold: readonly (readonly Pick<Span, "type" | "from" | "to">[])[], options: { readonly tokens?: readonly (readonly string[])[] } = {},
): SpanScores {
  const where = "spanScores", { tokens } = options;
  if (predicted.length !== gold.length) throw rangeError(where, "gold", `of ${predicted.length} texts, as predicted`, `${gold.length}`);
  if (tokens && tokens.length !== gold.length) throw rangeError(where, "tokens", `of ${gold.length} texts`, `${tokens.length}`);
  type Sets = Record<keyof Pick<SpanCounts, "correct" | "predicted" | "gold">, Set<string>>;
  const all = new Map<string, Sets>(), forms: Sets = { correct: new Set(), predicted: new Set(), gold: new Set() };
  const setsOf = (type: string): Sets => {
    let sets = all.get(type);
    if (!sets) all.set(type, (sets = { correct: new Set(), predicted: new Set(), gold: new Set() }));
    return sets;
  };
  for (const [n, spans] of predicted.entries()) {
    const add = (role: keyof Sets, { type, from, to }: Pick<Span, "type" | "from" | "to">): void => {
      const words = tokens?.[n];
      if (words && !(from >= 0 && from < to && to <= words.length)) throw rangeError(where, role === "gold" ? "gold" : "predicted", `spans within the ${words.length} tokens of text ${n}`, `[${from}, ${to})`);
      setsOf(type)[role].add(`${n} ${from} ${to}`);
      if (words) forms[role].add(JSON.stringify([type, ...words.slice(from, to)]));
    };
    for (const span of gold[n]) add("gold", span);
    for (const span of spans) {
      add("predicted", span);
      if (setsOf(span.type).gold.has(`${n} ${span.from} ${span.to}`)) add("correct", span);
    }
  }
  const byType = Object.fromEntries([...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, sets]) => [type, countsOf(sets.correct.size, sets.predicted.size, sets.gold.size)]));
  const sum = (role: keyof Sets): number => Object.values(byType).reduce((total, counts) => total + counts[role], 0);
  return { ...countsOf(sum("correct"), sum("predicted"), sum("gold")), byType, ...(tokens && { surface: countsOf(forms.correct.size, forms.predicted.size, forms.gold.size) }) };
}

function countsOf(correct: number, predicted: number, gold: number): SpanCounts {
  const share = (of: number): number => (of === 0 ? 0 : correct / of);
  return { correct, predicted, gold, precision: share(predicted), recall: share(gold), f1: 2 * share(predicted + gold) };
}
