import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it, vi } from "vitest";
import { KeyValueCache, alibi, alibiSlopes, attention, kerple, type AttendOptions } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

/** Tokens [from, to) of [heads, n, width]. */
const tokens = (x: Tensor<"float32">, from: number, to: number): Tensor<"float32"> => {
  const [heads, n, width] = x.shape, out = new Float32Array(heads * (to - from) * width);
  for (let h = 0; h < heads; h++) out.set(x.data.subarray((h * n + from) * width, (h * n + to) * width), h * (to - from) * width);
  return new Tensor("float32", [heads, to - from, width], out);
};

/** Two orders of summing up to 300 float32 products. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

describe("KeyValueCache", () => {
  const options: [string, AttendOptions][] = [
    ["softmax", {}], ["window", { windowSize: 70 }], ["window of one", { windowSize: 1 }], ["soft cap and scale", { softCap: 2, scale: 0.7 }], ["sinks", { sinks: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6] }], ["softmax-one", { softmaxOne: true }],
    ["ALiBi", { positionBias: alibi(alibiSlopes(6)), windowSize: 130 }], ["KERPLE", { positionBias: kerple("logarithmic", [1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3]) }], ["sigmoid", { normalizer: "sigmoid" }],
    ["sigmoid with a bias", { normalizer: "sigmoid", sigmoidBias: [-1, -2, -3, -4, -5, -6] }],
  ];
  for (const [name, given] of options) {
    it(`decodes what attention gives: ${name}`, () => {
      // Pages end at 64 and 128; heads in groups of 3, of 1 (few and many columns) and of 6.
      for (const [groups, features, width] of [[2, 8, 8], [6, 5, 9], [6, 4, 72], [1, 7, 3]]) {
        const cache = new KeyValueCache({ heads: groups, features, width }), n = 150, q = random([6, n, features], 1), k = random([groups, n, features], 2), v = random([groups, n, width], 3);
        let done = 0;
        for (const to of [1, 2, 60, 64, 65, 128, 130, 150]) {
          cache.append(tokens(k, done, to), tokens(v, done, to));
          done = to;
          for (const last of [1, Math.min(to, 3), Math.min(to, 17), Math.min(to, 70)]) {
            const query = tokens(q, to - last, to), got = cache.attend(query, given), want = attention(query, tokens(k, 0, to), tokens(v, 0, to), { ...given, causal: true });
            expectClose(got.output.data, want.output.data, CLOSE);
            expectClose(got.logSumExp.data, want.logSumExp.data, CLOSE);
          }
        }
        expectExact(cache.toTensors().key.data, k.data);
        expectExact(cache.toTensors().value.data, v.data);
        cache.dispose();
      }
    });
  }

  for (const [name, given] of options) {
    it(`decodes what attention gives on the numbers that it holds: ${name}`, () => {
      for (const dtype of ["float16", "int8"] as const) {
        for (const [groups, features, width] of [[2, 8, 8], [6, 5, 9], [1, 7, 3]]) {
          const cache = new KeyValueCache({ heads: groups, features, width, dtype }), q = random([6, 150, features], 1), k = random([groups, 150, features], 2), v = random([groups, 150, width], 3);
          let done = 0;
          for (const to of [1, 2, 60, 64, 65, 130, 150]) {
            cache.append(tokens(k, done, to), tokens(v, done, to));
            done = to;
            const held = cache.toTensors(), query = tokens(q, to - Math.min(to, 3), to), got = cache.attend(query, given), want = attention(query, held.key, held.value, { ...given, causal: true });
            // int8: queries rounded to 1 / 16382 of their largest move a score by 1e-3 here, weights to 1 / 32766 of the largest of 64, a sigmoid's sum to up to 20.
            const close = dtype === "float16" ? CLOSE : { atol: given.normalizer === "sigmoid" ? 2e-2 : 6e-3, rtol: 0 };
            expectClose(got.output.data, want.output.data, close);
            expectClose(got.logSumExp.data, want.logSumExp.data, dtype === "float16" ? CLOSE : { atol: 1e-3, rtol: 0 });
          }
          cache.dispose();
        }
      }
    });
  }

  it("holds float16 within max(2^-11 |x|, 2^-15), int8 within 1.0001 max |x| / 254", () => {
    const given = [0, 1, -1, 2 ** -14, 2 ** -15, 0.99 * 2 ** -15, -(2 ** -14.5), 1 / 3, -65504, 2049, 2051, 1e-30, Math.PI, 1e4, 65519, -0.1], { normal } = testRandom(5);
    const values = [...given, ...Array.from({ length: 112 }, (_, i) => normal() * 10 ** ((i % 8) - 4))], x = new Tensor("float32", [2, 4, 16], Float32Array.from(values));
    for (const dtype of ["float16", "int8"] as const) {
      const cache = new KeyValueCache({ heads: 2, features: 16, dtype });
      cache.append(x, x);
      for (const { data } of Object.values(cache.toTensors())) {
        for (let at = 0; at < data.length; at += 16) {
          const row = x.data.subarray(at, at + 16), top = row.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
          row.forEach((v, i) => expect(Math.abs(data[at + i] - v)).toBeLessThanOrEqual(dtype === "float16" ? Math.max(2 ** -11 * Math.abs(v), 2 ** -15) : (1.0001 * top) / 254));
        }
      }
      // Numbers of float16, ties to even, and what lies below 2^-14.
      if (dtype === "float16") expectExact(cache.toTensors().key.data.subarray(0, 12), Float32Array.of(0, 1, -1, 2 ** -14, 2 ** -14, 0, -(2 ** -14), 0.333251953125, -65504, 2048, 2052, 0));
      cache.dispose();
    }
  });

  it("keeps the output of an int8 cache within (exp(2 d) - 1 + 0.006) max |v|, d = scale (sum |q| / 254 + D max |q| / 16382) max |k|, of the float32 one's", () => {
    for (const [seed, features, scale] of [[1, 64, 0.125], [2, 16, 1], [3, 33, 0.02]]) {
      const q = random([8, features], seed), k = random([2, 300, features], seed + 10), v = random([2, 300, features], seed + 20), top = (x: Tensor<"float32">): number => x.data.reduce((m, e) => Math.max(m, Math.abs(e)), 0);
      const [whole, rounded] = (["float32", "int8"] as const).map((dtype) => {
        const cache = new KeyValueCache({ heads: 2, features, dtype });
        cache.append(k, v);
        const { output } = cache.attend(q, { scale });
        cache.dispose();
        return output;
      });
      for (let h = 0; h < 8; h++) {
        const row = q.data.subarray(h * features, (h + 1) * features), d = scale * (row.reduce((sum, e) => sum + Math.abs(e), 0) / 254 + (features * row.reduce((m, e) => Math.max(m, Math.abs(e)), 0)) / 16382) * top(k);
        for (let e = 0; e < features; e++) expect(Math.abs(rounded.data[h * features + e] - whole.data[h * features + e])).toBeLessThanOrEqual((Math.exp(2 * d) - 1 + 0.006) * top(v));
      }
      // What it comes to for normal numbers: the bound is for the worst signs.
      const off = rounded.data.reduce((sum, x, i) => sum + (x - whole.data[i]) ** 2, 0), all = whole.data.reduce((sum, x) => sum + x * x, 0);
      expect(Math.sqrt(off / all)).toBeLessThan(scale === 1 ? 0.05 : 0.02);
    }
  });

  it("keeps chosen tokens as if the others had never been", () => {
    for (const dtype of ["float32", "float16", "int8"] as const) {
      for (const kept of [[0, 1, 2, 3, 60, 63, 64, 65, 128, 199], Array.from({ length: 100 }, (_, i) => 2 * i), [], [199]]) {
        const k = random([2, 200, 5], 1), v = random([2, 200, 9], 2), q = random([4, 5], 3), [cache, want] = [0, 1].map(() => new KeyValueCache({ heads: 2, features: 5, width: 9, dtype }));
        cache.append(k, v);
        cache.keep({ data: Int32Array.from(kept), shape: [kept.length] });
        for (const token of kept) want.append(tokens(k, token, token + 1), tokens(v, token, token + 1));
        expect([cache.length, cache.bytes]).toEqual([want.length, want.bytes]);
        for (const part of ["key", "value"] as const) expectExact(cache.toTensors()[part].data, want.toTensors()[part].data);
        // And goes on from there.
        for (const each of [cache, want]) each.append(tokens(k, 7, 8), tokens(v, 7, 8));
        expectExact(cache.attend(q).output.data, want.attend(q).output.data);
        for (const each of [cache, want]) each.dispose();
      }
    }
  });

  it("takes 2 and 1 bytes an element, and scales", () => {
    const bytes = (["float32", "float16", "int8"] as const).map((dtype) => {
      const cache = new KeyValueCache({ heads: 2, features: 64, dtype });
      cache.append(random([2, 64, 64], 1), random([2, 64, 64], 2));
      const { bytes } = cache;
      cache.dispose();
      return bytes;
    });
    expect(bytes).toEqual([2 * 64 * 128 * 4, 2 * 64 * 128 * 2, 2 * 64 * (128 + 12)]);
  });

  it("gives NaN for a query that is not finite, and for a key that is not, to the heads that see it", () => {
    for (const dtype of ["float32", "float16", "int8"] as const) {
      const cache = new KeyValueCache({ heads: 2, features: 8, dtype }), q = random([4, 8], 3);
      cache.append(random([2, 70, 8], 1), random([2, 70, 8], 2));
      q.data[8] = NaN;
      for (const given of [{}, { normalizer: "sigmoid" }] as const) expect(Array.from(cache.attend(q, given).output.data, Number.isNaN)).toEqual(Array.from({ length: 32 }, (_, i) => i >> 3 === 1));
      cache.dispose();
    }
    const cache = new KeyValueCache({ heads: 2, features: 8 }), k = random([2, 70, 8], 1);
    k.data[70 * 8 + 9] = NaN;
    cache.append(k, random([2, 70, 8], 2));
    expect(Array.from(cache.attend(random([4, 8], 3)).output.data, Number.isNaN)).toEqual(Array.from({ length: 32 }, (_, i) => i >> 4 === 1));
    // Outside its window it is not seen, and after truncation it is gone.
    expect(cache.attend(random([4, 8], 3), { windowSize: 68 }).output.data.every(Number.isFinite)).toBe(true);
    cache.truncate(1);
    expect(cache.attend(random([4, 8], 3)).output.data.every(Number.isFinite)).toBe(true);
    cache.dispose();
  });

  it("has the same bits in pages of 64 and in one piece", () => {
    const k = random([2, 300, 16], 2), v = random([2, 300, 16], 3), q = random([8, 16], 1), caches = [64, 512].map((pageSize) => new KeyValueCache({ heads: 2, features: 16, pageSize }));
    for (const cache of caches) cache.append(k, v);
    expectExact(caches[0].attend(q).output.data, caches[1].attend(q).output.data);
    expect(caches[0].attend(q).output.shape).toEqual([8, 16]);
    for (const cache of caches) cache.dispose();
  });

  it("forgets what is truncated and gives memory back", () => {
    const before = core.bytesInUse, cache = new KeyValueCache({ heads: 1, features: 8 }), k = random([1, 200, 8], 2), v = random([1, 200, 8], 3), q = random([2, 8], 1);
    cache.append(tokens(k, 0, 70), tokens(v, 0, 70));
    const want = cache.attend(q).output.data;
    cache.append(tokens(k, 70, 200), tokens(v, 70, 200));
    expect([cache.length, cache.bytes]).toEqual([200, 4 * 64 * 16 * 4]);
    cache.truncate(70);
    expect([cache.length, cache.bytes]).toEqual([70, 2 * 64 * 16 * 4]);
    expectExact(cache.attend(q).output.data, want);
    cache.dispose();
    cache.dispose();
    // What is left over is the arena, which grows with the largest call.
    expect(core.bytesInUse - before).toBeLessThan(4 * 2 ** 20);
  });

  it("holds no page of an append for which there was no room", () => {
    const cache = new KeyValueCache({ heads: 1, features: 8 }), { alloc } = core, full = vi.spyOn(core, "alloc").mockImplementationOnce(alloc).mockImplementationOnce(() => {
      throw new RangeError("full");
    });
    expect(() => cache.append(random([1, 100, 8], 1), random([1, 100, 8], 2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: full]`);
    full.mockRestore();
    expect([cache.length, cache.bytes]).toEqual([0, 0]);
  });

  it("names what does not fit", () => {
    const cache = new KeyValueCache({ heads: 2, features: 8 }), said: string[] = [], say = (f: () => unknown): void => {
      try {
        f();
      } catch (error) {
        said.push(`${(error as Error).name}: ${(error as Error).message}`);
      }
    };
    say(() => new KeyValueCache({ heads: 0, features: 8 }));
    say(() => new KeyValueCache({ heads: 1, features: 8, pageSize: 100 }));
    say(() => new KeyValueCache({ heads: 1, features: 8, dtype: "int4" as "int8" }));
    for (const [dtype, x] of [["float16", 65520], ["float16", NaN], ["int8", Infinity]] as const) {
      const small = new KeyValueCache({ heads: 1, features: 1, dtype });
      say(() => small.append([[1]], [[x]]));
      expect([small.length, small.bytes]).toEqual([0, 0]);
    }
    say(() => cache.append(random([2, 3, 7], 1), random([2, 3, 8], 1)));
    say(() => cache.append(random([2, 3, 8], 1), random([2, 2, 8], 1)));
    cache.append(random([2, 8], 1), random([2, 8], 2));
    say(() => cache.attend(random([3, 8], 1)));
    say(() => cache.attend(random([4, 2, 8], 1)));
    say(() => cache.attend(random([4, 8], 1), { sinks: [1] }));
    say(() => cache.attend(random([4, 8], 1), { windowSize: 0 }));
    cache.append(random([2, 63, 8], 1), random([2, 63, 8], 2));
    // So many go through the tiles.
    say(() => cache.attend(random([4, 64, 8], 1), { windowSize: 0 }));
    cache.truncate(1);
    say(() => cache.truncate(2));
    for (const some of [[1], [0, 0], [-1]]) say(() => cache.keep(some));
    say(() => cache.keep([[0]]));
    cache.dispose();
    say(() => cache.attend(random([4, 8], 1)));
    expect(said.join("\n")).toMatchInlineSnapshot(`
      "RangeError: KeyValueCache: expected \`heads\` an integer in [1, 65536], got 0
      RangeError: KeyValueCache: expected \`pageSize\` a multiple of 64, got 100
      RangeError: KeyValueCache: expected \`dtype\` "float32", "float16" or "int8", got int4
      RangeError: KeyValueCache.append: expected \`value\` within [-65504, 65504], for a float16 cache, got 65520. Use dtype float32
      RangeError: KeyValueCache.append: expected \`value\` within [-65504, 65504], for a float16 cache, got NaN. Use dtype float32
      RangeError: KeyValueCache.append: expected \`value\` finite, for an int8 cache, got Infinity. Use dtype float32
      RangeError: KeyValueCache.append: expected \`key\` of shape [2, n, 8] ([Hkv, n, D]), got [2, 3, 7]
      RangeError: KeyValueCache.append: expected \`value\` of shape [2, 3, 8] ([Hkv, n, E]), got [2, 2, 8]
      RangeError: KeyValueCache.attend: expected \`query\` of shape [H, 8] or [H, T, 8] ([H, T, D]), H a multiple of 2, got [3, 8]
      RangeError: KeyValueCache.attend: expected \`query\` with T <= 1, the tokens of the cache, got 2. Append their keys first
      RangeError: KeyValueCache.attend: expected \`sinks\` of shape [4] ([H]), got [1]
      RangeError: KeyValueCache.attend: expected \`windowSize\` an integer in [1, 2147483647], got 0
      RangeError: KeyValueCache.attend: expected \`windowSize\` an integer in [1, 2147483647], got 0
      RangeError: KeyValueCache.truncate: expected \`length\` an integer in [0, 1], got 2
      RangeError: KeyValueCache.keep: expected \`tokens\` ascending indices in [0, 0], got 1 at index 0
      RangeError: KeyValueCache.keep: expected \`tokens\` ascending indices in [0, 0], got 0 at index 1
      RangeError: KeyValueCache.keep: expected \`tokens\` ascending indices in [0, 0], got -1 at index 0
      RangeError: KeyValueCache.keep: expected \`tokens\` of shape [n], got [1, 1]
      DisposedError: KeyValueCache.attend: expected a live cache, got one after dispose()"
    `);
  });
});
