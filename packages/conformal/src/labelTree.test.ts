import { checkGuarantee, estimatorChecks, expectExact } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { SplitConformal, coverageByGroup, coverageReport } from "./index.ts";
import { LabelTree } from "./labelTree.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

/** Six classes: 6 = {0, 1, 2}, 7 = {3, 4}, 8 = {6, 7}, 9 = {8, 5} the root. */
const PARENTS = [6, 6, 6, 7, 7, 9, 8, 8, 9, -1];
const BELOW: Record<number, number[]> = { 6: [0, 1, 2], 7: [3, 4], 8: [0, 1, 2, 3, 4], 9: [0, 1, 2, 3, 4, 5], 0: [0], 1: [1], 2: [2], 3: [3], 4: [4], 5: [5] };

function world(rows: number, seed: number) {
  const random = randomSource(seed), labels = Int32Array.from({ length: rows }, () => random.integer(6));
  const data = Float32Array.from({ length: 6 * rows }, (_, i) => {
    const label = labels[Math.floor(i / 6)], c = i % 6;
    return 3 * random.uniform() + (label === c ? 2 : PARENTS[label] === PARENTS[c] ? 1.5 : 0);
  });
  return { logits: { shape: [rows, 6], data }, labels };
}

describe("label trees", () => {
  it("score a class by the masses on the heaviest path, the definition", () => {
    const tree = new LabelTree(Int32Array.from(PARENTS), 6), random = randomSource(1);
    for (let round = 0; round < 200; round++) {
      const raw = Array.from({ length: 6 }, () => random.integer(16) + 1), total = 64, u = round % 2 ? random.uniform() : 0;
      const p = Float32Array.from(raw, (x) => x / total), mass = (v: number) => BELOW[v].reduce((sum, c) => sum + p[c], 0);
      const path = [9];
      for (let v = 9; v >= 6; path.push(v)) {
        const children = PARENTS.flatMap((parent, child) => (parent === v ? [child] : []));
        v = children.reduce((best, child) => (mass(child) > mass(best) ? child : best), children[0]);
      }
      const want = p.map((_, c) => {
        const k = path.findLastIndex((v) => BELOW[v].includes(c)), before = k + 1 < path.length ? mass(path[k + 1]) : 0;
        return before + (1 - u) * (mass(path[k]) - before);
      });
      const got = new Float32Array(6);
      tree.scores(p, 0, u, got);
      expectExact(got, want);
      for (let c = 0; c < 6; c++) expect(tree.score(p, 0, c, u)).toBe(got[c]);
    }
  });

  it("give sets that are subtrees, nested in alpha, with their node", () => {
    const { logits, labels } = world(300, 1), fitted = SplitConformal.fit(logits, labels, { method: "tree", parents: PARENTS }), test = world(200, 2).logits;
    const seen = new Set<number>();
    let before: ReturnType<typeof fitted.predictionSet> | undefined;
    for (const alpha of [0.9, 0.6, 0.4, 0.2, 0.1, 0.02, 0]) {
      const sets = fitted.predictionSet(test, { alpha });
      for (let i = 0; i < 200; i++) {
        expect(sets.labels(i)).toEqual(BELOW[sets.nodes!.data[i]]);
        seen.add(sets.nodes!.data[i]);
        if (before) expect(sets.labels(i)).toEqual(expect.arrayContaining(before.labels(i)));
      }
      before = sets;
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(fitted.predictionSet(test, { alpha: 1, allowEmpty: true }).nodes!.data.every((v) => v === -1)).toBe(true);
    expect(SplitConformal.fit(logits, labels).predictionSet(test).nodes).toBe(undefined);
  });

  it("promise what the others do: alpha of the rows is missed", () => {
    checkGuarantee({
      name: "tree", repetitions: process.env.LOGITS_SLOW ? 10000 : 400, kind: "marginal mean", level: 0.1, slack: 1e-3,
      simulate: (seed) => {
        const a = world(49, seed), b = world(20, seed + 1e6);
        const { covered } = coverageReport(SplitConformal.fit(a.logits, a.labels, { method: "tree", parents: PARENTS, seed }).predictionSet(b.logits, { allowEmpty: true }), b.labels);
        return { successes: 20 - covered, trials: 20 };
      },
    });
  });

  it("of one level are all or one class; of one node one class", () => {
    const flat = SplitConformal.fit([[1, 0], [1, 0], [0, 1]], [1, 1, 1], { method: "tree", parents: [2, 2, -1], randomize: false });
    expect(flat.predictionSet([[5, 0]], { alpha: 0.8 }).nodes!.data[0]).toBe(0);
    expect(flat.predictionSet([[1, 0]], { alpha: 0.5 }).nodes!.data[0]).toBe(2);
    expect(SplitConformal.fit([[2]], [0], { method: "tree", parents: [-1] }).predictionSet([[1]], { alpha: 0.5, ids: [0] }).nodes!.data[0]).toBe(0);
  });

  const { logits, labels } = world(80, 3), probe = world(20, 4).logits;
  it.each(estimatorChecks<SplitConformal>({
    name: "tree", data: [logits, { shape: [80], data: labels }],
    fit: (z, y) => SplitConformal.fit(z, y, { method: "tree", parents: PARENTS, seed: 2 }),
    output: (fitted) => [fitted.predictionSet(probe, { alpha: 0.2 }).nodes!, fitted.pValues(probe)],
    fromJSON: SplitConformal.fromJSON,
    rowOrder: "matters", // the uniform numbers go by the position of the rows
    wrongWidth: [(fitted) => fitted.predictionSet([[1, 2, 3]])],
    base64: ["scores.data"],
  }))("$name", ({ run }) => run());

  it("say what is wrong", () => {
    const fit = (parents: number[] | undefined, options: object = {}) => () => SplitConformal.fit([[1, 0], [0, 1]], [0, 1], { method: "tree", parents, ...options });
    expect(fit(undefined)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], got none]`);
    expect(fit([2, 2, -1], { method: "aps" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` only with "tree", got some with "aps"]`);
    expect(fit([2, 2, -1], { classGroups: "each" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`classGroups\` none with "tree", whose sets would be no subtrees, got some]`);
    expect(fit([1, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], nodes 0 to 1 the classes, parents[v] > v, -1 for the last node, the root, got 2 nodes]`);
    expect(fit([2, 1, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], nodes 0 to 1 the classes, parents[v] > v, -1 for the last node, the root, got 1 at index 1]`);
    expect(fit([2, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], nodes 0 to 1 the classes, parents[v] > v, -1 for the last node, the root, got 3 at index 2]`);
    expect(fit([1, 2, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], nodes 0 to 1 the classes, parents[v] > v, -1 for the last node, the root, got class 1 with child 0]`);
    expect(fit([3, 3, 3, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SplitConformal.fit: expected \`parents\` int32 [V], nodes 0 to 1 the classes, parents[v] > v, -1 for the last node, the root, got node 2 without children]`);
    const json = SplitConformal.fit([[1, 0], [0, 1]], [0, 1], { method: "tree", parents: [2, 2, -1] }).toJSON();
    expect(() => SplitConformal.fromJSON({ ...json, classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SplitConformal.fromJSON: expected \`parents\` int32 [V], nodes 0 to 2 the classes, parents[v] > v, -1 for the last node, the root, got 3 nodes]`);
  });
});

describe("coverageByGroup", () => {
  it("counts rows by group, with null for a group without rows", () => {
    const sets = SplitConformal.fit(Array.from({ length: 19 }, (_, i) => [(i - 4) / 3, 0]), new Int32Array(19)).predictionSet([[9, 0], [9, 0], [-9, 0], [9, 0]]);
    const found = coverageByGroup(sets, [0, 1, 0, 0], [0, 0, 2, 2]);
    expect(found.map(({ group, rows, covered, coverage }) => [group, rows, covered, coverage])).toEqual([[0, 2, 1, 0.5], [1, 0, 0, null], [2, 2, 1 + Number(sets.labels(2).includes(0)) - 0, (1 + Number(sets.labels(2).includes(0))) / 2]]);
    expect(found[1].interval).toBe(null);
    expect(() => coverageByGroup(sets, [0, 1, 0, 0], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageByGroup: expected \`groups\` of shape [4], got [2]]`);
    expect(() => coverageByGroup(sets, [0, 1, 0, 0], [0, 0, -1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coverageByGroup: expected \`groups\` in [0, 16777216), got -1 at index 2]`);
  });
});
