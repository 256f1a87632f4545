import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import { sampleNormal } from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/cfCam.json" with { type: "json" };

type Rows = Tensor<"float32">;

const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = randomSource(17);
const normal = (): number => sampleNormal(random);
const rows = (shape: number[], make: (i: number) => number): Rows => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => make(i)));
const lists = (x: Rows): number[][] => Array.from({ length: x.shape[0] }, (_, b) => Array.from(x.row(b).data));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);
const softmaxOf = (z: ArrayLike<number>): number[] => {
  const e = Array.from(z, (x) => Math.exp(x - Math.max(...Array.from(z)))), sum = e.reduce((a, b) => a + b);
  return e.map((x) => x / sum);
};
/** A random rotation of F dimensions, by Gram and Schmidt. */
function rotation(f: number): number[][] {
  const out: number[][] = [];
  while (out.length < f) {
    let v = Array.from({ length: f }, normal);
    for (const u of out) v = v.map((x, i) => x - dot(v, u) * u[i]);
    const size = Math.hypot(...v);
    out.push(v.map((x) => x / size));
  }
  return out;
}
const rotated = (x: Rows, by: number[][]): Rows => rows([...x.shape], (i) => dot(x.row(Math.floor(i / by.length)).data, by[i % by.length]));

describe("Eigen-CAM [paper:eigen-cam-class-activation-map-using-principal-components]", () => {
  const { eigenCam } = recipe<{ eigenCam(activations: Rows): Rows }>("eigen-cam", ["eigenCam"], modules);
  const scaled = (map: number[]): number[] => map.map((x) => (x - Math.min(...map)) / (Math.max(...map) - Math.min(...map)));

  it("agrees with a power iteration in float64", () => {
    for (const [c, h, w] of [[3, 4, 5], [16, 7, 7], [1, 3, 3], [40, 2, 3]]) {
      const a = rows([c, h, w], () => Math.max(0, normal() + 0.3)), pixel = (p: number): number[] => Array.from({ length: c }, (_, k) => a.data[k * h * w + p]);
      let v = new Array<number>(c).fill(1);
      for (let step = 0; step < 200; step++) {
        const next = new Array<number>(c).fill(0);
        for (let p = 0; p < h * w; p++) pixel(p).forEach((x, k) => (next[k] += x * dot(pixel(p), v)));
        v = next.map((x) => x / Math.hypot(...next));
      }
      expectClose(eigenCam(a).data, scaled(Array.from({ length: h * w }, (_, p) => dot(pixel(p), v))), { atol: 1e-5 });
    }
  });

  it("recovers a rank-one pattern and ignores a rotation of the channels", () => {
    const pattern = Array.from({ length: 12 }, () => random.uniform()), strength = Array.from({ length: 5 }, () => random.uniform() + 0.1);
    expectClose(eigenCam(rows([5, 3, 4], (i) => strength[Math.floor(i / 12)] * pattern[i % 12])).data, scaled(pattern), { atol: 1e-5 });
    const a = rows([5, 3, 4], () => random.uniform()), by = rotation(5);
    expectClose(eigenCam(rows([5, 3, 4], (i) => by[Math.floor(i / 12)].reduce((sum, x, k) => sum + x * a.data[k * 12 + (i % 12)], 0))).data, eigenCam(a).data, { atol: 1e-4 }); // the smallest value rules the scale
    expectExact(eigenCam(rows([2, 2, 2], () => 3)).data, new Float32Array(4));
  });
});

