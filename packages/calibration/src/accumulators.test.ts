import type { Accumulator } from "@logits/statistics";
import { FormatError } from "@logits/tensor";
import { densenetCifar100, expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { HistogramBinning, HistogramBinningAccumulator, PriorCorrection, PriorCorrectionAccumulator, TemperatureScaling, TemperatureScalingAccumulator } from "./index.ts";
import { planted } from "./planted.ref.ts";

const { z, y } = planted(1000, 3, 71, (row) => row.map((x) => x / 2.5), 3);
const rows = (from: number, to: number) => ({ data: z.data.slice(3 * from, 3 * to), shape: [to - from, 3] });
const cuts = [[0, 130], [130, 131], [131, 500], [500, 777], [777, 1000]] as const;
const edges = HistogramBinning.fit(z.data, Uint8Array.from(z.data, (x) => (x > 1 ? 1 : 0))).edges;
const binary = (from: number, to: number) => ({ scores: z.data.slice(from, to), labels: Uint8Array.from(z.data.slice(from, to), (x, i) => (x + ((from + i) % 3) > 1 ? 1 : 0)) });

interface Spec {
  readonly name: string;
  make(): Accumulator<never, { toJSON(): unknown; probabilities(x: never): { readonly data: Float32Array } }>;
  batch(from: number, to: number): unknown;
  fromBytes(bytes: Uint8Array): Accumulator<never, unknown>;
  readonly probe: unknown;
}
const SPECS: readonly Spec[] = [
  { name: "TemperatureScalingAccumulator", make: () => new TemperatureScalingAccumulator({ classes: 3 }), batch: (a, b) => ({ logits: rows(a, b), labels: y.slice(a, b) }), fromBytes: TemperatureScalingAccumulator.fromBytes, probe: rows(0, 20) },
  { name: "PriorCorrectionAccumulator", make: () => new PriorCorrectionAccumulator({ classes: 3 }), batch: rows, fromBytes: PriorCorrectionAccumulator.fromBytes, probe: rows(0, 20) },
  { name: "HistogramBinningAccumulator", make: () => new HistogramBinningAccumulator({ edges }), batch: binary, fromBytes: HistogramBinningAccumulator.fromBytes, probe: z.data.slice(0, 20) },
];

describe.each(SPECS)("$name", ({ make, batch, fromBytes, probe }) => {
  const parts = () => cuts.map(([from, to]) => make().update(batch(from, to) as never));
  const answers = (accumulator: ReturnType<typeof make>) => accumulator.finish().probabilities(probe as never).data;

  it("merges in any order to 1e-12, and a fixed tree has the same bits", () => {
    const left = parts().reduce((a, b) => a.merge(b as never)), right = parts().reverse().reduce((a, b) => a.merge(b as never)), whole = make().update(batch(0, 1000) as never);
    const numbers = (accumulator: ReturnType<typeof make>): number[] => JSON.stringify(accumulator.finish()).match(/-?\d+\.\d+(e-?\d+)?/g)?.map(Number) ?? [];
    expectClose(numbers(right), numbers(left), { rtol: 1e-12, atol: 1e-12 });
    // Kernels take four rows at a time, so that another cut into batches rounds other sums in float32.
    expectClose(numbers(whole), numbers(left), { rtol: 1e-8, atol: 1e-8 });
    for (const other of [right, whole]) expectClose(answers(other), answers(left), { rtol: 2e-7 }); // float32
    expectExact(parts().reduce((a, b) => a.merge(b as never)).toBytes(), left.toBytes());
  });

  it("goes through bytes without changing a bit, and goes on", () => {
    for (const one of [make(), ...parts()]) {
      const again = fromBytes(one.toBytes());
      expectExact(again.toBytes(), one.toBytes());
      expectExact(again.update(batch(5, 9) as never).toBytes(), one.update(batch(5, 9) as never).toBytes());
    }
    const bytes = parts()[0].toBytes();
    for (let i = 0; i < bytes.length; i += 7) expect(() => fromBytes(bytes.with(i, bytes[i] ^ 1))).toThrow(FormatError);
    expect(() => fromBytes(bytes.subarray(0, 20))).toThrow(FormatError);
  });

  it("has no result without rows, and a batch that throws leaves it alone", () => {
    expect(() => make().finish()).toThrow("with at least one row");
    const one = parts()[2], before = one.toBytes();
    const bad = JSON.parse(JSON.stringify(batch(0, 3), (_, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as never) : value))) as never;
    const spoilt = (bad as { data?: number[] }).data ?? (bad as { logits?: { data: number[] } }).logits?.data ?? (bad as unknown as { scores: number[] }).scores;
    spoilt[spoilt.length - 1] = NaN;
    const plain = (value: unknown): unknown => (typeof value === "object" && value !== null && "data" in value ? { ...value, data: Float32Array.from((value as { data: number[] }).data) } : value);
    expect(() => one.update(plain("logits" in (bad as object) ? { ...(bad as object), logits: plain((bad as { logits: unknown }).logits) } : bad) as never)).toThrow(RangeError);
    expectExact(one.toBytes(), before);
    expect(() => one.merge({} as never)).toThrow(TypeError);
  });
});

