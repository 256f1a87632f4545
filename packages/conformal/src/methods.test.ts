import { softmax } from "@logits/core-wasm";
import { massSets } from "@logits/core-wasm/sets";
import { checkGuarantee, densenetCifar100, estimatorChecks, expectExact } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { SplitConformal, clusterClasses, coverageReport, type ConformalMethod, type SplitConformalOptions } from "./index.ts";
import { RankedSet } from "./rankedSet.ts";
import { allScores, isMass, scoreOf, uniformOf, type Rule } from "./scores.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

const METHODS = ["lac", "aps", "raps", "saps", "topk", "margin"] as const;
const RANKED = ["aps", "raps", "saps", "topk"] as const;
const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;

/** The definition, class by class, over the row in order: probabilities in multiples of 2^-52, so that sums are exact. */
function scoresRef({ method, penalty, freeRanks }: Rule, p: ArrayLike<number>, u: number): number[] {
  const q = Array.from(p, (x) => Math.round(x * 2 ** 53 / 2 + (x * 2 ** 52 % 1 === 0.5 ? -0.5 * (Math.floor(x * 2 ** 52) % 2 === 0 ? 1 : -1) : 0)) / 2 ** 52);
  const order = q.map((_, c) => c).sort((a, b) => p[b] - p[a] || a - b);
  return q.map((own, c) => {
    const rank = order.indexOf(c) + 1, before = order.slice(0, rank - 1).reduce((sum, j) => sum + q[j], 0);
    const aps = own === 0 ? before + 1 : before + (1 - u) * own;
    return Math.fround({
      lac: 1 - p[c], margin: Math.max(0, ...Array.from(p).filter((_, j) => j !== c)) - p[c], aps, raps: aps + penalty * Math.max(0, rank - freeRanks),
      saps: rank === 1 ? (1 - u) * own : q[order[0]] + penalty * (rank - 1 - u), topk: rank - u,
    }[method as Exclude<typeof method, "tree">]);
  });
}

const ruleOf = (method: ConformalMethod, penalty = 0, freeRanks = 0): Rule => ({ method, penalty, freeRanks });

/** Probabilities with ties, zeros, tiny and large ones. */
function awkwardRow(classes: number, seed: number): Float32Array {
  const random = randomSource(seed), kind = seed % 4;
  const raw = Float64Array.from({ length: classes }, () => {
    const x = random.uniform();
    return kind === 0 ? x : kind === 1 ? Math.floor(4 * x) : kind === 2 ? 10 ** (-60 * x) : x < 0.5 ? 0 : 2 ** -Math.floor(60 * x);
  });
  const total = raw.reduce((a, b) => a + b, 0) || 1;
  if (total === 1) raw[0] = 1;
  return Float32Array.from(raw, (x) => x / total);
}

describe("scores", () => {
  it.each(METHODS)("%s: agree with the definition, one class alone as all together, bit by bit", (method) => {
    for (let seed = 0; seed < 60; seed++) {
      const classes = 1 + (seed * 7) % 90, p = awkwardRow(classes, seed), u = seed % 3 === 0 ? 0 : uniformOf(1, 0, seed), rule = ruleOf(method, 0.3, 2);
      const all = new Float32Array(classes);
      allScores(rule, p, 1, classes, () => u, all);
      expectExact(all, scoresRef(rule, p, u));
      const again = p.slice();
      for (let c = 0; c < classes; c++) expect(scoreOf(rule, p, 0, classes, c, u)).toBe(all[c]);
      expect(p).toEqual(again); // TorchCP's margin writes into the probabilities that it is given
    }
  });

  it.each(RANKED)("%s: the set found from buckets is the set of the definition, at a threshold equal to each score", (method) => {
    for (let seed = 0; seed < 40; seed++) {
      for (const classes of [2, 48, 49, 130, 1000]) {
        if (classes === 1000 && seed > 11) continue;
        const p = awkwardRow(classes, seed), u = seed % 3 === 0 ? 0 : uniformOf(1, 1, seed), rule = ruleOf(method, seed % 5 === 0 ? 0 : 0.02, 3);
        const all = new Float32Array(classes), found = new RankedSet(classes);
        allScores(rule, p, 1, classes, () => u, all);
        const thresholds = [...new Set(all)].sort((a, b) => a - b).filter((_, i) => classes < 100 || i % 17 === 0).flatMap((s) => [s, Math.fround(s - 1e-7 * (1 + s))]);
        for (const t of [-Infinity, ...thresholds, Infinity]) {
          const mask = new Uint8Array(classes), sizes = new Int32Array(1);
          if (isMass(method)) massSets(p, classes, Float64Array.of(Math.min(1e30, t)), Float64Array.of(u), { mask, sizes }, method === "raps" ? rule : {});
          const size = isMass(method) ? sizes[0] : found.include(rule, p, 0, t, u, mask);
          const want = Uint8Array.from(all, (s) => (s <= t ? 1 : 0));
          expect(mask).toEqual(want);
          expect(size).toBe(want.reduce((a, b) => a + b, 0));
        }
      }
    }
  });

  it("rise along the ranks, so that sets nest", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 200 }), fc.constantFrom(...RANKED), fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true }), (seed, classes, method, u) => {
      const p = awkwardRow(classes, seed), all = new Float32Array(classes);
      allScores(ruleOf(method, 0.01, 2), p, 1, classes, () => u, all);
      const order = Array.from(p, (_, c) => c).sort((a, b) => p[b] - p[a] || a - b);
      for (let r = 1; r < classes; r++) expect(all[order[r]]).toBeGreaterThanOrEqual(all[order[r - 1]]);
    }), { seed: 3, numRuns: 200 });
  });
});