describe("CF-CAM [paper:cf-cam-cluster-filter-class-activation-mapping-for-reliable]", () => {
  const { dbscan, blur, cfCam } = recipe<{
    dbscan(points: Float32Array[], eps: number, least: number): Int32Array;
    blur(map: Float32Array, width: number, sigma: number): Float32Array;
    cfCam(activations: Rows, gradients: Rows, sigma: number): Rows;
  }>("cf-cam", ["dbscan", "blur", "cfCam"], modules);

  it("clusters as scikit-learn and smooths as SciPy", () => {
    const [{ points, labels, eps, least }, ...blurs] = fixture.cases as unknown as { points: number[]; labels: number[]; eps: number; least: number; map: number[]; width: number; sigma: number; blurred: number[] }[];
    expectExact(dbscan(Array.from({ length: points.length / 2 }, (_, i) => Float32Array.from(points.slice(2 * i, 2 * i + 2))), eps, least), labels);
    for (const { map, width, sigma, blurred } of blurs) {
      expectClose(blur(Float32Array.from(map), width, sigma), blurred, { atol: 1e-6 });
      expectExact(blur(Float32Array.from(map), width, 0), Float32Array.from(map));
    }
  });

  it("is Grad-CAM with softmax of its weights where all channels are strong", () => {
    const a = rows([4, 2, 3], (i) => [1, 2, 3, -1, 0.5, 2][(i + 2 * Math.floor(i / 6)) % 6]), g = rows([4, 2, 3], normal); // cyclic shifts: equal norms
    const w = softmaxOf([0, 1, 2, 3].map((k) => Array.from(g.data.subarray(6 * k, 6 * k + 6)).reduce((sum, x) => sum + x / 6, 0))), map = Array.from({ length: 6 }, (_, p) => Math.max(0, w.reduce((sum, x, k) => sum + x * a.data[6 * k + p], 0)));
    expectClose(cfCam(a, g, 2).data, map.map((x) => x / Math.max(...map)), { atol: 1e-6 });
  });

  it("gives a cluster the mean of its gradients, and leaves out what is in none", () => {
    // Channels: two strong ones, four weak ones that are nearly the same, one weak one that is alone.
    const base = [1, 0, 0, 0, 0, 1], a = rows([8, 2, 3], (i) => [9, 8, 1, 1.01, 0.99, 1.005, 0, 0][Math.floor(i / 6)] * base[i % 6] + (Math.floor(i / 6) === 6 ? [0, 3, 0, 0, 0, 0][i % 6] : Math.floor(i / 6) === 7 ? [0, 0, 0, 4, 0, 0][i % 6] : 0)), g = rows([8, 2, 3], normal);
    const mean = (k: number): number => Array.from(g.data.subarray(6 * k, 6 * k + 6)).reduce((sum, x) => sum + x / 6, 0), cluster = (mean(2) + mean(3) + mean(4) + mean(5)) / 4;
    const w = softmaxOf([mean(0), mean(1), cluster, cluster, cluster, cluster]), map = Array.from({ length: 6 }, (_, p) => w.reduce((sum, x, k) => sum + x * a.data[6 * k + p], 0));
    expectClose(cfCam(a, g, 0).data, map.map((x) => x / Math.max(...map)), { atol: 1e-6 });
    expect(cfCam(a, g, 0).data[1]).toBe(0); // the lonely channel's pixel
    expectExact(cfCam(rows([2, 1, 2], () => -1), rows([2, 1, 2], () => 1), 1).data, [0, 0]);
  });
});

