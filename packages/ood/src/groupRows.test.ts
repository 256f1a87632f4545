import { describe, expect, test } from "vitest";
import { expectClose, expectExact } from "@logits/testkit";
import { sampleNormal } from "@logits/statistics";
import { Tensor, randomSource, runSteps } from "@logits/tensor";
import { groupRows, groupRowsAsync, kMeans, kMeansAsync } from "./index.ts";
import { silhouettes } from "./silhouettes.ts";

/** `each` Gaussian rows of unit variance around centres that are `apart` from one another, in turn; then `noise` rows far out in all directions. */
function blobs(seed: number, count: number, each: number, features: number, apart: number, noise = 0): { x: Tensor<"float32">; truth: number[] } {
  const random = randomSource(seed, 5), rows: number[][] = [], truth: number[] = [];
  for (let n = 0; n < count * each; n++) {
    rows.push(Array.from({ length: features }, (_, j) => sampleNormal(random) + (j === n % count ? apart / Math.SQRT2 : 0)));
    truth.push(n % count);
  }
  for (let n = 0; n < noise; n++) {
    rows.push(Array.from({ length: features }, () => apart * sampleNormal(random)));
    truth.push(-1);
  }
  return { x: new Tensor("float32", [rows.length, features], Float32Array.from(rows.flat())), truth };
}

/** Whether two labellings divide alike. */
function agree(labels: ArrayLike<number>, truth: readonly number[]): boolean {
  const to = new Map<number, number>(), from = new Map<number, number>();
  return truth.every((t, i) => {
    if (!to.has(t)) to.set(t, labels[i]);
    if (!from.has(labels[i])) from.set(labels[i], t);
    return to.get(t) === labels[i] && from.get(labels[i]) === t;
  });
}

function squared(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += (a[j] - b[j]) ** 2;
  return sum;
}

