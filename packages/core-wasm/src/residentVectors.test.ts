import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { addDots, combine, LinearScaling } from "./families/linear.ts";
import { core } from "./index.ts";

function vectors(count: number, n: number, seed: number) {
  const random = testRandom(seed);
  return Array.from({ length: count }, () => {
    const made = core.alloc([n]);
    made.data.set(Float32Array.from({ length: n }, () => random.normal()));
    return made;
  });
}

describe("addDots and combine", () => {
  it.each([4, 8, 12, 1020, 1024, 1028, 2048, 5004])("agree with the definition for %i elements", (n) => {
    const all = vectors(5, n, n);
    const [u, v, w, a, b] = all.map((x) => Float64Array.from(x.data));
    const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    const sums = Float64Array.of(1, 2, 3, 4, 5, 6);
    addDots(all.slice(0, 3), all[3], all[4], sums, 0, n);
    const size = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + Math.abs(value * y[i]), 0);
    // 128 additions in a lane at most.
    [[u, a], [u, b], [v, a], [v, b], [w, a], [w, b]].forEach(([x, y], i) => expectClose(sums[i], i + 1 + dot(x, y), { atol: 130 * 2 ** -24 * size(x, y) + 1e-12 }));
    combine(all.slice(0, 3), [2, -0.5, 0.25], all[3], 0, n);
    // Three roundings of products of numbers of about 4.
    expectClose(all[3].data.slice(), u.map((value, i) => 2 * value - 0.5 * v[i] + 0.25 * w[i]), { atol: 2e-6 });
    combine([all[4], all[0]], [1, 1], all[4], 0, n);
    expectExact(all[4].data.slice(), b.map((value, i) => Math.fround(value + u[i])));
    for (const x of all) x.dispose();
  });

  it("keep to the part they are given", () => {
    const all = vectors(3, 16, 1);
    const before = all[2].data.slice();
    const sums = new Float64Array(2);
    addDots([all[0]], all[1], all[1], sums, 4, 8);
    expectClose(sums[0], all[0].data.slice(4, 12).reduce((sum, value, i) => sum + value * all[1].data[4 + i], 0), { atol: 1e-5 });
    combine([all[0]], [1], all[2], 4, 8);
    expectExact(all[2].data.slice(), [...before.slice(0, 4), ...all[0].data.slice(4, 12), ...before.slice(12)]);
    for (const x of all) x.dispose();
  });
});

describe("LinearScaling", () => {
  it.each([1, 3, 255, 256, 257, 600])("changes variables and carries gradients for %i features", (features) => {
    const stride = 4, random = testRandom(features);
    const scale = Float32Array.from({ length: features }, () => 0.5 + random.uniform()), mean = Float32Array.from({ length: features }, () => random.normal());
    const scaling = new LinearScaling(scale, mean);
    const [u, w, g] = vectors(3, (features + 1) * stride, features + 1).map((x) => {
      const made = core.alloc([features + 1, stride]);
      made.data.set(x.data);
      x.dispose();
      return made;
    });
    const given = g.data.slice();
    let pieces = 0;
    for (let first = 0; first < features; first = scaling.pieceEnd(first), pieces++) scaling.toWeights(u, w, first);
    expect(pieces).toBe(Math.ceil(features / 256));
    const bias = Float64Array.from(u.data.slice(features * stride));
    for (let f = 0; f < features; f++) {
      for (let c = 0; c < stride; c++) {
        expect(w.data[f * stride + c]).toBe(Math.fround(scale[f] * u.data[f * stride + c]));
        bias[c] -= mean[f] * w.data[f * stride + c];
      }
    }
    expectClose(w.data.slice(features * stride), bias, { atol: 1e-6 * features + 1e-6 }); // float32 sums of terms of about 1
    for (let first = 0; first < features; first = scaling.pieceEnd(first)) scaling.toGradient(g, w, 0.5, first);
    const want = given.map((value, i) => {
      const f = Math.floor(i / stride);
      return f === features ? value : scale[f] * (value - mean[f] * given[features * stride + (i % stride)] + 0.5 * w.data[i]);
    });
    expectClose(g.data.slice(), want, { atol: 3e-6 }); // three roundings of numbers of about 5
    for (const x of [u, w, g]) x.dispose();
  });
});
