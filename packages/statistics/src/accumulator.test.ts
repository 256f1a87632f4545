import { FormatError } from "@logits/tensor";
import { expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteReader, ByteWriter, Histogram, Moments, compensatedSum } from "./index.ts";

const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
const batches = fc.array(fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { maxLength: 30 }), { minLength: 1, maxLength: 8 });

describe("Moments", () => {
  it("agrees with the definition", () => {
    fc.assert(fc.property(batches, (parts) => {
      const all = parts.flat(), n = all.length;
      const got = new Moments().update(all).finish();
      expect(got.count).toBe(n);
      if (n < 2) return;
      const mean = compensatedSum(all) / n, variance = compensatedSum(all.map((x) => (x - mean) ** 2)) / (n - 1);
      // 240 updates of relative rounding 2^-53 on numbers up to 1e3, squares up to 1e6.
      expectClose(got.mean, mean, { atol: 1e-12 * 1e3, rtol: 1e-12 });
      expectClose(got.variance, variance, { rtol: 1e-12, atol: 1e-12 * 1e6 * 1e-3 });
      expect([got.minimum, got.maximum]).toEqual([Math.min(...all), Math.max(...all)]);
    }), { seed: 1, numRuns: 300 });
  });

  it("merges in any order to 1e-12, and in one order to the same bits", () => {
    fc.assert(fc.property(batches, (parts) => {
      const each = (): Moments[] => parts.map((part) => new Moments().update(part));
      const left = each().reduce((a, b) => a.merge(b)), right = each().reverse().reduce((a, b) => a.merge(b)), whole = new Moments().update(parts.flat());
      for (const other of [right, whole]) {
        expect(other.finish().count).toBe(left.finish().count);
        expectClose(other.finish().mean, left.finish().mean, { atol: 1e-9, rtol: 1e-12 });
        expectClose(other.finish().variance, left.finish().variance, { rtol: 1e-12, atol: 1e-9 });
      }
      expectExact(each().reduce((a, b) => a.merge(b)).toBytes(), left.toBytes());
    }), { seed: 2, numRuns: 200 });
  });

  it("goes through bytes without changing a bit", () => {
    for (const moments of [new Moments(), new Moments().update([1]), new Moments().update([0.1, 0.2, -5e-324])]) {
      const bytes = moments.toBytes();
      expectExact(Moments.fromBytes(bytes).toBytes(), bytes);
      expect(Moments.fromBytes(bytes).update([3]).finish()).toEqual(moments.update([3]).finish());
    }
  });

  it("is empty at first, and a batch that throws leaves it alone", () => {
    const moments = new Moments();
    expect(moments.finish()).toEqual({ count: 0, mean: NaN, variance: NaN, minimum: Infinity, maximum: -Infinity });
    expect(message(() => moments.update([1, NaN]))).toMatchInlineSnapshot(`"RangeError: Moments.update: expected \`batch\` of finite numbers, got NaN at index 1"`);
    expect(moments.finish().count).toBe(0);
    expect(moments.update([4]).finish()).toEqual({ count: 1, mean: 4, variance: NaN, minimum: 4, maximum: 4 });
    expect(moments.merge(new Moments()).finish().mean).toBe(4);
    expect(message(() => moments.merge({} as never))).toMatchInlineSnapshot(`"TypeError: Moments.merge: expected \`other\` a Moments, got Object"`);
  });
});

describe("Histogram", () => {
  it("puts every edge in the bin above it, and the last edge in the last bin", () => {
    for (const bins of [1, 3, 7, 10, 49]) {
      const histogram = new Histogram({ low: -1, high: 2, bins });
      const { edges } = histogram.finish();
      histogram.update(edges);
      const want = new Float64Array(bins).fill(1);
      want[bins - 1] = 2;
      expectExact(histogram.finish().counts, want);
    }
    expect(new Histogram({ low: 0, high: 1, bins: 2 }).update([-Infinity, -1e-300, 2, Infinity, 0.5]).finish()).toMatchObject({ below: 2, above: 2 });
  });

  it("counts the same in any order of merging, exactly, and through bytes", () => {
    fc.assert(fc.property(batches, (parts) => {
      const each = (): Histogram[] => parts.map((part) => Histogram.fromBytes(new Histogram({ low: -500, high: 700, bins: 11 }).update(part).toBytes()));
      const left = each().reduce((a, b) => a.merge(b)), right = each().reverse().reduce((a, b) => a.merge(b));
      expectExact(left.toBytes(), right.toBytes());
      expect(left.finish().counts.reduce((a, b) => a + b, 0) + left.finish().below + left.finish().above).toBe(parts.flat().length);
    }), { seed: 3, numRuns: 100 });
  });

  it("names what is wrong", () => {
    const histogram = new Histogram({ low: 0, high: 1, bins: 2 });
    expect(message(() => new Histogram({ low: 1, high: 0, bins: 2 }))).toMatchInlineSnapshot(`"RangeError: Histogram: expected \`options\` with finite low < high, got low 1, high 0"`);
    expect(message(() => new Histogram({ low: 0, high: 1, bins: 0 }))).toMatchInlineSnapshot(`"RangeError: Histogram: expected \`bins\` an integer in [1, 16777216], got 0"`);
    expect(message(() => histogram.update([NaN]))).toMatchInlineSnapshot(`"RangeError: Histogram.update: expected \`batch\` without NaN, got NaN at index 0"`);
    expect(message(() => histogram.merge(new Histogram({ low: 0, high: 2, bins: 2 })))).toMatchInlineSnapshot(`"RangeError: Histogram.merge: expected \`other\` with 2 bins of [0, 1), got 2 bins of [0, 2)"`);
  });
});

