import { softmax } from "@logits/core-wasm";
import { asFloat32, asInt32, asMask, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import type { Alignment } from "./alignment.ts";
import type { DecodedSpan } from "./span.ts";

/** What is known about the tokens of one text. */
export interface AggregateSpansOptions {
  /**
   * "none": tokens, with their best label. "simple" (default): neighbours of one type are a span, B- starts another. "first", "average", "max": words get one label before that, of their first token, of
   * the mean of their tokens' probabilities, of the token with the largest probability.
   */
  readonly strategy?: "none" | "simple" | "first" | "average" | "max";
  /** Of `alignTokens`: text, offsets, and which tokens stand for text. */
  readonly alignment?: Alignment;
  /** int32 [T, 2]: UTF-16 offsets [start, end) of each token, where there is no alignment. */
  readonly offsets?: TensorLike;
  /** uint8 [T], 0 = a special token or padding: not there. Default that of the alignment. */
  readonly where?: TensorLike;
  /** Which tokens go on with a word, uint8 [T]. Default: with `tokens`, those whose length is not that of their slice; else those with no space before or at their start. */
  readonly subwords?: TensorLike;
  /** The T tokens of a tokenizer that marks what goes on with a word, as WordPiece does. */
  readonly tokens?: readonly string[];
  /** Tokens for what the vocabulary lacks: each is a word of its own. Default ["[UNK]", "<unk>"]. */
  readonly unknown?: readonly string[];
  /** Labels and types that are left out. Default ["O"]. */
  readonly ignore?: readonly string[];
}

const NAME = "aggregateSpans";
const STRATEGIES = ["none", "simple", "first", "average", "max"];

/** A token or a word with its label. */
interface Labelled {
  readonly label: string;
  readonly probability: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Groups the labels of single tokens into spans, as the token-classification pipeline of Python's transformers does.
 *
 *   p = softmax(logits), row by row; the probability of a span is the mean of those of its tokens (or words)
 *
 * It is a rule, not a distribution: a span may start with I-, and its probability is not that of the span. `SpanDecoder` gives that one. This is for results that must be what Python gives.
 *
 * @param logits - float32 [T, C]
 * @param labels - C names
 * @param options - `strategy` ("simple"), `alignment` or `offsets`, `where`, `subwords` or `tokens`, `unknown`, `ignore`
 * @returns spans in the order of the text; with "none" one for each token, whose `type` is its whole label
 * @throws RangeError for another shape, a strategy that is none; TypeError for a strategy over words without what tells words apart
 * @example
 *   aggregateSpans(logits, labels, { strategy: "average", alignment, tokens });
 * Source: TokenClassificationPipeline of transformers 4 (AggregationStrategy).
 */
export function aggregateSpans(logits: TensorLike, labels: readonly string[], options: AggregateSpansOptions = {}): DecodedSpan[] {
  const { strategy = "simple", alignment, unknown = ["[UNK]", "<unk>"], ignore = ["O"], tokens } = options;
  if (!Array.isArray(labels)) throw typeError(NAME, "labels", "an array of names", describe(labels));
  if (!STRATEGIES.includes(strategy)) throw rangeError(NAME, "strategy", `one of ${STRATEGIES.join(", ")}`, JSON.stringify(strategy));
  const x = asFloat32(NAME, "logits", logits), C = labels.length;
  if (x.shape.length !== 2 || x.shape[1] !== C || C === 0) throw rangeError(NAME, "logits", `of shape [T, ${C}] for ${C} labels`, `[${x.shape.join(", ")}]`);
  const bad = x.data.findIndex((v) => !(v < Infinity));
  if (bad >= 0) throw rangeError(NAME, "logits", "finite or -Infinity", `${x.data[bad]} in row ${Math.floor(bad / C)}`);
  const T = x.shape[0], p = T === 0 ? new Float32Array(0) : softmax(x).data;
  const sized = <A extends ArrayLike<unknown>>(name: string, given: A): A => {
    if (given.length !== T) throw rangeError(NAME, name, `for ${T} tokens`, `${given.length}`);
    return given;
  };
  const offsets = options.offsets === undefined ? undefined : asInt32(NAME, "offsets", options.offsets);
  if (offsets && offsets.size !== 2 * T) throw rangeError(NAME, "offsets", `of shape [${T}, 2]`, `[${offsets.shape.join(", ")}]`);
  if (alignment) sized("alignment", alignment.start);
  const startOf = (t: number): number | undefined => (offsets ? offsets.data[2 * t] : alignment?.start[t]), endOf = (t: number): number | undefined => (offsets ? offsets.data[2 * t + 1] : alignment?.end[t]);
  const part = options.where === undefined ? alignment?.where : asMask(NAME, "where", options.where).data;
  if (part) sized("where", part);
  if (tokens) sized("tokens", tokens);
  const goesOn = wordRule(strategy, options, T, startOf, endOf, unknown);
  const rows = Array.from({ length: T }, (_, t) => t).filter((t) => !part || part[t] === 1);
  const best = (row: Float32Array): number => row.reduce((top, v, c) => (v > row[top] ? c : top), 0);
  const rowOf = (t: number): Float32Array => p.subarray(t * C, (t + 1) * C);

  let parts: Labelled[];
  if (strategy === "none" || strategy === "simple") {
    parts = rows.map((t) => {
      const y = best(rowOf(t));
      return { label: labels[y], probability: p[t * C + y], from: t, to: t + 1 };
    });
  } else {
    const words: number[][] = [];
    for (const t of rows) {
      if (words.length > 0 && goesOn(t)) words.at(-1)!.push(t);
      else words.push([t]);
    }
    parts = words.map((word) => {
      let row = rowOf(word[0]);
      if (strategy === "max") for (const t of word) if (Math.max(...rowOf(t)) > Math.max(...row)) row = rowOf(t);
      if (strategy === "average") row = Float32Array.from({ length: C }, (_, c) => word.reduce((sum, t) => sum + p[t * C + c], 0) / word.length);
      const y = best(row);
      return { label: labels[y], probability: row[y], from: word[0], to: word.at(-1)! + 1 };
    });
  }
  const groups: Labelled[][] = [];
  for (const each of parts) {
    const last = groups.at(-1)?.at(-1);
    if (strategy !== "none" && last && tagOf(each.label) === tagOf(last.label) && !each.label.startsWith("B-")) groups.at(-1)!.push(each);
    else groups.push([each]);
  }
  const spans: DecodedSpan[] = [];
  for (const group of groups) {
    const [{ label, from }] = group, { to } = group.at(-1)!;
    const type = strategy === "none" ? label : label.slice(label.indexOf("-") + 1);
    if (ignore.includes(type)) continue;
    const start = startOf(from), end = endOf(to - 1), probability = group.reduce((sum, each) => sum + each.probability, 0) / group.length;
    spans.push({ type, from, to, probability, ...(start !== undefined && end !== undefined && { start, end, ...(alignment && { text: alignment.text.slice(start, end) }) }) });
  }
  return spans;
}

/** What follows B- or I-, else the whole label. */
function tagOf(label: string): string {
  return label.startsWith("B-") || label.startsWith("I-") ? label.slice(2) : label;
}

function wordRule(
  strategy: string, { subwords, tokens, alignment }: AggregateSpansOptions, T: number, startOf: (t: number) => number | undefined, endOf: (t: number) => number | undefined, unknown: readonly string[],
): (t: number) => boolean {
  if (strategy === "none" || strategy === "simple") return () => false;
  if (subwords !== undefined) {
    const mask = asMask(NAME, "subwords", subwords).data;
    if (mask.length !== T) throw rangeError(NAME, "subwords", `for ${T} tokens`, `${mask.length}`);
    return (t) => mask[t] === 1;
  }
  if (!alignment) throw typeError(NAME, "subwords", `or an alignment with strategy "${strategy}"`, "neither");
  const { text } = alignment;
  return (t) => {
    const start = startOf(t)!, slice = text.slice(start, endOf(t));
    if (tokens && unknown.includes(tokens[t])) return false;
    // Python counts code points.
    return tokens ? [...tokens[t]].length !== [...slice].length : start > 0 && !text.slice(start - 1, start + 1).includes(" ");
  };
}
