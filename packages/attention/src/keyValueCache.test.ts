import { core } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
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
      // Pages end at 64 and 128; heads in groups of 3 and of 1, of 6 and of 5 values.
      for (const [groups, features, width] of [[2, 8, 8], [6, 5, 9], [1, 7, 3]]) {
        const cache = new KeyValueCache({ heads: groups, features, width }), n = 150, q = random([6, n, features], 1), k = random([groups, n, features], 2), v = random([groups, n, width], 3);
        let done = 0;
        for (const to of [1, 2, 60, 64, 65, 128, 130, 150]) {
          cache.append(tokens(k, done, to), tokens(v, done, to));
          done = to;
          for (const last of [1, Math.min(to, 3), Math.min(to, 9)]) {
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
    say(() => cache.append(random([2, 3, 7], 1), random([2, 3, 8], 1)));
    say(() => cache.append(random([2, 3, 8], 1), random([2, 2, 8], 1)));
    cache.append(random([2, 8], 1), random([2, 8], 2));
    say(() => cache.attend(random([3, 8], 1)));
    say(() => cache.attend(random([4, 2, 8], 1)));
    say(() => cache.attend(random([4, 8], 1), { sinks: [1] }));
    say(() => cache.attend(random([4, 8], 1), { windowSize: 0 }));
    say(() => cache.truncate(2));
    cache.dispose();
    say(() => cache.attend(random([4, 8], 1)));
    expect(said.join("\n")).toMatchInlineSnapshot(`
      "RangeError: KeyValueCache: expected \`heads\` an integer in [1, 65536], got 0
      RangeError: KeyValueCache: expected \`pageSize\` a multiple of 64, got 100
      RangeError: KeyValueCache.append: expected \`key\` of shape [2, n, 8] ([Hkv, n, D]), got [2, 3, 7]
      RangeError: KeyValueCache.append: expected \`value\` of shape [2, 3, 8] ([Hkv, n, E]), got [2, 2, 8]
      RangeError: KeyValueCache.attend: expected \`query\` of shape [H, 8] or [H, T, 8] ([H, T, D]), H a multiple of 2, got [3, 8]
      RangeError: KeyValueCache.attend: expected \`query\` with T <= 1, the tokens of the cache, got 2. Append their keys first
      RangeError: KeyValueCache.attend: expected \`sinks\` of shape [4] ([H]), got [1]
      RangeError: KeyValueCache.attend: expected \`windowSize\` an integer in [1, 2147483647], got 0
      RangeError: KeyValueCache.truncate: expected \`length\` an integer in [0, 1], got 2
      DisposedError: KeyValueCache.attend: expected a live cache, got one after dispose()"
    `);
  });
});