/** Rows by class: class c is right with a strength of its own, so that one quantile for all covers the classes unevenly. */
function byClass(counts: readonly number[], seed: number, columns = counts.length): { logits: { shape: number[]; data: Float32Array }; labels: Int32Array } {
  const random = randomSource(seed), labels = Int32Array.from(counts.flatMap((n, c) => Array.from({ length: n }, () => c)));
  const data = new Float32Array(labels.length * columns);
  labels.forEach((label, n) => {
    for (let c = 0; c < columns; c++) data[n * columns + c] = 4 * random.uniform();
    data[n * columns + label] += 0.8 * label;
  });
  return { logits: { shape: [labels.length, columns], data }, labels };
}

function exchangeable(rows: number, classes: number, seed: number): ReturnType<typeof byClass> {
  const random = randomSource(seed, 9), counts = new Array<number>(classes).fill(0);
  const labels = Array.from({ length: rows }, () => random.integer(classes));
  for (const label of labels) counts[label]++;
  const sorted = byClass(counts, seed), order = random.permutation(rows);
  return {
    labels: Int32Array.from(order, (i) => sorted.labels[i]),
    logits: { shape: [rows, classes], data: Float32Array.from({ length: rows * classes }, (_, i) => sorted.logits.data[order[Math.floor(i / classes)] * classes + (i % classes)]) },
  };
}

const rowsOf = ({ logits: { shape, data }, labels }: ReturnType<typeof byClass>, from: number, to: number) => ({ logits: { shape: [to - from, shape[1]], data: data.subarray(from * shape[1], to * shape[1]) }, labels: labels.subarray(from, to) });
const miss = (fitted: SplitConformal, test: ReturnType<typeof byClass>, options: object = {}) => {
  const { covered, rows } = coverageReport(fitted.predictionSet(test.logits, { alpha: 0.1, allowEmpty: true, ...options }), test.labels);
  return { successes: rows - covered, trials: rows };
};

