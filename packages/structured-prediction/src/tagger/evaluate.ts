import { rangeError } from "@logits/tensor";
import { readSpans, spanScores, type SpanScores } from "../spans/spanScores.ts";

/** How predicted labels agree with right ones. */
export interface TagScores {
  readonly tokens: number;
  /** Share of tokens. */
  readonly accuracy: number;
  /** Share of sentences whose labels are all right; one without tokens counts nothing. */
  readonly sentenceAccuracy: number;
  /** Where every label is `O` or begins with `B-`, `I-`, `E-` or `S-`, and not all are `O`. */
  readonly spans?: SpanScores;
}

/**
 * Compares labels token by token and, where they are tags of spans, span by span (`readSpans`, `spanScores`).
 *
 * @param predicted - labels of each sentence
 * @param actual - the right ones
 * @throws RangeError for other lengths, or without a token
 * @example
 *   scoreTags([["B-PER", "O"]], [["B-PER", "I-PER"]]).spans.f1; // 0
 * Source: Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 shared task", CoNLL 2003.
 */
export function scoreTags(predicted: readonly (readonly string[])[], actual: readonly (readonly string[])[]): TagScores {
  const where = "scoreTags";
  if (predicted.length !== actual.length) throw rangeError(where, "predicted", `of ${actual.length} sentences`, `${predicted.length}`);
  let tokens = 0, right = 0, sentences = 0, whole = 0, tags = true, any = false;
  for (const [b, labels] of actual.entries()) {
    if (predicted[b].length !== labels.length) throw rangeError(where, `predicted[${b}]`, `of ${labels.length} labels`, `${predicted[b].length}`);
    const same = labels.filter((label, t) => predicted[b][t] === label).length;
    tokens += labels.length;
    right += same;
    if (labels.length > 0) sentences++;
    if (labels.length > 0 && same === labels.length) whole++;
    for (const label of [...labels, ...predicted[b]]) {
      tags &&= /^([BIES]-.+|O)$/.test(label);
      any ||= label !== "O";
    }
  }
  if (tokens === 0) throw rangeError(where, "actual", "of at least one token", "none");
  const scores: TagScores = { tokens, accuracy: right / tokens, sentenceAccuracy: whole / sentences };
  if (!tags || !any) return scores;
  // One scheme for all: a sentence alone does not always show its own.
  const scheme = [...predicted, ...actual].flat().some((label) => /^[ES]-/.test(label)) ? "BIOES" : "BIO";
  const read = (labels: readonly string[]) => readSpans(labels, { scheme });
  return { ...scores, spans: spanScores(predicted.map(read), actual.map(read)) };
}