describe("compositional zero-shot learning [paper:learning-to-compose-soft-prompts-for-compositional-zero-shot]", () => {
  const { pairProbabilities, seenUnseen } = recipe<{
    pairProbabilities(images: Rows, pairs: Rows, feasible: Uint8Array, tau: number): Rows;
    seenUnseen(scores: Rows, labels: Int32Array, unseen: Uint8Array): { auc: number; harmonic: number; curve: [number, number][] };
  }>("compositional-zero-shot", ["pairProbabilities", "seenUnseen"], modules);
  const unseen = Uint8Array.of(0, 0, 1, 0, 1, 1), n = 80;
  /** Rounded, so that gaps tie. */
  const scores = rows([n, 6], () => Math.round(4 * normal()) / 4), labels = Int32Array.from({ length: n }, () => random.integer(6));
  const at = (bias: number, z: Rows = scores): [number, number] => {
    const right = lists(z).map((row, b) => {
      const best = (kind: number): number => row.map((x, c) => [x, c]).filter(([, c]) => unseen[c] === kind).reduce((a, x) => (x[0] > a[0] ? x : a))[1];
      const [seen, other] = [best(0), best(1)];
      return labels[b] === (row[other] + bias > row[seen] ? other : seen);
    });
    const share = (kind: number): number => right.filter((r, b) => r && unseen[labels[b]] === kind).length / right.filter((_, b) => unseen[labels[b]] === kind).length;
    return [share(1), share(0)];
  };

  it("has the points of a search over all biases, and their area", () => {
    const { auc, harmonic, curve } = seenUnseen(scores, labels, unseen), biases = Array.from({ length: 401 }, (_, i) => -10.0625 + i / 20); // between and beyond all gaps, none at one
    const points = [...new Set(biases.map((bias) => at(bias).join()))].map((text) => text.split(",").map(Number));
    expect(new Set(curve.map((point) => point.join()))).toEqual(new Set(points.map((point) => point.join())));
    expectClose(auc, points.slice(1).reduce((sum, [u, s], i) => sum + ((u - points[i][0]) * (s + points[i][1])) / 2, 0), { atol: 1e-12 });
    expectClose(harmonic, Math.max(...points.map(([u, s]) => (2 * u * s) / (u + s) || 0)), { atol: 1e-12 });
    expectExact([...curve[0], ...curve.at(-1)!], [...at(-1e6), ...at(1e6)]);
    expect([curve[0][0], curve.at(-1)![1]]).toEqual([0, 0]);
  });

  it("does not change with what is added to all scores of a row", () => {
    expect(seenUnseen(rows([n, 6], (i) => scores.data[i] + 4 * Math.floor(i / 6)), labels, unseen)).toEqual(seenUnseen(scores, labels, unseen)); // exact in float32
  });

  it("is 1 for a model that knows, and takes infeasible pairs out", () => {
    expect(seenUnseen(rows([n, 6], (i) => Number(i % 6 === labels[Math.floor(i / 6)])), labels, unseen)).toMatchObject({ auc: 1, harmonic: 1 });
    const images = rows([4, 3], normal), pairs = rows([6, 3], normal), feasible = Uint8Array.of(1, 0, 1, 1, 1, 0), p = pairProbabilities(images, pairs, feasible, 0.05);
    lists(images).forEach((x, b) => {
      const z = lists(pairs).map((t, c) => (feasible[c] ? dot(x, t) / Math.hypot(...x) / Math.hypot(...t) / 0.05 : -Infinity));
      expectClose(p.row(b).data, softmaxOf(z), { rtol: 2e-5, atol: 1e-7 }); // cosines in float32 over 0.05
    });
  });
});

describe("neural collapse [paper:neural-collapse-in-deep-linear-networks-from-balanced-to]", () => {
  const { neuralCollapse, simplex } = recipe<{ neuralCollapse(features: Rows, labels: Int32Array, weights: Rows): { nc1: number; nc2: number; nc3: number; ncc: number }; simplex(k: number): Rows }>("neural-collapse", ["neuralCollapse", "simplex"], modules);
  const labels = (n: number, k: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i % k);

  it("makes simplices: equal lengths, cosines -1 / (K - 1)", () => {
    for (const k of [2, 3, 7]) lists(simplex(k)).forEach((a, i) => lists(simplex(k)).forEach((b, j) => expectClose(dot(a, b), i === j ? 1 : -1 / (k - 1), { atol: 1e-6 })));
  });

  it("is 0, 0, 0, 1 for collapsed features, far from it for noise", () => {
    const etf = simplex(4), y = labels(40, 4), collapsed = rows([40, 4], (i) => 5 * etf.at(y[Math.floor(i / 4)], i % 4) + 2), got = neuralCollapse(collapsed, y, etf);
    expectClose([got.nc1, got.nc2, got.nc3, got.ncc], [0, 0, 0, 1], { atol: 1e-5 });
    const noise = neuralCollapse(rows([40, 4], normal), y, rows([4, 4], normal));
    expect(noise.nc1).toBeGreaterThan(1);
    expect(noise.nc2).toBeGreaterThan(0.1);
    expect(noise.nc3).toBeGreaterThan(0.3);
    expect(noise.ncc).toBeLessThan(0.9);
  });

  it("agrees with the definition by a pseudo-inverse, and does not turn with the features", () => {
    const k = 3, f = 5, n = 60, y = labels(n, k), centres = Array.from({ length: k }, () => Array.from({ length: f }, () => 2 * normal()));
    const features = rows([n, f], (i) => centres[y[Math.floor(i / f)]][i % f] + 0.5 * normal()), weights = rows([k, f], normal), got = neuralCollapse(features, y, weights);
    const means = Array.from({ length: k }, (_, c) => Array.from({ length: f }, (_, j) => lists(features).filter((_, i) => y[i] === c).reduce((sum, h) => sum + h[j] / (n / k), 0)));
    const centre = Array.from({ length: f }, (_, j) => means.reduce((sum, m) => sum + m[j] / k, 0)), m = means.map((row) => row.map((x, j) => x - centre[j]));
    // The pseudo-inverse of Sigma_B by Newton and Schulz: X (2 I - A X), from A' over the product of its norms.
    const a = Array.from({ length: f }, (_, i) => Array.from({ length: f }, (_, j) => m.reduce((sum, row) => sum + (row[i] * row[j]) / k, 0))), trace = a.reduce((sum, row, i) => sum + row[i], 0);
    const times = (p: number[][], q: number[][]): number[][] => p.map((row) => q[0].map((_, j) => row.reduce((sum, x, l) => sum + x * q[l][j], 0)));
    let x = a.map((row) => row.map((v) => v / trace ** 2));
    for (let step = 0; step < 26; step++) { // more would double the rounding in the null space
      const ax = times(a, x);
      x = times(x, ax.map((row, i) => row.map((v, j) => 2 * Number(i === j) - v)));
    }
    const within = Array.from({ length: f }, (_, i) => Array.from({ length: f }, (_, j) => lists(features).reduce((sum, h, r) => sum + ((h[i] - means[y[r]][i]) * (h[j] - means[y[r]][j])) / n, 0)));
    expectClose(got.nc1, times(within, x).reduce((sum, row, i) => sum + row[i], 0) / k, { rtol: 1e-4 });
    const size = (p: number[][]): number => Math.hypot(...p.flat()), gram = m.map((p) => m.map((q) => dot(p, q)));
    expectClose(got.nc2, Math.hypot(...gram.flatMap((row, i) => row.map((v, j) => v / size(gram) - (Number(i === j) - 1 / k) / Math.sqrt(k - 1)))), { atol: 1e-5 });
    expectClose(got.nc3, Math.hypot(...lists(weights).flatMap((row, c) => row.map((v, j) => v / size(lists(weights)) - m[c][j] / size(m)))), { atol: 1e-5 });
    const by = rotation(f), turned = neuralCollapse(rotated(features, by), y, rotated(weights, by));
    expectClose([turned.nc1, turned.nc2, turned.nc3, turned.ncc], [got.nc1, got.nc2, got.nc3, got.ncc], { rtol: 1e-3, atol: 1e-5 });
  });
});