describe("the promise, simulated", () => {
  it.each(METHODS)("%s misses alpha of the rows, not more and at most 1 / (n + 1) less", (method) => {
    const n = 49; // (n + 1) alpha = 5: the miss rate is exactly 0.1 where scores have no ties
    checkGuarantee({
      name: method, repetitions, kind: "marginal mean", level: 0.1, slack: 1e-3,
      simulate: (seed) => {
        const rows = exchangeable(n + 20, 6, seed);
        const { logits, labels } = rowsOf(rows, 0, n);
        return miss(SplitConformal.fit(logits, labels, { method, seed, ...(method === "raps" && { penalty: 0.05, freeRanks: 2 }) }), rowsOf(rows, n, n + 20));
      },
    });
  });

  it.each(["lac", "aps", "saps"] as const)("%s, each class by itself: every class misses alpha of its rows", (method) => {
    for (const label of [0, 1, 2]) {
      const simulate = (classGroups?: "each") => (seed: number) => {
        const { logits, labels } = byClass([29, 29, 29], seed);
        const counts = [0, 0, 0];
        counts[label] = 10;
        const test = byClass(counts, seed + 1e6);
        return miss(SplitConformal.fit(logits, labels, { method, seed, classGroups }), test);
      };
      checkGuarantee({ name: `${method}, class ${label}`, repetitions, kind: "marginal mean", level: 0.1, slack: 2e-3, simulate: simulate("each") });
      // Without, class 0 misses more than was asked of all.
      if (label === 0) expect(() => checkGuarantee({ name: "marginal", repetitions: 200, kind: "marginal mean", level: 0.1, simulate: simulate() })).toThrow(/promised at most 0.1/);
    }
  });

  it("groups of rows: every group misses alpha of its rows", () => {
    const rows = (seed: number, group: number, count: number) => exchangeable(count, 3, 2 * seed + group);
    for (const group of [0, 1]) {
      checkGuarantee({
        name: `group ${group}`, repetitions, kind: "marginal mean", level: 0.1, slack: 2e-3,
        simulate: (seed) => {
          const a = rows(seed, 0, 19), b = rows(seed, 1, 39);
          const sharp = b.logits.data.map((z) => 3 * z); // group 1 is of another kind
          const fitted = SplitConformal.fit({ shape: [58, 3], data: Float32Array.of(...a.logits.data, ...sharp) }, Int32Array.of(...a.labels, ...b.labels), { method: "aps", seed, groups: Int32Array.from({ length: 58 }, (_, n) => (n < 19 ? 0 : 1)) });
          const test = rows(seed + 1e6, group, 10);
          if (group === 1) test.logits.data = test.logits.data.map((z) => 3 * z);
          return miss(fitted, test, { groups: new Int32Array(10).fill(group) });
        },
      });
    }
  });

  it("clusters of classes: every cluster misses alpha of its rows, the cluster of the rare classes too", () => {
    for (const [classes, label] of [[[0, 1, 2], 1], [[3, 4, 5], 4]] as const) {
      checkGuarantee({
        name: `cluster of ${classes.join(", ")}`, repetitions, kind: "marginal mean", level: 0.1, slack: 2e-3,
        simulate: (seed) => {
          // Three equal classes to a cluster: 13 rows each, 39 in all.
          const { logits, labels } = byClass([13, 13, 13, 13, 13, 13], seed);
          const counts = [0, 0, 0, 0, 0, 0];
          for (const c of classes) counts[c] = 4;
          expect(label).toBe(classes[1]);
          return miss(SplitConformal.fit(logits, labels, { seed, classGroups: [0, 0, 0, 1, 1, 1] }), byClass(counts, seed + 1e6));
        },
      });
    }
  });

  it("groups of rows and each class at once: every pair misses alpha of its rows", () => {
    const kind = (counts: readonly number[], seed: number, sharp: boolean) => {
      const rows = byClass(counts, seed);
      return sharp ? { ...rows, logits: { ...rows.logits, data: rows.logits.data.map((z) => 3 * z) } } : rows;
    };
    for (const [group, label] of [[0, 0], [1, 2]]) {
      checkGuarantee({
        name: `group ${group}, class ${label}`, repetitions, kind: "marginal mean", level: 0.1, slack: 2e-3,
        simulate: (seed) => {
          const a = kind([19, 19, 19], seed, false), b = kind([19, 19, 19], seed + 2e6, true), counts = [0, 0, 0];
          counts[label] = 10;
          const fitted = SplitConformal.fit({ shape: [114, 3], data: Float32Array.of(...a.logits.data, ...b.logits.data) }, Int32Array.of(...a.labels, ...b.labels), { method: "saps", seed, groups: Int32Array.from({ length: 114 }, (_, n) => (n < 57 ? 0 : 1)), classGroups: "each" });
          return miss(fitted, kind(counts, seed + 1e6, group === 1), { groups: new Int32Array(10).fill(group) });
        },
      });
    }
  });

  it("as composed: clusters and a tuned penalty from rows of their own, then calibrated: the cluster of each class misses alpha of its rows", () => {
    checkGuarantee({
      // A cluster of m classes has 12 m rows: at most 1 / 13 less than alpha.
      name: "tuned raps, found clusters", repetitions, kind: "marginal mean", level: 0.1, slack: 1 / 13,
      simulate: (seed) => {
        const other = byClass([14, 14, 14, 14], seed + 2e6), tuned = SplitConformal.tune(other.logits, other.labels, { method: "raps", seed });
        const clusters = clusterClasses(other.logits, other.labels, { ...tuned, clusters: 2, seed });
        const own = clusters.data[0], counts = Array.from(clusters.data, (k) => (k === own ? 5 : 0));
        const { logits, labels } = byClass([12, 12, 12, 12], seed);
        return miss(SplitConformal.fit(logits, labels, { ...tuned, seed, classGroups: clusters }), byClass(counts, seed + 1e6));
      },
    });
  });

  it("weights: under another distribution of the rows the weighted sets miss at most alpha, the others more", () => {
    const n = 99;
    // One class is right with probability 1 - x / 2, x the hardness; calibration x has density 1, new rows 2x: the likelihood ratio is 2x.
    const draw = (rows: number, seed: number, shifted: boolean) => {
      const random = randomSource(seed, shifted ? 1 : 0), hardness = Float32Array.from({ length: rows }, () => (shifted ? Math.max(random.uniform(), random.uniform()) : random.uniform()));
      const labels = Int32Array.from(hardness, (x) => (random.uniform() < x / 2 ? 1 + random.integer(2) : 0));
      const data = Float32Array.from({ length: rows * 3 }, (_, i) => (i % 3 === 0 ? 2 : 0) + 0.5 * random.uniform());
      return { logits: { shape: [rows, 3], data }, labels, weights: hardness.map((x) => 2 * x) };
    };
    const simulate = (weighted: boolean) => (seed: number) => {
      const a = draw(n, seed, false), b = draw(20, seed, true);
      const fitted = SplitConformal.fit(a.logits, a.labels, { method: "aps", seed, ...(weighted && { weights: a.weights }) });
      return miss(fitted, b, { alpha: 0.2, ...(weighted && { weights: b.weights }) });
    };
    // The slack is the expected share of the heaviest row, below 2 / 100 / (1 - 4 standard errors of the mean weight).
    checkGuarantee({ name: "weighted", repetitions, kind: "marginal mean", level: 0.2, slack: 0.026, simulate: simulate(true) });
    expect(() => checkGuarantee({ name: "unweighted", repetitions: 400, kind: "marginal mean", level: 0.2, simulate: simulate(false) })).toThrow(/promised at most 0.2/);
  });

  it.each([["aps", true], ["lac", false], ["lac", true], ["topk", false]] as const)("p-values of %s, smooth %s: P(p <= a) is at most a for the label; smooth: a", (method, smooth) => {
    for (const a of [0.05, 0.31, 0.8]) {
      checkGuarantee({
        name: `${method} at ${a}`, repetitions, kind: "marginal mean", level: a, ...(smooth && { slack: 1e-6 }),
        simulate: (seed) => {
          const rows = exchangeable(34, 4, seed), { logits, labels } = rowsOf(rows, 0, 24), test = rowsOf(rows, 24, 34);
          const p = SplitConformal.fit(logits, labels, { method, seed }).pValues(test.logits, { smooth, seed });
          return { successes: Array.from(test.labels).filter((label, i) => p.data[i * 4 + label] <= a).length, trials: 10 };
        },
      });
    }
  });
});

