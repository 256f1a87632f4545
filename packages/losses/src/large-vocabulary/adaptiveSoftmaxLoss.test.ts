import { expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { adaptiveLogSoftmax, adaptiveSoftmaxLoss, denseRows, hierarchicalSoftmaxLoss, huffmanTree, linearCrossEntropy, type AdaptiveWeights } from "./index.ts";

const random = testRandom(31);
const normals = (...shape: number[]): { data: Float32Array; shape: number[]; dtype: "float32" } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => random.normal()) });
const logSoftmaxOf = (z: readonly number[]): number[] => z.map((v) => v - Math.log(z.reduce((sum, u) => sum + Math.exp(u), 0)));
const times = (w: ArrayLike<number>, x: ArrayLike<number>): number[] => Array.from({ length: w.length / x.length }, (_, r) => Array.from(x).reduce((sum, v, d) => sum + v * w[r * x.length + d], 0));
const say = (run: () => unknown): string => { try { run(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } return "nothing"; };

describe("adaptiveSoftmaxLoss", () => {
  // Three frequent words, clusters of 4 and 2.
  const width = 4, tails = [{ projection: normals(2, width), output: normals(4, 2) }, { projection: normals(1, width), output: normals(2, 1) }], head = normals(5, width), labels = Int32Array.of(0, 8, 3, 2, 6, 7, 1);
  const reference = (x: ArrayLike<number>, w: AdaptiveWeights<{ data: ArrayLike<number> }>, y: number): number => {
    const top = logSoftmaxOf(times(w.head.data, x)), within = (t: number, k: number): number => logSoftmaxOf(times(w.tails[t].output.data, times(w.tails[t].projection.data, x)))[k];
    return -(y < 3 ? top[y] : y < 7 ? top[3] + within(0, y - 3) : top[4] + within(1, y - 7));
  };
  it.each(lossChecks({
    name: "adaptiveSoftmaxLoss",
    // The weights are an object: they stand here as an option of the battery.
    loss: Object.assign((x: any, y: any, options: any) => adaptiveSoftmaxLoss(x, { head, tails }, y, options), { withGrad: (x: any, y: any, options: any) => adaptiveSoftmaxLoss.withGrad(x, { head, tails }, y, options) }),
    cases: [{ name: "two clusters", arguments: [normals(7, width), { dtype: "int32", shape: [7], data: labels }] }],
    reference: ([x, [y]]) => reference(x, { head, tails }, y), labels: { argument: 1, classes: 9 }, differentiable: [{ argument: 0, read: (r: any) => r.grads.hidden }],
    bound: { atol: 3e-6, rtol: 1e-6 }, gradientBound: { atol: 5e-6, rtol: 1e-6 }, extreme: 30,
  }))("$name", ({ run }) => run());

  it("has the gradients of all its weights", () => {
    const x = normals(7, width), { grads } = adaptiveSoftmaxLoss.withGrad(x, { head, tails }, labels, { reduction: "sum" });
    const total = (w: AdaptiveWeights<{ data: ArrayLike<number> }>): number => labels.reduce((sum, y, i) => sum + reference(x.data.subarray(i * width, (i + 1) * width), w, y), 0);
    expectClose(grads.weights.head.data, finiteDifferenceGradient((data) => total({ head: { data }, tails }), Float64Array.from(head.data)), { atol: 5e-6 });
    for (const t of [0, 1]) for (const name of ["projection", "output"] as const) {
      const want = finiteDifferenceGradient((data) => total({ head, tails: tails.map((tail, i) => (i === t ? { ...tail, [name]: { data } } : tail)) }), Float64Array.from(tails[t][name].data));
      expectClose(grads.weights.tails[t][name].data, want, { atol: 5e-6 });
    }
  });

  it("is linearCrossEntropy without clusters, and its log-probabilities sum to 1", () => {
    const x = normals(7, width), w = normals(9, width), got = adaptiveSoftmaxLoss.withGrad(x, { head: w, tails: [] }, labels), want = linearCrossEntropy.withGrad(x, w, labels);
    expectExact(got.loss.item(), want.loss.item());
    expectExact(got.grads.hidden.data, want.grads.hidden.data);
    expectExact(got.grads.weights.head.data, want.grads.weights.data);
    const all = adaptiveLogSoftmax(x, { head, tails }), losses = adaptiveSoftmaxLoss(x, { head, tails }, labels, { reduction: "none" });
    for (let i = 0; i < 7; i++) {
      expectClose(all.row(i).data.reduce((sum, v) => sum + Math.exp(v), 0), 1, { atol: 1e-6 });
      expectClose(losses.data[i], -all.at(i, labels[i]), { atol: 3e-6 });
    }
  });

  it("refuses what does not fit", () => {
    const w = { head: [[1], [2]], tails: [{ projection: [[1]], output: [[1], [2]] }] };
    expect([
      say(() => adaptiveSoftmaxLoss([1], w, [0])), say(() => adaptiveSoftmaxLoss([[1, 2]], w, [0])), say(() => adaptiveSoftmaxLoss([[1]], w, [0, 1])), say(() => adaptiveSoftmaxLoss([[1]], w, [3])), say(() => adaptiveSoftmaxLoss([[1]], { ...w, tails: [{ projection: [[1, 2]], output: [[1]] }] }, [0])),
      say(() => adaptiveLogSoftmax([[1]], { ...w, tails: [{ projection: [[1]], output: [[1, 2]] }] })),
    ].join("\n")).toMatchInlineSnapshot(`
      "RangeError: adaptiveSoftmaxLoss: expected \`hidden\` of shape [B, D], got [1]
      RangeError: adaptiveSoftmaxLoss: expected \`weights.head\` of shape [S + 1, 2], got [2, 1]
      RangeError: adaptiveSoftmaxLoss: expected \`labels\` of shape [1], got [2]
      RangeError: adaptiveSoftmaxLoss: expected \`labels\` in [0, 3), got 3 at index 0
      RangeError: adaptiveSoftmaxLoss: expected \`weights.tails[0].projection\` of shape [d, 1], got [1, 2]
      RangeError: adaptiveLogSoftmax: expected \`weights.tails[0].output\` of shape [words, 1], got [1, 2]"
    `);
  });
});

describe("hierarchicalSoftmaxLoss", () => {
  const counts = [7, 1, 3, 3, 1, 20, 2], tree = huffmanTree(counts), width = 3;
  const reference = (x: ArrayLike<number>, w: ArrayLike<number>, y: number): number => {
    let sum = 0;
    for (let s = tree.indptr[y]; s < tree.indptr[y + 1]; s++) sum += Math.log1p(Math.exp(-tree.side[s] * times(w, x)[tree.path[s]]));
    return sum;
  };
  it.each(lossChecks({
    name: "hierarchicalSoftmaxLoss", loss: hierarchicalSoftmaxLoss, shared: [1], labels: { argument: 2, classes: 7 }, differentiable: [{ argument: 0, read: (r: any) => r.grads.hidden }, { argument: 1, read: (r: any) => denseRows(r.grads.nodes) }],
    cases: [{ name: "Huffman", arguments: [normals(5, width), normals(6, width), { dtype: "int32", shape: [5], data: Int32Array.of(0, 6, 5, 2, 1) }] as LossArgument[], options: { tree } }],
    reference: ([x, w, [y]]) => reference(x, w, y), bound: { rtol: 1e-6, atol: 1e-44 }, gradientBound: { atol: 1e-6, rtol: 1e-6 }, extreme: 100,
  }))("$name", ({ run }) => run());

  it("is a distribution over the words", () => {
    const x = normals(1, width), w = normals(6, width);
    expectClose(counts.reduce((sum, _, v) => sum + Math.exp(-hierarchicalSoftmaxLoss(x, w, [v], { tree }).item()), 0), 1, { atol: 1e-6 });
  });

  it("has ways as short as any tree's: the bound of Huffman's code by every merge order", () => {
    const shortest = (masses: readonly number[]): number => {
      if (masses.length === 1) return 0;
      let best = Infinity;
      for (let a = 0; a < masses.length; a++) for (let b = a + 1; b < masses.length; b++) best = Math.min(best, masses[a] + masses[b] + shortest([...masses.filter((_, i) => i !== a && i !== b), masses[a] + masses[b]]));
      return best;
    };
    for (const given of [[1, 1], [5, 1, 1], [1, 2, 3, 4], [4, 0, 4, 1, 2], [9, 1, 1, 1, 1, 5]]) {
      const { indptr, nodes } = huffmanTree(given), length = (v: number): number => indptr[v + 1] - indptr[v];
      expect(given.reduce((sum, n, v) => sum + n * length(v), 0)).toBe(shortest(given));
      expect(given.reduce((sum, _, v) => sum + 2 ** -length(v), 0)).toBe(1);
      expect(nodes).toBe(given.length - 1);
    }
  });

  it("refuses what does not fit", () => {
    expect([say(() => huffmanTree([1])), say(() => huffmanTree([1, NaN])), say(() => hierarchicalSoftmaxLoss([[1]], [[1]], [0], { tree })), say(() => hierarchicalSoftmaxLoss([1], [[1]], [0], { tree })), say(() => hierarchicalSoftmaxLoss([[1, 2, 3]], normals(6, 3), [7], { tree }))].join("\n")).toMatchInlineSnapshot(`
      "RangeError: huffmanTree: expected \`counts\` of at least 2 words, got 1
      RangeError: huffmanTree: expected \`counts\` finite and not negative, got NaN at index 1
      RangeError: hierarchicalSoftmaxLoss: expected \`nodes\` of shape [6, 1], got [1, 1]
      RangeError: hierarchicalSoftmaxLoss: expected \`hidden\` of shape [B, D], got [1]
      RangeError: hierarchicalSoftmaxLoss: expected \`labels\` in [0, 7), got 7 at index 0"
    `);
  });
});
