import { logSoftmax } from "@logits/core-wasm";
import { expectClose, expectExact } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SplitConformal, nestedLogits, treeLogits } from "./index.ts";
import fixture from "./fixtures/activations.json" with { type: "json" };

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const PARENTS = [6, 6, 6, 7, 7, 9, 8, 8, 9, -1];

describe("nestedLogits", () => {
  it("agrees with the definition", () => {
    fc.assert(fc.property(fc.float({ min: -8, max: 8, noNaN: true }), fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 5 }), fc.constantFrom(0.5, 1, 10), (z, raw, slope) => {
      const t = [...raw].sort((a, b) => a - b), above = [1, ...t.map((threshold) => sigmoid(slope * (z - threshold))), 0];
      const p = Array.from(nestedLogits([z], t, { slope }).data, Math.exp);
      // A difference of probabilities near 1, in float64; the result is float32: 6e-8 of the logarithm, which is 170 at most where it is not 0.
      expectClose(p, above.slice(0, -1).map((a, k) => a - above[k + 1]), { atol: 2e-15, rtol: 2e-5 });
    }), { seed: 5, numRuns: 300 });
  });

  it("laws: levels sum to 1, nesting, one threshold is the sigmoid, a common shift changes nothing", () => {
    const random = randomSource(1);
    for (let round = 0; round < 200; round++) {
      const t = Float32Array.from({ length: 4 }, () => 4 * random.uniform()).sort(), z = 8 * random.uniform() - 2;
      const p = Array.from(nestedLogits([z], t).data, Math.exp);
      expectClose(p.reduce((a, b) => a + b, 0), 1, { atol: 1e-6 }); // float32 logarithms
      expect(p.every((x) => x >= 0)).toBe(true);
      const one = nestedLogits([z], [t[0]]).data;
      expectClose([Math.exp(one[0]), Math.exp(one[1])], [1 - sigmoid(Math.fround(z) - t[0]), sigmoid(Math.fround(z) - t[0])], { rtol: 1e-6 });
      // Multiples of 1/8: the shift is exact.
      const eighths = Float32Array.from(t, (x) => Math.round(8 * x) / 8).sort(), at = Math.round(8 * z) / 8;
      expectExact(nestedLogits([at + 16], eighths.map((x) => x + 16)), nestedLogits([at], eighths));
    }
  });

  it("keeps the digits of improbable levels, and takes infinite scores and equal thresholds", () => {
    // sigmoid(60) - sigmoid(40) is 0 in float64 arithmetic of the definition.
    expectClose(nestedLogits([80], [20, 40]).data[1], -40, { rtol: 1e-6 });
    expectExact(nestedLogits([Infinity, -Infinity], [0, 1]).data, [-Infinity, -Infinity, 0, 0, -Infinity, -Infinity]);
    expect(nestedLogits([0.5], [0, 0]).data[1]).toBe(-Infinity);
    expect(nestedLogits({ shape: [0], data: new Float32Array(0) }, [0]).shape).toEqual([0, 2]);
  });

  it("agrees with NumPy", () => {
    for (const { scores, thresholds, slope, probabilities } of fixture.cases.filter((c) => c.kind === "nested")) {
      // float32 logarithms: 6e-8 of at most 60.
      expectClose(Array.from(nestedLogits(scores!, thresholds!, { slope }).data, Math.exp), probabilities, { rtol: 4e-6, atol: 1e-18 });
    }
  });

  it("says what is wrong", () => {
    expect(() => nestedLogits([[1]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`scores\` of shape [N], got [1, 1]]`);
    expect(() => nestedLogits([NaN], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`scores\` without NaN, got NaN in row 0]`);
    expect(() => nestedLogits([1], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`thresholds\` of shape [K], K >= 1, got [0]]`);
    expect(() => nestedLogits([1], [1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`thresholds\` ascending, got 0 after 1 at index 1]`);
    expect(() => nestedLogits([1], [Infinity])).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`thresholds\` of finite numbers, got Infinity at index 0]`);
    expect(() => nestedLogits([1], [1], { slope: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: nestedLogits: expected \`slope\` a finite number > 0, got 0]`);
  });
});

describe("treeLogits", () => {
  it("agrees with the definition: a product of softmaxes down the path", () => {
    const random = randomSource(2);
    for (let round = 0; round < 100; round++) {
      const z = Float32Array.from({ length: 9 }, () => 20 * random.uniform() - 10);
      const share = (v: number): number => Math.exp(z[v]) / PARENTS.flatMap((parent, s) => (parent === PARENTS[v] ? [Math.exp(z[s])] : [])).reduce((a, b) => a + b, 0);
      const want = [0, 1, 2, 3, 4, 5].map((c) => {
        let p = 1;
        for (let v = c; v !== 9; v = PARENTS[v]) p *= share(v);
        return Math.log(p);
      });
      expectClose(treeLogits({ shape: [1, 9], data: z }, PARENTS, { classes: 6 }).data, want, { rtol: 1e-6, atol: 1e-6 }); // float32 results
    }
  });

  it("laws: classes sum to 1, a shift among siblings changes nothing, one level is the log-softmax", () => {
    const random = randomSource(3), z = Float32Array.from({ length: 18 }, () => Math.floor(64 * random.uniform()) / 8), shape = [2, 9];
    const p = treeLogits({ shape, data: z }, PARENTS, { classes: 6 });
    for (let n = 0; n < 2; n++) expectClose(Array.from(p.row(n).data, Math.exp).reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
    expectExact(treeLogits({ shape, data: z.map((x, i) => x + (PARENTS[i % 9] === 6 ? 5 : 0)) }, PARENTS, { classes: 6 }), p);
    const flat = { shape: [6, 3], data: z };
    expectClose(treeLogits(flat, [3, 3, 3, -1], { classes: 3 }).data, logSoftmax(flat).data, { rtol: 1e-6, atol: 1e-6 }); // both float32
  });

  it("takes impossible nodes, one class and no rows; a whole branch may be impossible", () => {
    const none = [0, 0, 0, -Infinity, -Infinity, 0, 0, -Infinity, 0];
    expectClose(Array.from(treeLogits([none], PARENTS, { classes: 6 }).data, Math.exp), [1 / 6, 1 / 6, 1 / 6, 0, 0, 1 / 2], { rtol: 1e-6 });
    expect(treeLogits({ shape: [2, 0], data: new Float32Array(0) }, [-1], { classes: 1 }).toArray()).toEqual([[0], [0]]);
    expect(treeLogits({ shape: [0, 9], data: new Float32Array(0) }, PARENTS, { classes: 6 }).shape).toEqual([0, 6]);
  });

  it("agrees with NumPy", () => {
    for (const { scores, parents, classes, probabilities } of fixture.cases.filter((c) => c.kind === "tree")) {
      expectClose(Array.from(treeLogits({ shape: [scores!.length / (parents!.length - 1), parents!.length - 1], data: scores! }, parents!, { classes: classes! }).data, Math.exp), probabilities, { rtol: 4e-6 });
    }
  });

  it("feeds sets that are subtrees", () => {
    const random = randomSource(4), rows = 400, labels = Int32Array.from({ length: rows }, () => random.integer(6));
    const data = Float32Array.from({ length: 9 * rows }, (_, i) => {
      let on = false;
      for (let v = labels[Math.floor(i / 9)]; v !== -1; v = PARENTS[v]) on ||= v === i % 9;
      return 2 * random.uniform() + (on ? 1 : 0);
    });
    const z = treeLogits({ shape: [rows, 9], data }, PARENTS, { classes: 6 });
    const sets = SplitConformal.fit(z, labels, { method: "tree", parents: PARENTS }).predictionSet(z, { alpha: 0.2 });
    expect(new Set(sets.nodes!.data).size).toBeGreaterThan(3);
    expect(labels.filter((label, n) => sets.labels(n).includes(label)).length / rows).toBeGreaterThan(0.7);
  });

  it("says what is wrong", () => {
    const z = [[1, 0, 2, 0, 0]], parents = [3, 3, 4, 5, 5, -1];
    expect(() => treeLogits(z, parents, { classes: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`classes\` an integer >= 1, got 0]`);
    expect(() => treeLogits(z, parents, { classes: 4 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`parents\` int32 [V], nodes 0 to 3 the classes, parents[v] > v, -1 for the last node, the root, got class 3 with child 0]`);
    expect(() => treeLogits([1], parents, { classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`scores\` of shape [N, V - 1], got [1]]`);
    expect(() => treeLogits([[1]], parents, { classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`scores\` of 5 nodes on the last axis, all but the root, got shape [1, 1]]`);
    expect(() => treeLogits([[1, NaN, 2, 0, 0]], parents, { classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`scores\` finite or -Infinity, got NaN of node 1 in row 0]`);
    expect(() => treeLogits([[1, 0, -Infinity, 0, 0]], parents, { classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: treeLogits: expected \`scores\` with a possible child of every possible node, got none of node 4 in row 0]`);
  });
});
