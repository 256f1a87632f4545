import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keepTokens, mergeTokens } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

/** Integers have ties and exact sums. */
const integers = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { integer } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => integer(5) - 2));
};

describe("keepTokens", () => {
  it("keeps the best scores in the order in which they stood [paper:decimamba-exploring-the-length-extrapolation-potential-of-mamba]", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), fc.integer(), (total, wanted, seed) => {
        const count = Math.min(wanted, total), tokens = integers([3, total, 2], seed), scores = integers([3, total], seed + 1), always = Uint8Array.from({ length: total }, (_, j) => Number(j % 7 === 3 && j < 7 && count > 0));
        const got = keepTokens(tokens, scores, { count, always }), want = [0, 1, 2].map((r) => {
          const order = Array.from({ length: total }, (_, j) => j).sort((a, b) => always[b] - always[a] || scores.data[r * total + b] - scores.data[r * total + a] || a - b);
          return order.slice(0, count).sort((a, b) => a - b);
        });
        expect(got.tokens.shape).toEqual([3, count, 2]);
        expectExact(got.indices.data, want.flat());
        expectExact(got.tokens.data, want.flatMap((row, r) => row.flatMap((j) => [...tokens.data.subarray((r * total + j) * 2, (r * total + j) * 2 + 2)])));
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it("keeps all where count is S, none where it is 0, and tells what is infinite from what is not", () => {
    const tokens = random([4, 2], 1);
    expectExact(keepTokens(tokens, [1, 2, 3, 4], { count: 4 }).tokens.data, tokens.data);
    expect(keepTokens(tokens, [1, 2, 3, 4], { count: 0 }).tokens.shape).toEqual([0, 2]);
    expectExact(keepTokens(tokens, [-Infinity, Infinity, -Infinity, 0], { count: 3 }).indices.data, [0, 1, 3]);
    expectExact(keepTokens(tokens, [-Infinity, Infinity, -Infinity, 0], { count: 2, always: [0, 0, 1, 0] }).indices.data, [1, 2]);
    expect(keepTokens(new Tensor("float32", [0, 2], new Float32Array(0)), new Float32Array(0), { count: 0 }).tokens.shape).toEqual([0, 2]);
  });

  it("hands the gradient to the tokens that were kept", () => {
    const tokens = random([2, 5, 3], 2), scores = random([2, 5], 3), upstream = random([2, 2, 3], 4), { grad } = keepTokens.withGrad(tokens, scores, { count: 2, upstream });
    // A gather is linear: differences are exact but for the rounding of float32 steps of 2^-7.
    const want = finiteDifferenceGradient((x) => keepTokens(new Tensor("float32", [2, 5, 3], Float32Array.from(x)), scores, { count: 2 }).tokens.data.reduce((sum, t, i) => sum + t * upstream.data[i], 0), tokens.data, { step: 2 ** -7 });
    expectClose(grad.data, want, { atol: 1e-4 });
  });
});

describe("mergeTokens", () => {
  /** The definition, one pair at a time. */
  function definition(x: Tensor, size: ArrayLike<number>, count: number, protect: (j: number) => boolean): { tokens: number[]; sizes: number[]; assignment: number[] } {
    const [total, width] = x.shape, row = (j: number): number[] => Array.from(x.data.subarray(j * width, (j + 1) * width)), dot = (a: number[], b: number[]): number => a.reduce((sum, y, f) => sum + y * b[f], 0);
    const cosine = (i: number, j: number): number => dot(row(i), row(j)) / (Math.sqrt(dot(row(i), row(i)) * dot(row(j), row(j))) || 1), into = Array.from({ length: total }, (_, j) => j), pairs: [number, number, number][] = [];
    for (let i = 0; i < total; i += 2) {
      let best = -1;
      for (let j = 1; j < total; j += 2) if (!protect(j) && (best < 0 || cosine(i, j) > cosine(i, best))) best = j;
      if (!protect(i) && best >= 0) pairs.push([cosine(i, best), i, best]);
    }
    for (const [, i, j] of pairs.sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, count)) into[i] = j;
    const left = into.flatMap((to, j) => (to === j ? [j] : [])), groups = left.map((to) => into.flatMap((t, j) => (t === to ? [j] : [])));
    const sizes = groups.map((group) => group.reduce((sum, j) => sum + size[j], 0));
    return { sizes, assignment: into.map((to) => left.indexOf(to)), tokens: groups.flatMap((group, g) => Array.from({ length: width }, (_, f) => group.reduce((sum, j) => sum + size[j] * row(j)[f], 0) / sizes[g])) };
  }

  it("agrees with the definition", () => {
    for (let seed = 0; seed < 60; seed++) {
      const { integer } = testRandom(seed), total = 1 + integer(14), x = random([total, 3], seed), sizes = Float32Array.from({ length: total }, () => 1 + integer(4)), protect = Uint8Array.from({ length: total }, (_, j) => Number(j === 0 && seed % 2 === 0));
      const free = Math.ceil(total / 2) - protect[0], count = total < 2 ? 0 : integer(free + 1), got = mergeTokens(x, { count, sizes, protect }), want = definition(x, sizes, count, (j) => protect[j] === 1);
      expectExact(got.assignment.data, want.assignment);
      expectExact(got.sizes.data, want.sizes);
      // Means of at most 14 float32 numbers in float64, rounded once.
      expectClose(got.tokens.data, want.tokens, { atol: 1e-7, rtol: 1e-7 });
    }
  });

  it("keeps sums, leaves tokens as they are for a count of 0, and gives back each token's group [paper:masked-image-modeling-via-dynamic-token-morphing]", () => {
    const x = random([2, 601, 4], 5), merged = mergeTokens(x, { count: 200 });
    expect(merged.tokens.shape).toEqual([2, 401, 4]);
    for (let r = 0; r < 2; r++) {
      for (let f = 0; f < 4; f++) {
        let before = 0, after = 0;
        for (let j = 0; j < 601; j++) before += x.at(r, j, f);
        for (let j = 0; j < 401; j++) after += merged.sizes.at(r, j) * merged.tokens.at(r, j, f);
        // 401 roundings of float32 numbers of size 1.
        expect(Math.abs(after - before)).toBeLessThan(2e-5);
      }
    }
    const back = merged.unmerge(merged.tokens);
    expectExact(back.row(1).row(7).data, merged.tokens.row(1).row(merged.assignment.at(1, 7)).data);
    // A token that is alone in its group comes back as it was.
    for (let j = 0; j < 601; j++) if (merged.sizes.at(0, merged.assignment.at(0, j)) === 1) expectExact(back.row(0).row(j).data, x.row(0).row(j).data);
    expectExact(merged.merge(x).data, merged.tokens.data);
    const same = mergeTokens(x, { count: 0 });
    expectExact(same.tokens.data, x.data);
    expectExact(same.unmerge(same.tokens).data, x.data);
    expectExact(same.sizes.data, new Float32Array(1202).fill(1));
  });

  it("merges again what was merged, with the sizes so far", () => {
    const x = new Tensor("float32", [4, 2], Float32Array.of(1, 0, 1, 0, 0, 1, 0, 1)), one = mergeTokens(x, { count: 2 });
    expectExact(one.tokens.data, [1, 0, 0, 1]);
    const two = mergeTokens(one.tokens, { count: 1, sizes: one.sizes });
    expectExact(two.tokens.data, [0.5, 0.5]);
    expectExact(two.sizes.data, [4]);
  });

  it("matches on another metric, with zeros like nothing, and ties to the earlier", () => {
    const x = random([5, 2], 6), metric = [[1, 0], [1, 0], [0, 0], [1, 0], [1, 0]], got = mergeTokens(x, { count: 2, metric });
    expectExact(got.assignment.data, [0, 0, 1, 2, 0]);
    expectExact(mergeTokens([[0, 0], [0, 0]], { count: 1 }).tokens.data, [0, 0]);
    expectExact(mergeTokens([[NaN, 1], [2, 2]], { count: 0 }).tokens.data, [NaN, 1, 2, 2]);
    expect(mergeTokens(new Tensor("float32", [0, 2], new Float32Array(0)), { count: 0 }).tokens.shape).toEqual([0, 2]);
  });

  it("has the gradient of its means", () => {
    const x = random([2, 7, 3], 7), metric = random([2, 7, 3], 8), sizes = Float32Array.from({ length: 14 }, (_, j) => 1 + (j % 3)), options = { count: 3, metric, sizes: new Tensor("float32", [2, 7], sizes) }, upstream = random([2, 4, 3], 9);
    const { grad, tokens } = mergeTokens.withGrad(x, { ...options, upstream });
    expectExact(tokens.data, mergeTokens(x, options).tokens.data);
    const want = finiteDifferenceGradient((y) => mergeTokens(new Tensor("float32", [2, 7, 3], Float32Array.from(y)), options).tokens.data.reduce((sum, t, i) => sum + t * upstream.data[i], 0), x.data, { step: 2 ** -7 });
    // Linear: the rounding of float32 results over a step of 2^-7.
    expectClose(grad.data, want, { atol: 1e-4 });
  });
});
