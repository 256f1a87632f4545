import { readFileSync } from "node:fs";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { aggregateSpans } from "./aggregateSpans.ts";
import { alignTokens } from "./alignTokens.ts";

interface Case {
  readonly strategy: "none" | "simple" | "first" | "average" | "max";
  readonly tokens: readonly string[];
  readonly text: string;
  /** Whether the tokenizer marks what goes on with a word. */
  readonly aware: boolean;
  readonly ignore: readonly string[];
  /** Null: those of the case before. */
  readonly logits: readonly number[] | null;
  readonly spans: readonly (readonly [label: string, start: number, end: number, score: number])[];
}

const { cases } = JSON.parse(readFileSync(new URL("fixtures/aggregation.json", import.meta.url), "utf8")) as { cases: readonly Case[] };
const LABELS = ["O", "B-person", "I-person", "B-creative-work", "I-creative-work", "MISC"];

describe("aggregateSpans", () => {
  it("gives the spans of Python's pipeline, by its definition", () => {
    let logits: readonly number[] = [];
    expect(cases.length).toBeGreaterThan(100);
    for (const { strategy, tokens, text, aware, ignore, logits: own, spans } of cases) {
      logits = own ?? logits;
      const alignment = alignTokens(text, tokens);
      const got = aggregateSpans({ data: Float32Array.from(logits), shape: [tokens.length, LABELS.length] }, LABELS, { strategy, alignment, ignore, ...(aware && { tokens }) });
      expect(got.map(({ type, start, end, text: slice }) => [type, start, end, slice])).toEqual(spans.map(([type, start, end]) => [type, start, end, text.slice(start, end)]));
      expectClose(got.map(({ probability }) => probability), spans.map((span) => span[3]), { atol: 1e-6 }); // two float32 softmaxes and means
    }
  });

  const sure = (y: number): number[] => [0, 1, 2, 3, 4, 5].map((c) => (c === y ? 9 : 0));

  it("takes a mask of subwords, leaves out special tokens, and needs no offsets for tokens", () => {
    const logits = [sure(5), sure(1), sure(0), sure(2)], subwords = Uint8Array.of(0, 0, 1, 0), where = Uint8Array.of(0, 1, 1, 1);
    expect(aggregateSpans(logits, LABELS, { strategy: "first", subwords, where }).map(({ type, from, to }) => [type, from, to])).toEqual([["person", 1, 4]]);
    expect(aggregateSpans(logits, LABELS, { where }).map(({ type, from, to }) => [type, from, to])).toEqual([["person", 1, 2], ["person", 3, 4]]);
    expect(aggregateSpans(logits, LABELS, { where, offsets: [[0, 0], [0, 2], [2, 4], [5, 6]] }).map(({ start, end }) => [start, end])).toEqual([[0, 2], [5, 6]]);
    expect(aggregateSpans({ data: new Float32Array(0), shape: [0, 6] }, LABELS, { strategy: "max", subwords: new Uint8Array(0) })).toEqual([]);
  });

  it("says what is wrong", () => {
    expect(() => aggregateSpans([[0]], "O" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: aggregateSpans: expected \`labels\` an array of names, got String]`);
    expect(() => aggregateSpans([[0, 1]], ["O"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`logits\` of shape [T, 1] for 1 labels, got [1, 2]]`);
    expect(() => aggregateSpans([[NaN, 1]], ["O", "a"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`logits\` finite or -Infinity, got NaN in row 0]`);
    expect(() => aggregateSpans([[0, 1]], ["O", "a"], { strategy: "last" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`strategy\` one of none, simple, first, average, max, got "last"]`);
    expect(() => aggregateSpans([[0, 1]], ["O", "a"], { strategy: "first" })).toThrowErrorMatchingInlineSnapshot(`[TypeError: aggregateSpans: expected \`subwords\` or an alignment with strategy "first", got neither]`);
    expect(() => aggregateSpans([[0, 1]], ["O", "a"], { strategy: "first", subwords: Uint8Array.of(0, 1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`subwords\` for 1 tokens, got 2]`);
    expect(() => aggregateSpans([[0, 1]], ["O", "a"], { where: Uint8Array.of(0, 1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`where\` for 1 tokens, got 2]`);
    expect(() => aggregateSpans([[0, 1]], ["O", "a"], { offsets: [[0, 1], [0, 1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aggregateSpans: expected \`offsets\` of shape [1, 2], got [2, 2]]`);
  });
});