describe("p-values", () => {
  const rows = exchangeable(60, 5, 3), test = exchangeable(20, 5, 4).logits;
  it.each([{}, { groups: true }, { classGroups: "each" as const }, { weights: true }, { groups: true, weights: true, classGroups: [0, 1, 0, 1, 1] }])("say which classes are in the set: p > alpha, %o", ({ groups, weights, classGroups }) => {
    const random = randomSource(1), w = (count: number) => Float32Array.from({ length: count }, () => random.uniform()), g = (count: number) => Int32Array.from({ length: count }, (_, i) => i % 2);
    for (const method of METHODS) {
      const fitted = SplitConformal.fit(rows.logits, rows.labels, { method, classGroups, ...(groups && { groups: g(60) }), ...(weights && { weights: w(60) }) });
      const own = { ...(groups && { groups: g(20) }), ...(weights && { weights: w(20) }) };
      const p = fitted.pValues(test, own).data;
      for (const alpha of [0.013, 0.105, 0.3331, 0.77]) expect(fitted.predictionSet(test, { alpha, allowEmpty: true, ...own }).mask.data).toEqual(Uint8Array.from(p, (x) => (x > alpha ? 1 : 0)));
    }
  });

  it("are (number >= + 1) / (n + 1), and between their one-sided limits when smooth", () => {
    const fitted = SplitConformal.fit([[0, 0], [0, 0], [0, 0], [9, 0]], [0, 0, 0, 1]);
    expect(fitted.pValues([[0, 0], [0, 9]]).toArray()).toEqual([[1, 1], [0.4000000059604645, 1]]);
    const [a] = fitted.pValues([[0, 0]], { smooth: true, ids: [0] }).data;
    expect(a).toBeGreaterThan(0.2);
    expect(a).toBeLessThan(1);
  });
});

