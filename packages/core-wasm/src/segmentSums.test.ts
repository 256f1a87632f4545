import { expectClose, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { segmentSums, segmentTables, type SegmentScores, type SegmentSequence, type SegmentSums } from "./segmentSums.ts";
import { wasmMemory } from "./memory.ts";
import { segmentLogPartitionRef } from "./segmentSums.ref.ts";

const random = testRandom(71);
const floats = (n: number, scale: number, impossible = 0): Float32Array => Float32Array.from({ length: n }, () => (random.uniform() < impossible ? -Infinity : scale * random.normal()));
interface Problem { readonly scores: SegmentScores; readonly sequence: SegmentSequence }
interface Shape { readonly T: number; readonly C: number; readonly D: number; readonly scale?: number; readonly impossible?: number; readonly boundary?: boolean; readonly generic?: boolean; readonly tail?: boolean }
function problem({ T, C, D, scale = 1, impossible = 0, boundary, generic, tail }: Shape): Problem {
  return {
    scores: { labels: C, longest: D, durations: floats(D * C, scale, impossible), transitions: floats(C * C, scale, impossible), start: floats(C, scale), end: floats(C, scale), ...(tail && { tail: floats(C, scale) }) },
    sequence: { length: T, content: floats(T * C, scale, impossible / 4), ...(boundary && { starts: floats(T * C, scale), ends: floats(T * C, scale) }), ...(generic && { segments: floats(T * D * C, scale) }) },
  };
}

const log = (m: number, e: number): number => (m === 0 ? -Infinity : Math.log(m) + e * Math.LN2);
const logSum = (x: number[]): number => { const top = Math.max(...x); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };
function logPartition({ scores: { labels: C, start, end }, sequence: { length: T, ends, starts } }: Problem, { last, shifts }: SegmentSums, reverse = false): number {
  const row = last.mantissas.length / C - 1;
  return shifts[T] + logSum(Array.from({ length: C }, (_, c) => log(last.mantissas[row * C + c], last.exponents[row * C + c]) + (reverse ? start[c] + (starts?.[c] ?? 0) : end[c] + (ends?.[(T - 1) * C + c] ?? 0))));
}

/** Prefix sums in float64; a label that is impossible at a position bars what holds it. */
function reference({ scores: { labels: C, longest: D, durations, transitions, start, end, tail }, sequence: { length: T, content, starts, ends, segments } }: Problem): number {
  const sums = new Float64Array((T + 1) * C), barred = new Int32Array((T + 1) * C);
  for (let t = 0; t < T; t++) for (let c = 0; c < C; c++) {
    const x = content[t * C + c], none = x === -Infinity;
    sums[(t + 1) * C + c] = sums[t * C + c] + (none ? 0 : x);
    barred[(t + 1) * C + c] = barred[t * C + c] + Number(none);
  }
  const duration = (l: number, c: number): number => (l <= D ? durations[(l - 1) * C + c] : durations[(D - 1) * C + c] + (l - D) * tail![c]);
  const score = (e: number, l: number, c: number): number => barred[(e + 1) * C + c] > barred[(e + 1 - l) * C + c] ? -Infinity : sums[(e + 1) * C + c] - sums[(e + 1 - l) * C + c] + duration(l, c) + (starts?.[(e + 1 - l) * C + c] ?? 0) + (ends?.[e * C + c] ?? 0) + (segments?.[(e * D + l - 1) * C + c] ?? 0);
  return segmentLogPartitionRef(T, C, tail ? T : D, score, (a, b) => transitions[a * C + b], (c) => start[c], (c) => end[c]);
}

describe("segmentSums", () => {
  it.each([
    { T: 1, C: 1, D: 1 }, { T: 5, C: 3, D: 1 }, { T: 5, C: 2, D: 9 }, { T: 12, C: 4, D: 5 }, { T: 40, C: 5, D: 7 }, { T: 60, C: 12, D: 17, scale: 3 }, { T: 50, C: 3, D: 8, scale: 12 }, { T: 40, C: 4, D: 16, scale: 40 },
    { T: 40, C: 5, D: 9, impossible: 0.3 }, { T: 60, C: 6, D: 12, impossible: 0.3, scale: 20 }, { T: 30, C: 3, D: 6, boundary: true, scale: 2 }, { T: 30, C: 5, D: 6, generic: true, boundary: true, scale: 2 }, { T: 25, C: 3, D: 4, generic: true, impossible: 0.2, scale: 30 },
    { T: 40, C: 3, D: 4, tail: true }, { T: 40, C: 5, D: 1, tail: true, boundary: true, scale: 3 }, { T: 30, C: 3, D: 9, tail: true, impossible: 0.2, scale: 20 },
  ])("agrees with the recursion in log space: %o", (shape) => {
    const given = problem(shape), tables = segmentTables(given.scores), want = reference(given);
    // Of scores of size s the product with 1 / ln 2 leaves 1e-7 s.
    const bound = { atol: 3e-6 + 3e-7 * (shape.scale ?? 1) * Math.sqrt(shape.T), rtol: 1e-7 };
    for (const reverse of [false, true]) for (const keep of [false, true]) for (const extended of [false, true]) {
      expectClose(logPartition(given, segmentSums("test", tables, given.sequence, { reverse, keep, extended }), reverse), want, { ...bound, label: JSON.stringify({ reverse, keep, extended }) });
    }
  });

  it.each([{ T: 9000, C: 2, D: 9, scale: 2 }, { T: 9000, C: 2, D: 5, scale: 2, impossible: 0.1 }, { T: 7000, C: 3, D: 4, boundary: true }, { T: 3000, C: 2, D: 11, generic: true }, { T: 4000, C: 2, D: 3, scale: 200 }])("goes through blocks of positions: %o", (shape) => {
    const given = problem(shape), tables = segmentTables(given.scores), want = reference(given);
    for (const reverse of [false, true]) for (const keep of [false, true]) expectClose(logPartition(given, segmentSums("test", tables, given.sequence, { reverse, keep }), reverse), want, { rtol: 1e-6, atol: 1e-3 });
  });

  it("keeps messages whose product is Z at the beginning, and at most Z at other boundaries", () => {
    for (const shape of [{ T: 900, C: 5, D: 30, scale: 3 }, { T: 300, C: 4, D: 9, boundary: true }, { T: 300, C: 4, D: 9, tail: true }] as Shape[]) {
      const given = problem(shape), tables = segmentTables(given.scores), { T, C } = shape, there = segmentSums("test", tables, given.sequence, { keep: true }), back = segmentSums("test", tables, given.sequence, { keep: true, reverse: true });
      const want = reference(given);
      for (let s = 0; s < T; s += 97) {
        // Segments that begin at s, and those that end there.
        const terms = Array.from({ length: C }, (_, c) => log(there.first!.mantissas[s * C + c], there.first!.exponents[s * C + c]) + log(back.last.mantissas[(T - s) * C + c], back.last.exponents[(T - s) * C + c]));
        const total = logSum(terms) + there.shifts[s] + back.shifts[T - s];
      if (s === 0) expectClose(total, want, { rtol: 2e-6 });
      else expect(total).toBeLessThan(want + 2e-6 * Math.abs(want));
      }
    }
  });

  it("loses nothing where long segments alone are possible, and where one label gains on all others", () => {
    // Lengths 30 alone; the labels' scores differ by up to 40 a position: weights within a window span 1,700 binary digits.
    const C = 3, D = 30, T = 240, durations = new Float32Array(D * C).fill(-Infinity).fill(0, (D - 1) * C), given: Problem = {
      scores: { labels: C, longest: D, durations, transitions: new Float32Array(C * C), start: new Float32Array(C), end: new Float32Array(C) },
      sequence: { length: T, content: Float32Array.from({ length: T * C }, (_, k) => (k % C === 0 ? 20 : k % C === 1 ? -20 : 5 * random.normal())) },
    };
    const sums = segmentSums("test", segmentTables(given.scores), given.sequence);
    expectClose(logPartition(given, sums), reference(given), { rtol: 1e-6 });
    // One label, lengths 5 or 30, each step worth 80.
    const rising: Problem = { scores: { labels: 1, longest: D, durations: Float32Array.from({ length: D }, (_, d) => (d === 4 || d === 29 ? 0 : -Infinity)), transitions: Float32Array.of(-400), start: Float32Array.of(0), end: Float32Array.of(0) }, sequence: { length: 150, content: new Float32Array(150).fill(80) } };
    expectClose(logPartition(rising, segmentSums("test", segmentTables(rising.scores), rising.sequence)), reference(rising), { rtol: 1e-6 });
    expect(sums.last.mantissas.length).toBe(C);
  });

  it("stays within 2 MiB, whatever the length: D 100, C 24", () => {
    const given = problem({ T: 20000, C: 24, D: 100 });
    expect(segmentSums("test", segmentTables(given.scores), given.sequence).last.mantissas.every((m) => m >= 1)).toBe(true);
    expect(wasmMemory().buffer.byteLength).toBeLessThan(2 * 2 ** 20);
  });

  it("shares exponents in the window for scores that are 400 apart, and does not where weights would be lost", () => {
    // One label at a time is likely, for 9 positions each.
    const peaked = (T: number, C: number, by: number, D: number, least: number): Problem => ({
      scores: { labels: C, longest: D, durations: floats(D * C, 1).map((v, k) => (k < (least - 1) * C ? -Infinity : v)), transitions: floats(C * C, 1), start: floats(C, 1), end: floats(C, 1) },
      sequence: { length: T, content: Float32Array.from({ length: T * C }, (_, k) => random.normal() + (Math.floor(Math.floor(k / C) / 9) % C === k % C ? by : 0)) },
    });
    for (const [by, least, extended] of [[25, 1, false], [400, 1, false], [60, 11, true]] as const) {
      const given = peaked(120, 4, by, 12, least), sums = segmentSums("test", segmentTables(given.scores), given.sequence);
      expect(sums.extended).toBe(extended);
      expectClose(logPartition(given, sums), reference(given), { rtol: 1e-6 });
    }
  });

  it("gives weight 0 where no segmentation is possible, and refuses segment scores beside a tail", () => {
    const C = 2, D = 2, base = { labels: C, longest: D, durations: Float32Array.of(-Infinity, -Infinity, 0, 0), transitions: new Float32Array(4), start: new Float32Array(2), end: new Float32Array(2) };
    expect(Array.from(segmentSums("test", segmentTables(base), { length: 3, content: new Float32Array(6) }).last.mantissas)).toEqual([0, 0]);
    const tables = segmentTables({ ...base, tail: new Float32Array(2) });
    expect(() => segmentSums("f", tables, { length: 1, content: new Float32Array(2), segments: new Float32Array(4) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`segmentScores\` without a tail, got with one]`);
  });
});
