import { describe, expect, test } from "vitest";
import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import * as ood from "./index.ts";

const { Tensor } = tensors;
type Rows = tensors.Tensor<"float32">;
const MODULES = { "@logits/core-wasm": core, "@logits/ood": ood, "@logits/statistics": statistics, "@logits/tensor": tensors };

function normals(seed: number, shape: number[]): Rows {
  const random = testRandom(seed);
  return new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random.normal));
}

describe("[paper:dinomaly-the-less-is-more-philosophy-in-multi-class]", () => {
  const { anomalies, looseLoss } = recipe<{
    anomalies(encoder: Rows[], decoder: Rows[], size: readonly [number, number]): { map: Rows; score: number };
    looseLoss(f: Rows, g: Rows, p?: number, factor?: number): { loss: number; grad: Rows };
  }>("dinomaly", ["anomalies", "looseLoss"], MODULES);
  const f = [normals(1, [4, 5, 6]), normals(2, [4, 5, 6])], g = [normals(3, [4, 5, 6]), normals(4, [4, 5, 6])];

  test("the map is the mean of the layers' maps, the score the mean of the top 1 %; 0 for equal features", () => {
    const { map, score } = anomalies(f, g, [9, 11]);
    const each = f.map((layer, l) => ood.resizeMap(ood.cosineMap(layer, { counterpart: g[l] }), [9, 11], { alignCorners: true }));
    expectClose(map, [...map.data.keys()].map((i) => (each[0].data[i] + each[1].data[i]) / 2), { atol: 1e-6 });
    expectClose(score, Math.max(...ood.blurMap(map, { sigma: 4, radius: 2, edge: "zero" }).data), { atol: 0 });
    const same = anomalies(f, f, [9, 11]);
    expect(same.score).toBe(0);
    expect(same.map.data.every((value) => value === 0)).toBe(true);
  });

  test("gradients are those of 1 - cos where a point is hard, a tenth elsewhere", () => {
    const value = (x: Float64Array): number => {
      let dot = 0, a = 0, b = 0;
      x.forEach((own, i) => {
        dot += own * f[0].data[i];
        a += own * own;
        b += f[0].data[i] ** 2;
      });
      return 1 - dot / Math.sqrt(a * b);
    };
    const want = finiteDifferenceGradient(value, Float64Array.from(g[0].data)), full = looseLoss(f[0], g[0], 0.9, 1), loose = looseLoss(f[0], g[0]);
    expectClose(full.loss, value(Float64Array.from(g[0].data)), { rtol: 1e-6 });
    expectClose(full.grad, want, { atol: 1e-6 });
    // 20 points: floor(20 (1 - 0.9)) is 1 in float64, in the official code too.
    const scaled = Array.from({ length: 20 }, (_, n) => loose.grad.data[6 * n] / full.grad.data[6 * n]);
    expect(scaled.filter((share) => Math.abs(share - 1) < 1e-6)).toHaveLength(1);
    expect(scaled.filter((share) => Math.abs(share - 0.1) < 1e-6)).toHaveLength(19);
    expectClose(looseLoss(f[0], g[0], 0).grad, full.grad.data, { atol: 0 });
  });
});

describe("[paper:anomalyncd-towards-novel-anomaly-class-discovery-in-industrial-scenarios]", () => {
  const { defects, merged } = recipe<{ defects(maps: readonly Rows[]): ood.Region[][]; merged(regions: readonly ood.Region[], logits: Rows, temperature?: number): Float32Array }>("anomaly-ncd", ["defects", "merged"], MODULES);
  const map = (seed: number, discs: readonly (readonly number[])[]): Rows => {
    const random = testRandom(seed);
    return new Tensor("float32", [24, 24], Float32Array.from({ length: 576 }, (_, at) => 0.2 * random.uniform() + (discs.some(([i, j]) => (Math.floor(at / 24) - i) ** 2 + ((at % 24) - j) ** 2 <= 9) ? 1 : 0)));
  };

  test("finds the planted regions of several pictures and none in a normal one", () => {
    const found = defects([map(1, [[5, 5]]), map(2, []), map(3, [[5, 5], [17, 15]])]);
    expect(found.map((regions) => regions.map(({ area }) => area))).toEqual([[29], [], [29, 29]]);
  });

  test("one region gives its own answer; several are weighted by the roots of their areas", () => {
    const logits = normals(5, [2, 3]), [a, b] = [4, 9].map((area) => ({ area, top: 0, left: 0, bottom: 1, right: 1 })), p = core.softmax(logits, { temperature: 0.1 });
    expectClose(merged([a], new Tensor("float32", [1, 3], logits.data.subarray(0, 3))), p.row(0).data, { ulp: 4 });
    const share = 1 / (1 + Math.exp((3 - 2) / 2));
    expectClose(merged([a, b], logits, 2), [0, 1, 2].map((c) => share * p.at(0, c) + (1 - share) * p.at(1, c)), { atol: 1e-6 });
  });
});

describe("[paper:resad-towards-class-agnostic-anomaly-detection-via-residual-feature]", () => {
  const { residuals, radii, limit, barrier } = recipe<{
    residuals(patches: Rows, bank: Rows): Rows; radii(r: Rows): Float64Array; limit(abnormal: Float64Array): number; barrier(radius: number, most: number, least?: number): { loss: number; slope: number };
  }>("residual-anomalies", ["residuals", "radii", "limit", "barrier"], MODULES);
  const patches = normals(7, [12, 5]), bank = normals(8, [9, 5]);

  test("residuals by brute force, 0 for a patch of the bank", () => {
    const cos = (a: Rows, b: Rows): number => a.data.reduce((s, x, i) => s + x * b.data[i], 0) / Math.sqrt(a.data.reduce((s, x) => s + x * x, 0) * b.data.reduce((s, x) => s + x * x, 0));
    const r = residuals(patches, bank), A = radii(r);
    for (let n = 0; n < 12; n++) {
      const all = Array.from({ length: 9 }, (_, m) => cos(patches.row(n) as Rows, bank.row(m) as Rows)), m = all.indexOf(Math.max(...all));
      expectClose(r.row(n), [0, 1, 2, 3, 4].map((j) => Math.fround(patches.at(n, j) - bank.at(m, j))), { atol: 0 });
      expectClose(A[n], Math.sqrt(Math.hypot(...r.row(n).data) + 1) - 1, { rtol: 1e-12 });
    }
    expect(radii(residuals(bank, bank)).every((value) => value === 0)).toBe(true);
  });

  test("the barrier is 0 inside, and its slope the derivative with the weight held", () => {
    const most = limit(Float64Array.of(0.3, 0.8));
    expectClose(most, 0.27, { rtol: 1e-12 });
    expect(limit(Float64Array.of(2))).toBe(0.4);
    for (const radius of [most, 0.99 * most, 0.995 * most]) expect(barrier(radius, most)).toEqual({ loss: 0, slope: 0 });
    for (const radius of [0.1, 0.2, 0.5, 1.3]) {
      const over = radius > most ? radius - most : 0.99 * most - radius, held = Math.exp(over);
      const [want] = finiteDifferenceGradient((x) => held * Math.log1p(Math.exp(radius > most ? x[0] - most : 0.99 * most - x[0])), Float64Array.of(radius));
      expectClose(barrier(radius, most).slope, want, { rtol: 1e-6 });
      expectClose(barrier(radius, most).loss, held * Math.log1p(Math.exp(over)), { rtol: 1e-12 });
    }
  });
});