describe("conditions", () => {
  it("without effect change nothing: one group, one class group, equal weights", () => {
    const { logits, labels } = exchangeable(80, 4, 1), test = exchangeable(30, 4, 2).logits;
    for (const method of METHODS) {
      const want = SplitConformal.fit(logits, labels, { method }).predictionSet(test, { alpha: 0.15 });
      const one = new Int32Array(80), ones = new Float32Array(80).fill(0.3);
      for (const [fit, predict] of [[{ groups: one }, { groups: new Int32Array(30) }], [{ classGroups: [0, 0, 0, 0] }, {}], [{ weights: ones }, { weights: new Float32Array(30).fill(0.3) }]] as const) {
        const got = SplitConformal.fit(logits, labels, { method, ...fit }).predictionSet(test, { alpha: 0.15, ...predict });
        expect(got.mask.data).toEqual(want.mask.data);
      }
    }
  });

  it("keep each weight with its score, whatever the order of the rows", () => {
    // Two light rows with low scores, one heavy row with a high score. Weights sorted by themselves (TorchCP) would give the middle score.
    const z = [[3, 0], [2, 0], [-3, 0]], labels = [0, 0, 0], weights = [1, 1, 10];
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
      const fitted = SplitConformal.fit(order.map((i) => z[i]), order.map((i) => labels[i]), { weights: order.map((i) => weights[i]) });
      // goal (1 - 0.4)(12 + 1) = 7.8: reached at the heavy row only, whose score is 1 - sigmoid(-3).
      expect(fitted.predictionSet([[-2.9, 0]], { alpha: 0.4, weights: [1] }).labels(0)).toEqual([0, 1]);
      expect(fitted.predictionSet([[-3.1, 0]], { alpha: 0.4, weights: [1] }).labels(0)).toEqual([1]);
      // The new row's own weight counts: at 20, the goal 19.2 is out of reach.
      expect(fitted.predictionSet([[-9, 0]], { alpha: 0.4, weights: [20] }).labels(0)).toEqual([0, 1]);
    }
  });

  it("give a class or group with too few rows every set, and say so", () => {
    const { logits, labels } = byClass([30, 30, 4], 1);
    const fitted = SplitConformal.fit(logits, labels, { classGroups: "each" });
    expect(fitted.groupRows()).toEqual([30, 30, 4]);
    expect(fitted.quantile(0.1, 2)).toBe(Infinity);
    expect(fitted.expectedCoverage(0.1, 0.9, 2)).toEqual({ mean: 1, interval: [1, 1] });
    expect(fitted.expectedCoverage(0.1, 0.9, 1).mean).toBe(28 / 31);
    const sets = fitted.predictionSet([[9, 0, -9]], { alpha: 0.1 });
    expect(sets.labels(0)).toContain(2);
    expect(sets.quantile).toBeNaN();
  });

  it("clusters: classes with like scores come together, rare ones last", () => {
    const { logits, labels } = byClass([60, 60, 60, 60, 60, 5], 5);
    const scale = logits.data.map((z, i) => z + (i % 6 === labels[Math.floor(i / 6)] && labels[Math.floor(i / 6)] % 2 === 1 ? 6 : 0)); // odd classes are easy
    const clusters = clusterClasses({ shape: logits.shape, data: scale }, labels, { clusters: 2 });
    expect(Array.from(clusters.data)).toEqual([0, 1, 0, 1, 0, 2].map((k, c) => (c === 2 || c === 4 ? clusters.data[c] : k)));
    expect(clusters.data[1]).toBe(clusters.data[3]);
    expect(clusters.data[0]).not.toBe(clusters.data[1]);
    expect(clusters.data[5]).toBe(2);
    expect(Array.from(clusterClasses([[0, 1]], [0], { minimumRows: 10 }).data)).toEqual([0, 0]); // all rare: one cluster
    expect(clusterClasses(logits, labels, { clusters: 99, minimumRows: 1 }).data.every((k) => k < 6)).toBe(true);
  });
});

