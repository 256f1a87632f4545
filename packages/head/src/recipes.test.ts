import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource } from "@logits/tensor";
import { expectClose, finiteDifferenceGradient, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";

type Rows = Tensor<"float32">;

const modules = { "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };

const rowsOf = (width: number, data: readonly number[]): Rows => new Tensor("float32", [data.length / width, width], Float32Array.from(data));
const softmaxOf = (z: readonly number[]): number[] => z.map((x) => Math.exp(x) / z.reduce((sum, other) => sum + Math.exp(other), 0));

describe("the confidence cascade [paper:dynamically-sacrificing-accuracy-for-reduced-computation-cascaded-inference-based]", () => {
  interface Point {
    readonly threshold: number;
    readonly coverage: number;
    readonly accuracy: number;
  }
  const { curve, thresholdOf, cascade } = recipe<{
    curve(logits: Rows, labels: Int32Array): Point[];
    thresholdOf(points: Point[], epsilon: number): number;
    cascade(stages: Rows[], thresholds: number[], costs: number[]): { labels: number[]; exits: number[]; cost: number };
  }>("confidence-cascade", ["curve", "thresholdOf", "cascade"], modules);
  const random = randomSource(1);
  /** Rounded scores, so that confidences tie. */
  const stage = (rows: number, labels: Int32Array, skill: number): Rows => rowsOf(3, Array.from({ length: 3 * rows }, (_, i) => Math.round(4 * random.uniform()) / 2 + (i % 3 === labels[Math.floor(i / 3)] ? skill : 0)));

  it("gives the thresholds of a search over all confidences", () => {
    for (let n = 1; n < 40; n++) {
      const labels = Int32Array.from({ length: n }, () => random.integer(3)), logits = stage(n, labels, 0.7), points = curve(logits, labels);
      const { maxProbability: { data: confidence }, argmax } = core.logitStatistics(logits, { select: ["maxProbability", "argmax"] });
      const distinct = [...new Set(confidence)].sort((a, b) => b - a);
      const at = (d: number): { coverage: number; accuracy: number } => {
        const kept = Array.from(confidence.keys()).filter((row) => confidence[row] >= d);
        return { coverage: kept.length / n, accuracy: kept.filter((row) => argmax.data[row] === labels[row]).length / kept.length };
      };
      expect(points).toEqual(distinct.map((threshold) => ({ threshold, ...at(threshold) })));
      const best = Math.max(...distinct.map((d) => at(d).accuracy));
      let before = Infinity;
      for (const epsilon of [0, 0.01, 0.1, 0.3, 1]) {
        const threshold = thresholdOf(points, epsilon);
        expect(threshold).toBe(Math.min(...distinct.filter((d) => at(d).accuracy >= best - epsilon)));
        expect(threshold).toBeLessThanOrEqual(before);
        before = threshold;
      }
      expect(at(thresholdOf(points, 0)).accuracy).toBe(best);
      expect(thresholdOf(points, 1)).toBe(distinct.at(-1));
    }
  });

  it("leaves at the first stage that is sure; the cost is its mean", () => {
    const n = 500, labels = Int32Array.from({ length: n }, () => random.integer(3)), stages = [stage(n, labels, 0.5), stage(n, labels, 1), stage(n, labels, 3)];
    const probabilities = stages.map((z) => core.softmax(z));
    const run = (thresholds: number[]) => cascade(stages, thresholds, [1, 5, 25]);
    const { labels: got, exits, cost } = run([0.6, 0.7]);
    for (let row = 0; row < n; row++) {
      const tops = probabilities.map((p) => Math.max(...p.data.subarray(3 * row, 3 * row + 3)));
      const m = tops[0] >= 0.6 ? 0 : tops[1] >= 0.7 ? 1 : 2;
      // The confidence is that of another kernel: a tie with a threshold could differ in the last bit; these scores have none.
      expect([exits[row], got[row]]).toEqual([m, probabilities[m].data.subarray(3 * row, 3 * row + 3).indexOf(tops[m])]);
    }
    expectClose(cost, exits.reduce((sum, m) => sum + [1, 5, 25][m], 0) / n, { rtol: 1e-12 });
    const costs = [0, 0.4, 0.6, 0.8, 1.1].map((d) => run([d, d]).cost);
    expect([costs[0], costs.at(-1), costs.toSorted((a, b) => a - b)]).toEqual([expect.closeTo(1, 9), expect.closeTo(25, 9), costs]);
  });
});

describe("Loki [paper:geometry-aware-adaptation-for-pretrained-models]", () => {
  const { squared, scores, predict, gradient, reachable } = recipe<{
    squared(distances: Rows): Rows;
    scores(logits: Rows, cost: Rows): Rows;
    predict(logits: Rows, cost: Rows): Int32Array;
    gradient(logits: Rows, cost: Rows, upstream: Rows): Rows;
    reachable(cost: Rows): boolean[];
  }>("loki", ["squared", "scores", "predict", "gradient", "reachable"], modules);
  const random = randomSource(2);
  const logitsOf = (rows: number, width: number): Rows => rowsOf(width, Array.from({ length: rows * width }, () => 6 * (random.uniform() - 0.5)));
  const line = (observed: number[], all: number): Rows => rowsOf(all, observed.flatMap((i) => Array.from({ length: all }, (_, y) => Math.abs(i - y))));

  it("is the usual argmax with 0/1 distances", () => {
    const logits = logitsOf(200, 5), zeroOne = rowsOf(5, Array.from({ length: 25 }, (_, i) => Number(i % 6 !== 0)));
    expect(predict(logits, squared(zeroOne))).toEqual(core.argmax(logits).data);
  });

  it("is the rounded mean on a line, the median with absolute cost", () => {
    const observed = [0, 3, 4, 9], logits = logitsOf(300, 4), mean = predict(logits, squared(line(observed, 10))), median = predict(logits, line(observed, 10));
    for (let row = 0; row < 300; row++) {
      const p = softmaxOf(Array.from(logits.data.subarray(4 * row, 4 * row + 4)));
      const expected = p.reduce((sum, q, i) => sum + q * observed[i], 0);
      if (Math.abs((expected % 1) - 0.5) > 1e-4) expect(mean[row]).toBe(Math.round(expected)); // else a tie in float32
      let below = 0;
      const middle = observed.find((_, i) => (below += p[i]) >= 0.5);
      expect(median[row]).toBe(middle);
    }
  });

  it("is a search over all labels for any metric, whatever their numbers", () => {
    const places = Array.from({ length: 12 }, () => [random.uniform(), random.uniform()]), observed = [1, 4, 7, 11], order = random.permutation(12);
    const distances = (all: ArrayLike<number>): Rows => rowsOf(12, observed.flatMap((i) => Array.from(all, (y) => Math.hypot(places[i][0] - places[y][0], places[i][1] - places[y][1]))));
    const plain = distances(Array.from({ length: 12 }, (_, y) => y)), logits = logitsOf(200, 4), got = predict(logits, squared(plain)), moved = predict(logits, squared(distances(order)));
    for (let row = 0; row < 200; row++) {
      const p = softmaxOf(Array.from(logits.data.subarray(4 * row, 4 * row + 4)));
      const risks = Array.from({ length: 12 }, (_, y) => p.reduce((sum, q, i) => sum + q * plain.data[12 * i + y] ** 2, 0));
      expect(risks[got[row]] - Math.min(...risks)).toBeLessThan(1e-6); // float32
      expect(order[moved[row]]).toBe(got[row]);
    }
  });

  it("passes gradients through the scores", () => {
    const logits = logitsOf(1, 4), cost = squared(line([0, 3, 4, 9], 10)), upstream = logitsOf(1, 10);
    const value = (z: Float64Array): number => {
      const p = softmaxOf(Array.from(z));
      return Array.from(upstream.data).reduce((sum, u, y) => sum - u * p.reduce((risk, q, i) => risk + q * cost.data[10 * i + y], 0), 0);
    };
    expectClose(gradient(logits, cost, upstream).data, finiteDifferenceGradient(value, Float64Array.from(logits.data)), { rtol: 1e-4, atol: 1e-3 }); // costs up to 81 in float32
    expectClose(scores(logits, cost).data, Array.from({ length: 10 }, (_, y) => -softmaxOf(Array.from(logits.data)).reduce((risk, q, i) => risk + q * cost.data[10 * i + y], 0)), { rtol: 1e-5 });
  });

  it("reaches on a tree the labels on the paths between observed ones", () => {
    for (let repeat = 0; repeat < 30; repeat++) {
      const size = 3 + random.integer(12), parent = Array.from({ length: size }, (_, y) => (y === 0 ? -1 : random.integer(y)));
      const up = (y: number): number[] => (y < 0 ? [] : [y, ...up(parent[y])]);
      const path = (a: number, b: number): number[] => {
        const [from, to] = [up(a), up(b)], meet = from.find((y) => to.includes(y))!;
        return [...from.slice(0, from.indexOf(meet) + 1), ...to.slice(0, to.indexOf(meet))];
      };
      const observed = Array.from(random.permutation(size).subarray(0, 1 + random.integer(3)));
      const distances = rowsOf(size, observed.flatMap((i) => Array.from({ length: size }, (_, y) => path(i, y).length - 1)));
      const covered = new Set(observed.flatMap((i) => observed.flatMap((j) => path(i, j))));
      expect(reachable(squared(distances))).toEqual(Array.from({ length: size }, (_, y) => covered.has(y)));
    }
  });
});