describe("activation sparsity [paper:sparsing-law-towards-large-language-models-with-greater-activation]", () => {
  const { cett, thresholdOf, truncated, activationRatio, largestCett } = recipe<{
    cett(a: Rows, w: Rows, theta: number): number;
    thresholdOf(a: Rows, w: Rows, goal: number): number;
    truncated(a: Rows, w: Rows, theta: number): Rows;
    activationRatio(kept: Rows): number;
    largestCett(perplexityAt: (cett: number) => number, percent: number): number;
  }>("activation-sparsity", ["cett", "thresholdOf", "truncated", "activationRatio", "largestCett"], modules);
  const a = rows([20, 32], () => normal() ** 3), w = rows([32, 12], normal);

  it("agrees with the definition", () => {
    for (const theta of [0, 0.5, 2, 5]) {
      const sum = (t: number, keep: (size: number) => boolean): number => {
        const out = new Array<number>(12).fill(0);
        lists(w).forEach((row, i) => keep(Math.abs(a.at(t, i)) * Math.hypot(...row)) && row.forEach((x, f) => (out[f] += a.at(t, i) * x)));
        return Math.hypot(...out);
      };
      expectClose(cett(a, w, theta), Array.from({ length: 20 }, (_, t) => sum(t, (size) => size <= theta) / sum(t, () => true)).reduce((x, y) => x + y) / 20, { atol: 1e-6 });
    }
    expectExact([cett(a, w, 0), cett(a, w, 1e9)], [0, 1]);
  });

  it("finds the threshold of a CETT, and keeps fewer neurons for a larger one", () => {
    let before = 1;
    for (const goal of [0.05, 0.1, 0.2, 0.4]) {
      const theta = thresholdOf(a, w, goal), ratio = activationRatio(truncated(a, w, theta));
      expect(cett(a, w, theta)).toBeLessThanOrEqual(goal);
      expect(cett(a, w, theta)).toBeGreaterThan(goal - 0.02); // one neuron of 640 more
      expectClose(ratio, lists(a).flatMap((row) => row.filter((x, i) => Math.abs(x) * Math.hypot(...lists(w)[i]) > theta)).length / 640, { atol: 2 / 640 });
      expect(ratio).toBeLessThan(before);
      before = ratio;
    }
    expect(thresholdOf(a, w, 1)).toBeGreaterThan(0);
    expect(activationRatio(truncated(a, w, thresholdOf(a, w, 1)))).toBeLessThan(2 / 640);
  });

  it("finds the largest CETT for a perplexity", () => {
    expectClose(largestCett((c) => 10 * Math.exp(c ** 2), 1), Math.sqrt(Math.log(1.01)), { atol: 1e-3 });
    expect(largestCett(() => 10, 1)).toBe(1);
  });
});