describe("defects of others that are not here", () => {
  it("LAC: the quantile is the score of rank ceil((n + 1)(1 - alpha)), not an interpolated one of n (Torch-Uncertainty)", () => {
    const { logits, labels } = exchangeable(30, 4, 2), fitted = SplitConformal.fit(logits, labels);
    const scores = Array.from(labels, (_, n) => 1 - softmax(tensor(logits.data.slice(4 * n, 4 * n + 4), [1, 4])).data[labels[n]]).sort((a, b) => a - b);
    for (const alpha of [0.05, 0.1, 0.23]) {
      // Rows alone and in fours round softmax differently: 6e-8.
      const k = Math.ceil(31 * (1 - alpha)), position = 29 * (1 - alpha), below = Math.floor(position);
      expect(Math.abs(fitted.quantile(alpha) - scores[k - 1])).toBeLessThan(2e-7);
      expect(fitted.quantile(alpha)).toBeGreaterThan(scores[below] + (position - below) * (scores[below + 1] - scores[below]));
    }
  });

  it("randomised sets take one uniform number for a row, so they are its first ranks (TorchCP draws one for each label)", () => {
    const { logits, labels } = exchangeable(60, 12, 5), test = exchangeable(200, 12, 6).logits;
    for (const method of RANKED) {
      const sets = SplitConformal.fit(logits, labels, { method }).predictionSet(test, { alpha: 0.3, allowEmpty: true });
      for (let n = 0; n < 200; n++) {
        const p = Array.from(sets.probabilities.data.subarray(12 * n, 12 * n + 12)), order = p.map((_, c) => c).sort((a, b) => p[b] - p[a] || a - b);
        expect(sets.labels(n)).toEqual(order.slice(0, sets.sizes.data[n]).sort((a, b) => a - b));
      }
    }
  });

  it("a randomised row has the same set whatever was drawn before it (a generator with a state, as in MAPIE, TorchCP and crepes)", () => {
    const { logits, labels } = exchangeable(60, 5, 7), fitted = SplitConformal.fit(logits, labels, { method: "aps", seed: 3 }), row = { shape: [1, 5], data: logits.data.slice(0, 5) };
    const first = fitted.predictionSet(row, { ids: [12345], allowEmpty: true }).labels(0);
    fitted.predictionSet(exchangeable(50, 5, 8).logits);
    fitted.pValues(exchangeable(50, 5, 9).logits, { smooth: true });
    expect(fitted.predictionSet(row, { ids: [12345], allowEmpty: true }).labels(0)).toEqual(first);
    expect(SplitConformal.fromJSON(JSON.parse(JSON.stringify(fitted))).predictionSet(row, { ids: [12345], allowEmpty: true }).labels(0)).toEqual(first);
  });

  it("equal probabilities are ranked by class index, and sums over 1,000 classes are exact (float32 sums reorder them)", () => {
    const z = { shape: [1, 1000], data: new Float32Array(1000) };
    const fitted = SplitConformal.fit({ shape: [200, 1000], data: new Float32Array(200000) }, Int32Array.from({ length: 200 }, (_, n) => 5 * n), { method: "aps", randomize: false });
    for (const alpha of [0.1, 0.5, 0.9]) {
      const labels = fitted.predictionSet(z, { alpha }).labels(0);
      // The label of rank k is 5 (k - 1): the set is all classes up to it.
      expect(labels).toEqual(Array.from({ length: 5 * (Math.ceil(201 * (1 - alpha) - 1e-9) - 1) + 1 }, (_, c) => c));
    }
  });

  it("half a million calibration rows take 2 MB, and a p-value a search and not a comparison with every row (crepes #9, #10, #31)", () => {
    const n = 480000, random = randomSource(3), data = Float32Array.from({ length: 2 * n }, () => 4 * random.uniform());
    const fitted = SplitConformal.fit({ shape: [n, 2], data }, new Int32Array(n));
    const p = fitted.pValues({ shape: [20000, 2], data: data.subarray(0, 40000) });
    expect(Array.from({ length: 20000 }, (_, i) => p.data[2 * i]).filter((x) => x <= 0.25).length / 20000).toBeCloseTo(0.25, 1);
    expect(JSON.stringify(fitted).length).toBeLessThan(4 * n * 1.4 + 1000);
  });

  it("RAPS: freeRanks is what was given or tuned, never the penalty (MAPIE's k_star = lambda_)", () => {
    const { logits, labels } = exchangeable(200, 6, 1);
    const tuned = SplitConformal.tune(logits, labels, { method: "raps", alpha: 0.1 });
    const ranks = Array.from(labels, (label, n) => {
      const row = Array.from(logits.data.subarray(6 * n, 6 * n + 6));
      return 1 + row.filter((z) => z > row[label]).length;
    }).sort((a, b) => a - b);
    expect(tuned.freeRanks).toBe(ranks[Math.ceil(201 * 0.9 - 1e-9) - 1]);
    const fitted = SplitConformal.fit(logits, labels, { ...tuned, penalty: 0.25 });
    expect([fitted.penalty, fitted.freeRanks]).toEqual([0.25, tuned.freeRanks]);
  });

  it("APS: classes without probability are in a set only where the calibration rows ask for it (MAPIE #254)", () => {
    const certain = Array.from({ length: 40 }, () => [60, ...new Array<number>(9).fill(-60)]);
    for (const method of ["aps", "raps"] as const) {
      for (const randomize of [true, false]) {
        const fitted = SplitConformal.fit(certain, new Int32Array(40), { method, randomize });
        expect(fitted.predictionSet(certain.slice(0, 5), { alpha: 0.03 }).sizes.toArray()).toEqual([1, 1, 1, 1, 1]);
        const surprised = SplitConformal.fit(certain, Int32Array.from({ length: 40 }, (_, n) => (n < 10 ? 3 : 0)), { method, randomize, ...(method === "raps" && { penalty: 0 }) });
        expect(surprised.predictionSet(certain.slice(0, 1), { alpha: 0.1, ids: [0] }).sizes.data[0]).toBe(10);
      }
    }
  });

  it("no empty sets unless they are allowed, for any method (puncc #41)", () => {
    const easy = Array.from({ length: 60 }, (_, i) => [8 + i / 10, 0, 0]), hard = [[0.2, 0.3, 0.1], [1, 0.9, 0]];
    for (const method of METHODS) {
      const fitted = SplitConformal.fit(easy, new Int32Array(60), { method });
      expect(fitted.predictionSet(hard, { alpha: 0.5 }).sizes.data.every((size) => size > 0)).toBe(true);
    }
  });

  it("the rank does not gain one from rounding: (n + 1)(1 - 0.1) at every n with an exact product", () => {
    for (let n = 9; n < 2000; n += 10) {
      const fitted = SplitConformal.fit({ shape: [n, 2], data: Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? 0 : i / n)) }, new Int32Array(n));
      expect(fitted.expectedCoverage(0.1).mean).toBe((((n + 1) * 9) / 10) / (n + 1));
    }
  });

  it("the sets of many classes stay small: RAPS after tuning is at most a quarter of APS that is not randomised, on CIFAR-100", () => {
    const { logits, labels } = densenetCifar100();
    const cut = (a: number, b: number) => [{ data: logits.subarray(a * 100, b * 100), shape: [b - a, 100] }, labels.subarray(a, b)] as const;
    const tuned = SplitConformal.tune(...cut(0, 2000), { method: "raps" }), saps = SplitConformal.tune(...cut(0, 2000), { method: "saps" });
    const report = (options: SplitConformalOptions) => coverageReport(SplitConformal.fit(...cut(2000, 5000), options).predictionSet(cut(5000, 10000)[0]), cut(5000, 10000)[1]);
    const plain = report({ method: "aps", randomize: false }), aps = report({ method: "aps" }), raps = report(tuned), small = report(saps);
    expect(raps.meanSize).toBeLessThan(plain.meanSize / 4);
    expect(raps.meanSize).toBeLessThan(aps.meanSize);
    expect(small.meanSize).toBeLessThan(aps.meanSize);
    // 5,000 rows and 3,000 calibration rows: standard deviation of the coverage sqrt(0.09 (1 / 5000 + 1 / 3000)) = 0.007; four of them below.
    for (const { coverage } of [plain, aps, raps, small]) expect(coverage!).toBeGreaterThan(0.9 - 0.028);
  });
});