describe("bytes", () => {
  it("any cut, any flipped bit and any added byte is a FormatError", () => {
    const bytes = new Histogram({ low: 0, high: 1, bins: 3 }).update([0.5]).toBytes();
    for (let length = 0; length < bytes.length; length++) expect(() => Histogram.fromBytes(bytes.slice(0, length))).toThrow(FormatError);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3] ^= 1 << (bit & 7);
      expect(() => Histogram.fromBytes(damaged)).toThrow(FormatError);
    }
    expect(() => Histogram.fromBytes(Uint8Array.of(...bytes, 0))).toThrow(FormatError);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => { expect(() => Moments.fromBytes(noise)).toThrow(FormatError); }), { seed: 4 });
  });

  it("a count that the bytes cannot hold is refused before anything is allocated, and fields are checked", () => {
    const histogram = (low: number, high: number, counts: number[]): Uint8Array => new ByteWriter("statistics.Histogram", 1).float64(low).float64(high).float64(0).float64(0).float64Array(Float64Array.from(counts)).bytes();
    const moments = (...fields: number[]): Uint8Array => fields.reduce((writer, field) => writer.float64(field), new ByteWriter("statistics.Moments", 1)).bytes();
    expect(message(() => Histogram.fromBytes(new ByteWriter("statistics.Histogram", 1).float64(0).float64(1).float64(0).float64(0).uint32(0xffffffff).bytes()))).toMatchInlineSnapshot(`"FormatError: Histogram.fromBytes: expected \`bytes\` with 4294967295 numbers in \`counts\`, got 0 bytes"`);
    expect(message(() => Histogram.fromBytes(histogram(1, 0, [1])))).toMatchInlineSnapshot(`"FormatError: Histogram.fromBytes: expected \`bytes\` with low < high and 1 to 2^24 counts, got low 1, high 0, 1 counts"`);
    expect(message(() => Histogram.fromBytes(histogram(0, 1, [0.5])))).toMatchInlineSnapshot(`"FormatError: Histogram.fromBytes: expected \`bytes\` with integer counts >= 0, got 0.5"`);
    expect(message(() => Histogram.fromBytes(histogram(0, NaN, [1])))).toMatchInlineSnapshot(`"FormatError: Histogram.fromBytes: expected \`bytes\` with a finite \`high\`, got NaN"`);
    expect(message(() => Moments.fromBytes(moments(1.5, 0, 0, 0, 0)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` with an integer \`count\` >= 0, got 1.5"`);
    expect(message(() => Moments.fromBytes(moments(1, 0, -1, 0, 0)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` with \`squares\` >= 0, got -1"`);
    expect(message(() => Moments.fromBytes(moments(1, 0, 0, 2, 0)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` with \`minimum\` <= \`maximum\`, got 2 and 0"`);
    expect(message(() => Moments.fromBytes(moments(1, 0, 0, 0)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` with all its fields, got 61 bytes"`);
    expect(message(() => Moments.fromBytes(moments(1, 0, 0, 0, 0, 0)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` to end after its last field, got 8 more bytes"`);
    expect(message(() => Moments.fromBytes(new Histogram({ low: 0, high: 1, bins: 1 }).toBytes()))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` of format statistics.Moments, got "statistics.Histogram""`);
    expect(message(() => Moments.fromBytes(new ByteWriter("statistics.Moments", 2).bytes()))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` of version 1, got 2. Upgrade to read it"`);
    expect(message(() => Moments.fromBytes(new Uint8Array(40)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` to begin with "GLTS", got other bytes"`);
    expect(message(() => Moments.fromBytes(new Uint8Array(3)))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` at least 11 bytes, got 3"`);
    expect(message(() => Moments.fromBytes("x" as never))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` a Uint8Array, got string"`);
    const damaged = new Moments().toBytes();
    damaged[30] ^= 1;
    expect(message(() => Moments.fromBytes(damaged))).toMatchInlineSnapshot(`"FormatError: Moments.fromBytes: expected \`bytes\` intact (CRC-32), got damaged bytes"`);
    const long = new ByteWriter("test", 3).float64Array(new Float64Array(1000).fill(2)).bytes();
    const reader = new ByteReader("test", long, "test", 3);
    expect([reader.version, reader.float64Array("x", 1000)[999]]).toEqual([3, 2]);
    reader.end();
    expect(message(() => new ByteReader("test", long, "test", 3).float64Array("x", 3))).toMatchInlineSnapshot(`"FormatError: test: expected \`bytes\` with 3 numbers in \`x\`, got 1000"`);
  });
});