describe("adversarial margins [paper:towards-million-scale-adversarial-robustness-evaluation-with-stronger-individual]", () => {
  const { probabilityMargin, logitMargin, dlrMargin, probabilityMarginGrad } = recipe<{
    probabilityMargin(z: Rows, y: Int32Array): Float32Array;
    logitMargin(z: Rows, y: Int32Array): Float32Array;
    dlrMargin(z: Rows, y: Int32Array): Float32Array;
    probabilityMarginGrad(z: Rows, y: Int32Array): Rows;
  }>("adversarial-margins", ["probabilityMargin", "logitMargin", "dlrMargin", "probabilityMarginGrad"], modules);
  const z = rows([50, 5], () => 2 * normal()), y = Int32Array.from({ length: 50 }, () => random.integer(5));
  const margin = (x: ArrayLike<number>, label: number): number => x[label] - Math.max(...Array.from(x).filter((_, c) => c !== label));

  it("agree with the definitions and share their sign", () => {
    expectClose(logitMargin(z, y), lists(z).map((row, b) => margin(row, y[b])), { atol: 1e-6 });
    expectClose(probabilityMargin(z, y), lists(z).map((row, b) => margin(softmaxOf(row), y[b])), { atol: 1e-6 });
    expectClose(dlrMargin(z, y), lists(z).map((row, b) => margin(row, y[b]) / (row.toSorted((p, q) => q - p)[0] - row.toSorted((p, q) => q - p)[2])), { rtol: 1e-5 });
    logitMargin(z, y).forEach((x, b) => expect([Math.sign(probabilityMargin(z, y)[b]), Math.sign(dlrMargin(z, y)[b])]).toEqual([Math.sign(x), Math.sign(x)]));
  });

  it("have the gradient of the definition", () => {
    const got = probabilityMarginGrad(z, y);
    lists(z).forEach((row, b) => expectClose(got.row(b).data, finiteDifferenceGradient((x) => margin(softmaxOf(x), y[b]), Float64Array.from(row)), { atol: 1e-6 }));
  });

  it("DLR ignores shift and scale", () => {
    expectClose(dlrMargin(rows([50, 5], (i) => 8 * z.data[i]), y), dlrMargin(z, y), { atol: 0 });
    expectClose(dlrMargin(rows([50, 5], (i) => 3 * z.data[i] + 7), y), dlrMargin(z, y), { rtol: 1e-4, atol: 1e-5 });
    expect(dlrMargin(rows([1, 3], () => 1), Int32Array.of(0))[0]).toBeNaN();
  });
});

describe("pairs of questions [paper:videohallucer-evaluating-intrinsic-and-extrinsic-hallucinations-in-large-video]", () => {
  const { paired } = recipe<{ paired(basic: ArrayLike<number>, invented: ArrayLike<number>): Record<string, number> }>("paired-hallucination", ["paired"], modules);

  it("counts a table by hand", () => {
    // basic yes yes no no yes; invented no yes no yes no: two pairs right, wrong are 2 basic and 2 invented.
    expect(paired([1, 1, 0, 0, 1], [0, 1, 0, 1, 0])).toEqual({ basic: 3 / 5, invented: expect.closeTo(3 / 5, 12), overall: 2 / 5, yesDifference: 0, falsePositiveRatio: 0.5 });
  });

  it("gives an answerer of yes no pair", () => {
    expect(paired([1, 1, 1], [1, 1, 1])).toEqual({ basic: 1, invented: 0, overall: 0, yesDifference: 0.5, falsePositiveRatio: 1 });
    expect(paired([0, 0], [0, 0])).toEqual({ basic: 0, invented: 1, overall: 0, yesDifference: -0.5, falsePositiveRatio: 0 });
    expect(paired([1], [0]).falsePositiveRatio).toBeNaN();
    expect(() => paired([1], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: paired: expected \`invented\` of shape [1] with at least one pair, got [2]]`);
  });
});