describe("kMeans", () => {
  const { x } = blobs(1, 3, 30, 5, 8);

  test("agrees with the definition: labels are the nearest centres, centres the means of their rows, inertia the sum", () => {
    for (const count of [1, 2, 3, 7]) {
      const { centres, labels, inertia, converged } = kMeans(x, count, { restarts: 1 });
      let sum = 0;
      for (let n = 0; n < 90; n++) {
        const distances = Array.from({ length: count }, (_, k) => squared(x.row(n).data, centres.row(k).data));
        expect(labels.data[n]).toBe(distances.indexOf(Math.min(...distances)));
        sum += Math.min(...distances);
      }
      for (let k = 0; k < count; k++) {
        const own = [...labels.data.keys()].filter((n) => labels.data[n] === k);
        // Sums are float64, a centre is rounded once.
        expectClose(centres.row(k), Array.from({ length: 5 }, (_, j) => own.reduce((s, n) => s + x.at(n, j), 0) / own.length), { ulp: 1, atol: 1e-12 });
      }
      // Distances are float32: (F / 16 + 8) ulp each.
      expectClose(inertia, sum, { rtol: 1e-6 });
      expect(converged).toBe(true);
    }
  });

  test("finds the best division of few rows, by trying all", () => {
    for (let seed = 0; seed < 5; seed++) {
      const random = randomSource(seed, 6), rows = Array.from({ length: 9 }, () => [Math.fround(random.uniform()), Math.fround(random.uniform())]);
      let best = Infinity;
      for (let mask = 1; mask < 256; mask++) {
        let sum = 0;
        for (const side of [0, 1]) {
          const own = rows.filter((_, n) => ((mask >> n) & 1) === side), mean = [0, 1].map((j) => own.reduce((s, row) => s + row[j], 0) / own.length);
          for (const row of own) sum += squared(row, mean);
        }
        best = Math.min(best, sum);
      }
      expectClose(kMeans(rows, 2, { restarts: 30 }).inertia, best, { rtol: 1e-5 });
    }
  });

  test("more starts are never worse; the same seed gives the same bits, also with pauses", async () => {
    const wide = blobs(3, 12, 10, 4, 3).x;
    let before = Infinity;
    for (const restarts of [1, 2, 5, 20]) {
      const { inertia } = kMeans(wide, 12, { restarts, seed: 4 });
      expect(inertia).toBeLessThanOrEqual(before);
      before = inertia;
    }
    expect(await kMeansAsync(wide, 12, { seed: 4 })).toEqual(kMeans(wide, 12, { seed: 4 }));
  });

  test("special values: one row, as many centres as rows, repeated rows, a centre that loses its rows", () => {
    expect(kMeans([[3, 4]], 1).centres.toArray()).toEqual([[3, 4]]);
    const all = kMeans([[0], [5], [9]], 3);
    expect(all.inertia).toBe(0);
    expect(new Set(all.labels.data).size).toBe(3);
    expect(kMeans([[1], [1], [1], [7]], 2, { restarts: 1 }).inertia).toBe(0);
    for (let seed = 0; seed < 40; seed++) expect(new Set(kMeans([[0], [1], [2], [50], [51], [52], [100], [101]], 5, { seed, restarts: 1 }).labels.data).size).toBe(5);
    expect(kMeans(x, 7, { maxIterations: 1, restarts: 1 })).toMatchObject({ iterations: 1, converged: false });
  });

  test("messages", () => {
    expect(() => kMeans([1, 2], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`features\` of shape [N, F], got [2]]`);
    expect(() => kMeans(new Tensor("float32", [0, 2], new Float32Array(0)), 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`features\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
    expect(() => kMeans([[1, NaN]], 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`features\` of finite numbers, got NaN in row 0, column 1]`);
    expect(() => kMeans([[1], [2]], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`count\` an integer in [1, 2], got 3]`);
    expect(() => kMeans([[1], [1], [2]], 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`count\` at most the number of different rows, got 3]`);
    expect(() => kMeans([[1]], 1, { restarts: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`restarts\` an integer in [1, 10000], got 0]`);
    expect(() => kMeans([[1]], 1, { maxIterations: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`maxIterations\` an integer in [1, 2147483647], got 0]`);
    expect(() => kMeans([[1]], 1, { seed: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: kMeans: expected \`seed\` an integer in [0, 9007199254740991], got -1]`);
  });
});

describe("silhouettes", () => {
  test("agree with the definition in float64", () => {
    const { x } = blobs(2, 3, 20, 6, 4), random = randomSource(8, 0);
    for (const count of [2, 3, 9]) {
      const labels = Int32Array.from({ length: 60 }, (_, n) => (n < count ? n : random.integer(count)));
      labels[59] = count - 1;
      const [got] = runSteps(silhouettes(x, [{ count, labels }]));
      const want = Array.from({ length: 60 }, (_, n) => {
        const mean = (k: number): number => {
          const own = [...labels.keys()].filter((m) => m !== n && labels[m] === k);
          return own.length === 0 ? NaN : own.reduce((sum, m) => sum + Math.sqrt(squared(x.row(n).data, x.row(m).data)), 0) / own.length;
        };
        const a = mean(labels[n]), b = Math.min(...Array.from({ length: count }, (_, k) => (k === labels[n] ? Infinity : mean(k))));
        return a !== a ? 0 : (b - a) / Math.max(a, b);
      });
      // Squares of float32 products: 1e-6 of the largest square, over distances of about 1 at least.
      expectClose(got, want, { atol: 1e-5 });
    }
  });

  test("0 for a row alone, and where all rows are equal", () => {
    expectExact(runSteps(silhouettes(new Tensor("float32", [3, 1], Float32Array.of(0, 0, 5)), [{ count: 2, labels: Int32Array.of(0, 0, 1) }]))[0], [1, 1, 0]);
    expectExact(runSteps(silhouettes(new Tensor("float32", [4, 1], new Float32Array(4).fill(2)), [{ count: 2, labels: Int32Array.of(0, 0, 1, 1) }]))[0], [0, 0, 0, 0]);
  });
});

describe("groupRows", () => {
  test("recovers planted groups and how many they are", () => {
    for (const count of [2, 3, 6]) {
      const { x, truth } = blobs(count, count, 25, 8, 14);
      const { outcome, groups, labels, pValue } = groupRows(x, { normalize: false });
      expect(outcome).toBe("groups");
      expect(groups).toHaveLength(count);
      expect(agree(labels.data, truth)).toBe(true);
      expect(pValue).toBe(0.05);
    }
  });

  test("calls Gaussian rows one group, at most one time in twenty", () => {
    let several = 0;
    const repetitions = process.env.LOGITS_SLOW ? 200 : 20;
    for (let seed = 0; seed < repetitions; seed++) {
      const { x } = blobs(100 + seed, 1, 40, 3, 0);
      // Unequal variances, as features have them.
      for (let i = 0; i < x.data.length; i++) x.data[i] *= 1 + (i % 3);
      if (groupRows(x, { normalize: false, seed, counts: [2, 3, 4] }).outcome === "groups") several++;
    }
    // Binomial(20, 0.05) exceeds 4 with probability 0.003, binomial(200, 0.05) 21 with 0.0005.
    expect(several).toBeLessThanOrEqual(repetitions === 20 ? 4 : 21);
  });

  test("rows that resemble nothing are left out; groups come with the most compact first, rows with the nearest first", () => {
    const { x, truth } = blobs(5, 3, 20, 10, 30, 12), { groups, labels } = groupRows(x, { leastSilhouette: 0.5 });
    const unit = Array.from({ length: 72 }, (_, n) => Array.from(x.row(n).data, (value) => value / Math.sqrt(squared(x.row(n).data, new Float32Array(10)))));
    expect(groups).toHaveLength(3);
    for (let g = 0; g + 1 < groups.length; g++) expect(groups[g].silhouette).toBeGreaterThanOrEqual(groups[g + 1].silhouette);
    for (const { rows, centre } of groups) {
      const distances = [...rows].map((n) => squared(unit[n], centre.data));
      // Sorted in float32 directions: neighbours may change places where they differ by less.
      distances.forEach((distance, i) => expect(distance).toBeGreaterThanOrEqual((distances[i - 1] ?? 0) - 1e-6));
      expect(new Set([...rows].slice(0, 15).map((n) => truth[n])).size).toBe(1);
    }
    expect([...labels.data].filter((label, n) => truth[n] === -1 && label === -1).length).toBeGreaterThanOrEqual(8);
    groups.forEach(({ rows }, g) => expect([...labels.data.keys()].filter((n) => labels.data[n] === g)).toEqual([...rows].sort((a, b) => a - b)));
  });

  test("a permutation of the rows divides alike; a rotation too; directions only with `normalize`", () => {
    const { x } = blobs(7, 3, 20, 6, 16), order = randomSource(1, 1).permutation(60);
    const straight = groupRows(x).labels.data;
    const turned = groupRows(new Tensor("float32", [60, 6], Float32Array.from([...order].flatMap((n) => [...x.row(n).data])))).labels.data;
    expect(agree(turned, [...order].map((n) => straight[n]))).toBe(true);
    const rotated = Float32Array.from(x.data, (value, i) => (i % 6 === 0 ? 0.6 * value + 0.8 * x.data[i + 1] : i % 6 === 1 ? 0.6 * value - 0.8 * x.data[i - 1] : value));
    expect(agree(groupRows(new Tensor("float32", [60, 6], rotated)).labels.data, [...straight])).toBe(true);
    const longer = Float32Array.from(x.data, (value, i) => value * (1 + (Math.floor(i / 6) % 5)));
    expect(agree(groupRows(new Tensor("float32", [60, 6], longer)).labels.data, [...straight])).toBe(true);
  });

  test("the same bits with pauses, and for the same seed", async () => {
    const { x } = blobs(9, 2, 20, 4, 9);
    expect(await groupRowsAsync(x, { references: 3, level: 0.5 })).toEqual(groupRows(x, { references: 3, level: 0.5 }));
    await expect(groupRowsAsync(x, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });

  test("special values: no rows, too few, not enough to divide, rows that are all equal, more features than rows", () => {
    expect(groupRows(new Tensor("float32", [0, 3], new Float32Array(0)))).toMatchObject({ outcome: "too few rows", groups: [], criterion: [], pValue: NaN });
    expect([...groupRows([[1, 2], [3, 4]]).labels.data]).toEqual([-1, -1]);
    const few = groupRows([[1, 0], [0, 1], [1, 1], [2, 1], [5, 1], [1, 6]], { leastRows: 4 });
    expect(few).toMatchObject({ outcome: "one group", pValue: NaN, criterion: [] });
    expect(few.groups[0].silhouette).toBeNaN();
    expect([...few.labels.data]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(groupRows(Array.from({ length: 30 }, () => [1, 2]))).toMatchObject({ outcome: "one group", pValue: NaN, criterion: [] });
    const wide = blobs(11, 2, 15, 100, 40);
    expect(agree(groupRows(wide.x, { normalize: false }).labels.data, wide.truth)).toBe(true);
  });

  test("messages", () => {
    const x = blobs(1, 1, 12, 2, 0).x;
    expect(() => groupRows([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`features\` of shape [N, F], got [2]]`);
    expect(() => groupRows(new Tensor("float32", [2, 0], new Float32Array(0)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`features\` of shape [N, F], F >= 1, got [2, 0]]`);
    expect(() => groupRows(new Tensor("float32", [4097, 1], new Float32Array(4097).fill(1)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`features\` of at most 4096 rows, got 4097. Draw some at random]`);
    expect(() => groupRows([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`features\` of finite numbers, got NaN in row 0, column 1]`);
    expect(() => groupRows([[1, 2], [0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`features\` with a direction in each row, got only zeros in row 1. Drop it, or pass \`normalize: false\`]`);
    expect(() => groupRows(x, { counts: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`counts\` an integer in [2, 11], got 1]`);
    expect(() => groupRows(x, { counts: [3, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`counts\` an integer in [4, 11], got 3]`);
    expect(() => groupRows(x, { counts: [12] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`counts\` an integer in [2, 11], got 12]`);
    expect(() => groupRows(x, { leastRows: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`leastRows\` an integer in [1, 2147483647], got 0]`);
    expect(() => groupRows(x, { leastSilhouette: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`leastSilhouette\` in [-1, 1), got 1]`);
    expect(() => groupRows(x, { level: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`level\` in (0, 1), got 0]`);
    expect(() => groupRows(x, { references: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`references\` an integer in [1, 100000], got 0]`);
    expect(() => groupRows(x, { restarts: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`restarts\` an integer in [1, 10000], got 0]`);
    expect(() => groupRows(x, { seed: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: groupRows: expected \`seed\` an integer in [0, 9007199254740991], got 0.5]`);
    expect(() => groupRows(x, { normalize: 1 as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: groupRows: expected \`normalize\` true or false, got Number]`);
  });
});