describe("SplitConformal of every kind", () => {
  const data = exchangeable(120, 4, 7), probe = exchangeable(30, 4, 8).logits;
  const groups = Int32Array.from({ length: 120 }, (_, n) => (n < 70 ? 0 : 2)), weights = Float32Array.from({ length: 120 }, (_, n) => 1 + (n % 5));
  const kinds: [string, SplitConformalOptions, object][] = [
    ["raps", { method: "raps", penalty: 0.02, freeRanks: 2, seed: 3 }, {}],
    ["saps", { method: "saps", seed: 3 }, {}],
    ["topk", { method: "topk", seed: 3 }, {}],
    ["margin, each class", { method: "margin", classGroups: "each" }, {}],
    ["lac, groups", { groups }, { groups: Int32Array.from({ length: 30 }, (_, n) => n % 3) }],
    ["lac, weights", { weights }, { weights: new Float32Array(30).fill(2) }],
    ["aps, all three", { method: "aps", groups, weights, classGroups: [0, 1, 0, 1] }, { groups: Int32Array.from({ length: 30 }, (_, n) => n % 3), weights: new Float32Array(30).fill(2) }],
  ];
  it.each(kinds.flatMap(([name, options, own]) => estimatorChecks<SplitConformal>({
    name, data: [{ shape: data.logits.shape, data: data.logits.data }, { shape: [120], data: data.labels }],
    fit: (z, y) => SplitConformal.fit(z, y, options),
    output: (fitted) => [fitted.predictionSet(probe, { alpha: 0.1, ...own }).mask, fitted.predictionSet(probe, { alpha: 0.3, ...own }).mask, fitted.pValues(probe, own)],
    fromJSON: SplitConformal.fromJSON,
    rowOrder: "matters", // the uniform numbers, groups and weights go by the position of the calibration rows
    wrongWidth: [(fitted) => fitted.predictionSet([[1, 2, 3]], own), (fitted) => fitted.pValues([[1, 2, 3]], own)],
    base64: ["scores.data", "weights.data"],
  }).map((check) => ({ ...check, name: `${name}: ${check.name}` }))))("$name", ({ run }) => run());

  it("softmax is not asked for twice: probabilities are those of the logits", () => {
    const { probabilities } = SplitConformal.fit(data.logits, data.labels, { method: "raps" }).predictionSet(probe);
    expectExact(probabilities.data.subarray(0, 16), softmax(tensor(probe.data.subarray(0, 16), [4, 4])).data);
  });
});