describe("TemperatureScalingAccumulator", () => {
  const fitted = (logits: Float32Array, labels: Int32Array, classes: number, octaves?: number) => {
    const batch = { logits: { data: logits, shape: [labels.length, classes] }, labels };
    return [new TemperatureScalingAccumulator({ classes, octaves }).update(batch).finish(), TemperatureScaling.fit(batch.logits, labels)] as const;
  };

  it("gives the temperature, its information and the loss of the fit", () => {
    for (const scale of [0.03, 0.3, 0.7, 1, 1.3, 2.2, 5]) {
      const [got, want] = fitted(z.data.map((x) => x * scale), y, 3);
      expectClose(got.temperature, want.temperature, { rtol: 2e-5 }); // a cubic over a quarter of an octave
      expectClose(got.information, want.information, { rtol: 2e-3 });
      expectClose(got.loss, want.loss, { atol: 1e-6 });
      expect(got.atBound).toBe(false);
    }
    const real = densenetCifar100(), [got, want] = fitted(real.logits.subarray(0, 500000), real.labels.subarray(0, 5000), 100);
    expectClose(got.temperature, want.temperature, { rtol: 2e-5 });
    expect(Math.abs(got.temperature - want.temperature)).toBeLessThan(want.standardError / 500);
  });

  it("ends at the end of its grid where the optimum lies outside, and takes rows that no temperature changes", () => {
    const [right] = fitted(Float32Array.of(4, 0, 0, 3), Int32Array.of(0, 1), 2);
    expect([right.temperature, right.atBound]).toEqual([1 / 16, true]);
    const [wrong] = fitted(Float32Array.of(4, 0, 0, 3), Int32Array.of(1, 0), 2, 10);
    expect([wrong.temperature, wrong.atBound]).toEqual([1024, true]);
    const [flat] = fitted(Float32Array.of(1, 1, 2, 2), Int32Array.of(0, 1), 2);
    expect([flat.temperature, flat.atBound, flat.information]).toEqual([1, false, 0]);
    expect(fitted(Float32Array.of(1, 7), Int32Array.of(0, 0), 1)[0].temperature).toBe(1);
  });

  it("says what is wrong", () => {
    expect(() => new TemperatureScalingAccumulator({ classes: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScalingAccumulator: expected \`classes\` an integer in [1, 2147483647], got 0]`);
    expect(() => new TemperatureScalingAccumulator({ classes: 2, octaves: 11 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScalingAccumulator: expected \`octaves\` an integer in [1, 10], got 11]`);
    expect(() => new TemperatureScalingAccumulator({ classes: 2 }).update({ logits: [[1, 2, 3]], labels: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScalingAccumulator.update: expected \`logits\` of 2 classes on the last axis, got shape [1, 3]]`);
    expect(() => new TemperatureScalingAccumulator({ classes: 2 }).merge(new TemperatureScalingAccumulator({ classes: 3 }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScalingAccumulator.merge: expected \`other\` of 2 classes and 4 octaves, got 3 and 4]`);
    expect(() => new TemperatureScalingAccumulator({ classes: 2 }).finish()).toThrowErrorMatchingInlineSnapshot(`[RangeError: TemperatureScalingAccumulator.finish: expected \`this\` with at least one row, got none]`);
  });
});

describe("PriorCorrectionAccumulator", () => {
  it("gives what fitPrompt gives", () => {
    expect(new PriorCorrectionAccumulator({ classes: 3 }).update(rows(0, 400)).update(rows(400, 1000)).finish()).toEqual(PriorCorrection.fitPrompt(rows(0, 1000)));
    expect(() => new PriorCorrectionAccumulator({ classes: 3 }).merge(new PriorCorrectionAccumulator({ classes: 2 }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrectionAccumulator.merge: expected \`other\` of 3 classes, got 2]`);
    expect(() => new PriorCorrectionAccumulator({ classes: 3 }).update([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: PriorCorrectionAccumulator.update: expected \`logits\` of 3 classes on the last axis, got shape [1, 2]]`);
  });
});

describe("HistogramBinningAccumulator", () => {
  it("gives the fit where the edges are those of the fit", () => {
    const { scores, labels } = binary(0, 3000), want = HistogramBinning.fit(scores, labels);
    expect(new HistogramBinningAccumulator({ edges: want.edges }).update({ scores: scores.slice(0, 1000), labels: labels.slice(0, 1000) }).update({ scores: scores.slice(1000), labels: labels.slice(1000) }).finish()).toEqual(want);
  });

  it("joins a bin without a row to the next one, the last to the one before", () => {
    const fitted = new HistogramBinningAccumulator({ edges: [0, 1, 2, 3] }).update({ scores: [0.5, 0.7, 2.5], labels: [1, 0, 1] }).finish();
    expectExact(fitted.edges.data, [1]);
    expectExact(fitted.probabilities([-9, 0.5, 1, 1.5, 2.5, 9]).data, [0.5, 0.5, 0.5, 1, 1, 1]);
    expect(new HistogramBinningAccumulator({ edges: [] }).update({ scores: [1, 2], labels: [0, 1] }).finish().at(0)).toBe(0.5);
  });

  it("says what is wrong", () => {
    expect(() => new HistogramBinningAccumulator({ edges: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HistogramBinningAccumulator: expected \`edges\` of finite, strictly increasing numbers, got 1 at index 1]`);
    expect(() => new HistogramBinningAccumulator({ edges: [1, Infinity] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HistogramBinningAccumulator: expected \`edges\` of finite, strictly increasing numbers, got Infinity at index 1]`);
    expect(() => new HistogramBinningAccumulator({ edges: [1] }).merge(new HistogramBinningAccumulator({ edges: [2] }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: HistogramBinningAccumulator.merge: expected \`other\` with edges 1, got 2]`);
    expect(() => new HistogramBinningAccumulator({ edges: [1] }).update({ scores: [1, NaN], labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HistogramBinningAccumulator.update: expected \`scores\` of finite numbers, got NaN in row 1]`);
  });
});
