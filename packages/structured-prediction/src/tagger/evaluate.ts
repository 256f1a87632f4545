import { rangeError } from "@logits/tensor";

/** Shares of what was found and of what is there. */
export interface SpanScores {
  /** Right spans over predicted ones; 0 where none was predicted. */
  readonly precision: number;
  /** Right spans over those that are there; 0 where none is there. */
  readonly recall: number;
  /** 2 right / (predicted + there); 0 where both are none. */
  readonly f1: number;
  readonly right: number;
  readonly predicted: number;
  readonly actual: number;
}

/** How predicted labels agree with right ones. */
export interface TagScores {
  readonly tokens: number;
  /** Share of tokens. */
  readonly accuracy: number;
  /** Share of sentences whose labels are all right. */
  readonly sentenceAccuracy: number;
  /** Where every label is `O` or begins with `B-`, `I-`, `E-` or `S-`: spans. */
  readonly spans?: SpanScores & { readonly byType: Readonly<Record<string, SpanScores>> };
}

/**
 * Compares labels token by token and, where they are tags of spans, span by span as the conlleval script does: a span is right where its ends and its type are, and tags
 * that do not fit begin a span.
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
  const counts = new Map<string, [right: number, predicted: number, actual: number]>();
  const count = (type: string, which: 0 | 1 | 2): void => {
    if (!counts.has(type)) counts.set(type, [0, 0, 0]);
    counts.get(type)![which]++;
  };
  for (const [b, labels] of actual.entries()) {
    const there = spansOf(labels), found = spansOf(predicted[b]), keys = new Set(there.map((span) => span.join(" ")));
    for (const [, , type] of there) count(type, 2);
    for (const span of found) {
      count(span[2], 1);
      if (keys.has(span.join(" "))) count(span[2], 0);
    }
  }
  const all = [...counts.values()].reduce((sum, c) => [sum[0] + c[0], sum[1] + c[1], sum[2] + c[2]], [0, 0, 0]);
  const byType = Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, c]) => [type, scoresOf(c)]));
  return { ...scores, spans: { ...scoresOf(all as [number, number, number]), byType } };
}

function scoresOf([right, predicted, actual]: readonly [number, number, number]): SpanScores {
  return { precision: predicted === 0 ? 0 : right / predicted, recall: actual === 0 ? 0 : right / actual, f1: predicted + actual === 0 ? 0 : (2 * right) / (predicted + actual), right, predicted, actual };
}

/** Spans [first, last, type] of tags. */
function spansOf(labels: readonly string[]): [first: number, last: number, type: string][] {
  const out: [number, number, string][] = [];
  let open = -1;
  for (let t = 0; t <= labels.length; t++) {
    const label = t < labels.length ? labels[t] : "O", before = t > 0 ? labels[t - 1] : "O", type = label.slice(2), last = before.slice(2);
    const other = type !== last || label === "O";
    if (open >= 0 && (other || /^[BS]/.test(label) || /^[ES]/.test(before))) {
      out.push([open, t - 1, last]);
      open = -1;
    }
    if (open < 0 && label !== "O") open = t;
  }
  return out;
}