describe("messages", () => {
  it("ask for the id of a single row, whose uniform number would else be that of row 0 at every call", () => {
    for (const options of [...METHODS.map((method) => ({ method })), { method: "tree" as const, parents: [2, 2, -1] }]) {
      const fitted = SplitConformal.fit([[1, 0], [0, 1]], [0, 1], options);
      if (fitted.randomize) expect(() => fitted.predictionSet([[1, 0]])).toThrow("expected `ids`");
      else expect(fitted.predictionSet([[1, 0]]).sizes.size).toBe(1);
      expect(() => fitted.pValues([[1, 0]], { smooth: true })).toThrow("expected `ids`");
      expect(fitted.pValues([[1, 0]], { smooth: true, ids: [7] }).size).toBe(2);
    }
    const aps = SplitConformal.fit([[1, 0], [0, 1]], [0, 1], { method: "aps" });
    expect(() => aps.predictionSet([[1, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`ids\` the id of the row, got none. One row is drawn by its id: pass one that no other row has]`);
    expect(SplitConformal.fit([[1, 0]], [0], { method: "aps", randomize: false }).predictionSet([[1, 0]]).sizes.size).toBe(1);
    expect(() => SplitConformal.fromJSON({ ...SplitConformal.fit([[1, 0]], [0]).toJSON(), randomize: true })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`randomize\` false with "lac", got true]`);
  });

  const z = [[1, 0], [0, 1]], y = [0, 1], plain = SplitConformal.fit(z, y), grouped = SplitConformal.fit(z, y, { groups: [0, 1] }), weighted = SplitConformal.fit(z, y, { weights: [1, 2] });
  it("say what is wrong", () => {
    expect(() => SplitConformal.fit(z, y, { penalty: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`penalty\` only with "raps" or "saps", got 1 with "lac"]`);
    expect(() => SplitConformal.fit(z, y, { method: "saps", freeRanks: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`freeRanks\` only with "raps", got 1 with "saps"]`);
    expect(() => SplitConformal.fit(z, y, { method: "raps", penalty: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`penalty\` in [0, 1e6], got -1]`);
    expect(() => SplitConformal.fit(z, y, { method: "raps", freeRanks: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`freeRanks\` an integer in [0, 4194304], got 0.5]`);
    expect(() => SplitConformal.fit(z, y, { groups: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`groups\` of shape [2], got [1]]`);
    expect(() => SplitConformal.fit(z, y, { groups: [0, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`groups\` in [0, 2147483648), got -1 at index 1]`);
    expect(() => SplitConformal.fit(z, y, { groups: [0, 16777216] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`groups\` with at most 16777216 groups in all, got 16777217. Number the groups 0, 1, 2, ...]`);
    expect(() => SplitConformal.fit(z, y, { classGroups: [0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`classGroups\` of shape [2], got [1]]`);
    expect(() => SplitConformal.fit(z, y, { classGroups: "class" as "each" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`classGroups\` "each" or int32 [C], got "class"]`);
    expect(() => SplitConformal.fit(z, y, { weights: [1, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`weights\` of finite numbers >= 0, got -1 at index 1]`);
    expect(() => SplitConformal.fit(z, y, { weights: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`weights\` of shape [2], got [1]]`);
    expect(() => plain.predictionSet(z, { groups: [0, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`groups\` absent, as at the fit, got some]`);
    expect(() => grouped.predictionSet(z)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`groups\` of the rows, as the fit had them, got none]`);
    expect(() => grouped.predictionSet(z, { groups: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.predictionSet: expected \`groups\` in [0, 2), got 2 at index 1]`);
    expect(() => plain.pValues(z, { smooth: true, seed: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.pValues: expected \`seed\` an integer in [0, 2^53), got -1]`);
    expect(() => weighted.pValues(z)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.pValues: expected \`weights\` of the rows, as the fit had them, got none]`);
    expect(() => weighted.quantile(0.1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.quantile: expected \`this\` fitted without weights, got a weighted fit. Its quantile depends on the weight of the row]`);
    expect(() => grouped.quantile(0.1, 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.quantile: expected \`group\` an integer in [0, 1], got 2]`);
    expect(() => SplitConformal.tune(z, y, { method: "aps" as "raps" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.tune: expected \`method\` "raps" or "saps", got aps]`);
    expect(() => clusterClasses(z, y, { clusters: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: clusterClasses: expected \`clusters\` an integer in [1, 2147483647], got 0]`);
  });

  it("of JSON say what is wrong", () => {
    const json = grouped.toJSON();
    expect(() => SplitConformal.fromJSON({ ...json, conditions: ["weights"] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`conditions\` that go with \`groupSizes\`, got ["weights"]]`);
    expect(() => SplitConformal.fromJSON({ ...json, conditions: ["groups", "rows"] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`conditions\` of "groups", "classGroups", "weights", each once, got "rows" at index 1]`);
    expect(() => SplitConformal.fromJSON({ ...plain.toJSON(), weights: json.scores })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`conditions\` that go with \`weights\`, got []]`);
    expect(() => SplitConformal.fromJSON({ ...json, groupSizes: plain.toJSON().scores })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`groupSizes\` a tensor of int32 and rank 1, got dtype "float32"]`);
    expect(() => SplitConformal.fromJSON({ ...plain.toJSON(), conditions: ["classGroups"], classGroups: json.groupSizes })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`groupSizes\` a tensor of int32 and rank 1, got nothing: the field is missing]`);
  });
});
