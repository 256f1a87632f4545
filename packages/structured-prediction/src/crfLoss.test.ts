import { core } from "@logits/core-wasm";
import { expectClose, lossChecks, testRandom, type Plain } from "@logits/testkit";
import { tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { lengthBetween } from "./constraints/counts.ts";
import { crfLoss } from "./crfLoss.ts";
import { fromFlair, fromPytorchCrf } from "./importChain.ts";
import { LinearChain } from "./linearChain.ts";
import { ngramScores } from "./ngrams.ts";

const random = testRandom(11);
const normal = (shape: readonly number[], scale = 1): Plain => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * random.normal()) });
const [B, T, C] = [4, 3, 3];
const labels: Plain<Int32Array> = { shape: [B, T], data: Int32Array.from({ length: B * T }, () => random.integer(C)), dtype: "int32" };
const partly: Plain<Int32Array> = { ...labels, data: labels.data.map((y, k) => (k % 3 === 1 ? -1 : y)) };
const sequences = (n: number): number[][] => (n === 0 ? [[]] : sequences(n - 1).flatMap((y) => Array.from({ length: C }, (_, j) => [...y, j])));

function definition([e, A, y]: readonly Float64Array[], { start, end }: { start?: Plain; end?: Plain } = {}): number {
  const score = (path: readonly number[]): number => path.reduce((sum, j, t) => sum + e[t * C + j] + (t > 0 ? A[path[t - 1] * C + j] : (start?.data[j] ?? 0)), end?.data[path[T - 1]] ?? 0);
  const all = sequences(T).map((path) => ({ path, score: score(path) }));
  const log = (some: typeof all): number => {
    const top = Math.max(...some.map((s) => s.score));
    return top + Math.log(some.reduce((sum, s) => sum + Math.exp(s.score - top), 0));
  };
  return log(all) - log(all.filter(({ path }) => path.every((j, t) => y[t] === -1 || y[t] === j)));
}

describe("crfLoss", () => {
  // float32 weights in the recursion; the definition enumerates in float64.
  it.each(lossChecks({
    name: "crfLoss", loss: crfLoss, reference: definition, bound: { atol: 5e-6, rtol: 2e-6 }, gradientBound: { atol: 2e-5 }, shared: [1], extreme: 1e3,
    differentiable: [{ argument: 0, read: (r) => r.grads.emissions }, { argument: 1, read: (r) => r.grads.transitions }],
    cases: [
      { name: "plain", arguments: [normal([B, T, C]), normal([C, C]), labels] },
      { name: "start and end", arguments: [normal([B, T, C], 2), normal([C, C]), labels], options: { start: normal([C]), end: normal([C]) } },
      { name: "labels that are not known", arguments: [normal([B, T, C]), normal([C, C]), partly], options: { ignoreIndex: -1 } },
    ],
  }))("$name", ({ run }) => run());

  it("reads nothing beyond the lengths, and answers Infinity where the labels are impossible", () => {
    const e = normal([2, 3, C]), A = tensor([[0, -Infinity, 0], [0, 0, 0], [0, 0, 0]]);
    const wild = { ...e, data: e.data.map((v, k) => (k >= 15 ? NaN : v)) };
    const y = [[2, 1, 0], [0, 0, 99]];
    expect([...crfLoss(wild, A, y, { lengths: [3, 2], reduction: "none" }).data]).toEqual([...crfLoss(e, A, [[2, 1, 0], [0, 0, 1]], { lengths: [3, 2], reduction: "none" }).data]);
    expect(crfLoss(e, A, [[0, 1, 0], [0, 0, 0]], { reduction: "none" }).data[0]).toBe(Infinity);
  });

  it("takes transitions that differ from row to row, constraints and n-grams as a chain does, and leaves out sequences of weight 0", () => {
    const e = normal([B, T, C]), varying = normal([B, T, C, C]), A = normal([C, C]), constraint = lengthBetween(["a", "b", "c"], { atLeast: 2 }), ngrams = ngramScores(C, [{ labels: [0, 1, 2], score: 0.7 }, { labels: [2, 2], score: -0.3 }]);
    const wild = { ...e, data: e.data.map((v, k) => (Math.floor(k / (T * C)) === 1 ? NaN : v)) };
    const lengths = [3, 0, 2, 3], weight = [1, 0, 2, 0.5], upstream = Float32Array.from([-1, 0, -2, -0.5]);
    for (const [transitions, options, chain] of [
      [varying, {}, () => LinearChain.varying(e, varying, { lengths })],
      [A, { constraint, ngrams }, () => new LinearChain(LinearChain.compile(A, { ngrams }), e, { lengths })],
    ] as const) {
      const want = chain().logProbWithGrad(labels, { upstream });
      const got = crfLoss.withGrad(wild, transitions, labels, { ...options, lengths, weight, reduction: "sum" });
      expectClose(got.loss.data[0], want.value.reduce((sum, v, b) => sum + (weight[b] === 0 ? 0 : -weight[b] * v), 0), { rtol: 1e-6 });
      for (const name of ["emissions", "transitions", "start", "end"] as const) expectClose(got.grads[name], want.grads[name], { atol: 1e-6, label: name });
      if (want.grads.ngrams) expectClose(got.grads.ngrams!, want.grads.ngrams, { atol: 1e-6 });
      expectClose(crfLoss(wild, transitions, labels, { ...options, lengths, weight, reduction: "sum" }), got.loss, { rtol: 1e-6 });
    }
    expect(crfLoss(wild, A, labels, { where: [0, 0, 0, 0] }).data[0]).toBe(0);
  });

  it("says what is wrong", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const e = normal([1, 2, 2]), A = tensor([[0, 0], [0, 0]]);
    expect([
      refused(() => crfLoss(tensor([[0, 1]]), A, [[0]])),
      refused(() => crfLoss(e, A, [0, 1])),
      refused(() => crfLoss(e, A, [[0, 2]])),
      refused(() => crfLoss(e, A, [[-1, 2]], { ignoreIndex: -1 })),
      refused(() => crfLoss.withGrad(e, A, [[0, 1]], { upstream: [1, 2] })),
      refused(() => crfLoss({ ...e, data: new Float32Array(4).fill(-Infinity) }, A, [[0, 1]])),
      refused(() => crfLoss(e, tensor([[0, NaN], [0, 0]]), [[0, 1]])),
      refused(() => crfLoss(e, tensor([[0]]), [[0, 1]])),
      refused(() => crfLoss(e, A, [[0, 1]], { lengths: [3] })),
      refused(() => crfLoss.withGrad({ ...e, data: Float32Array.of(0, NaN, 0, 0) }, A, [[0, 1]])),
      refused(() => crfLoss(e, { data: new Float32Array(8), shape: [1, 2, 2, 2] }, [[0, 1]], { constraint: lengthBetween(["a", "b"], { atLeast: 1 }) })),
      // Possible labels, but not where label 0 comes first; the item is that of the loss, though the first takes no part.
      refused(() => crfLoss.withGrad(tensor([[[0, 0], [0, 0]], [[0, 0], [0, -Infinity]]]), tensor([[-Infinity, 0], [0, 0]]), [[0, 0], [0, -1]], { ignoreIndex: -1, where: [0, 1] })),
      refused(() => crfLoss(tensor([[[0, 0], [0, 0]], [[0, 0], [-Infinity, -Infinity]]]), A, [[0, 0], [0, 0]], { where: [0, 1] })),
      refused(() => crfLoss(tensor([[[0, 0], [0, 0]], [[0, 0], [NaN, 0]]]), A, [[0, 0], [0, 0]], { where: [0, 1] })),
      refused(() => new LinearChain(LinearChain.compile(A), e).logProbOfAnyWithGrad({ data: Uint8Array.of(0, 0, 1, 1), shape: [1, 2, 2] })),
      refused(() => fromFlair(tensor([[0, 1], [1, 0]]), ["A", "B"])),
      refused(() => fromPytorchCrf({ transitions: tensor([[0, 1], [1, 0]]), start_transitions: [0], end_transitions: [0, 0] })),
    ]).toMatchInlineSnapshot(`
      [
        "crfLoss: expected \`emissions\` of shape [B, T, C], got [1, 2]",
        "crfLoss: expected \`labels\` of shape [1, 2], got [2]",
        "crfLoss: expected \`labels\` in [0, 2), got 2 at index 1",
        "crfLoss: expected \`labels\` in [0, 2) or -1, got 2 at index 1",
        "crfLoss.withGrad: expected \`upstream\` of shape [], got [2]",
        "crfLoss: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 0",
        "crfLoss: expected \`transitions\` finite or -Infinity, got NaN at index 1",
        "crfLoss: expected \`transitions\` of shape [2, 2] or [1, 2, 2, 2], got [1, 1]",
        "crfLoss: expected \`lengths\` in [0, 2], got 3 at index 0",
        "crfLoss.withGrad: expected \`emissions\` finite or -Infinity, got NaN or +Infinity in batch item 0",
        "crfLoss: expected \`constraint\` with transitions of shape [2, 2], got [1, 2, 2, 2]",
        "crfLoss.withGrad: expected \`labels\` with a label sequence that has a finite score, got none in batch item 1",
        "crfLoss: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 1",
        "crfLoss: expected \`emissions\` finite or -Infinity, got NaN or +Infinity in batch item 1",
        "LinearChain.logProbOfAnyWithGrad: expected \`allowed\` with a label sequence that has a finite score, got none in batch item 0",
        "fromFlair: expected \`labels\` with <START> and <STOP>, got A, B",
        "fromPytorchCrf: expected \`start_transitions\` of shape [2], got [1]",
      ]
    `);
  });
});

describe("parameters of other libraries", () => {
  it("pytorch-crf scores a sequence as we do, flair's matrix is the other way round and has two labels more", () => {
    const C2 = 3, A = normal([C2, C2]).data, start = normal([C2]).data, end = normal([C2]).data, e = normal([4, C2]);
    const score = (model: ReturnType<typeof LinearChain.compile>): number => new LinearChain(model, e).score([2, 0, 1, 1])[0];
    const ours = LinearChain.compile({ data: A, shape: [C2, C2] }, { start, end });
    const torch = fromPytorchCrf({ transitions: { data: A, shape: [C2, C2] }, start_transitions: start, end_transitions: end });
    expect(score(LinearChain.compile({ data: torch.transitions, shape: [C2, C2] }, torch))).toBe(score(ours));
    // flair: [to, from], here with <START> first and <STOP> last.
    const flair = new Float32Array(25).fill(-10000);
    for (let to = 0; to < C2; to++) {
      flair[(to + 1) * 5] = start[to];
      flair[4 * 5 + to + 1] = end[to];
      for (let from = 0; from < C2; from++) flair[(to + 1) * 5 + from + 1] = A[from * C2 + to];
    }
    const read = fromFlair({ data: flair, shape: [5, 5] }, ["<START>", "O", "B", "I", "<STOP>"]);
    expect(read.labels).toEqual(["O", "B", "I"]);
    expect(score(LinearChain.compile({ data: read.transitions, shape: [3, 3] }, read))).toBe(score(ours));
  });

  it("gives its memory back where it throws", () => {
    const e = tensor([[[0, 1], [1, 0]]]), A = tensor([[0, 0], [0, 0]]), y = [[0, 1]];
    const held = (f: () => unknown): number => {
      expect(f).toThrow(RangeError);
      const before = core.bytesInUse;
      for (let n = 0; n < 20; n++) expect(f).toThrow(RangeError);
      return core.bytesInUse - before;
    };
    expect(held(() => crfLoss(e, A, y, { lengths: [3] }))).toBe(0);
    expect(held(() => crfLoss(e, A, [[-1, 7]], { ignoreIndex: -1 }))).toBe(0);
    expect(held(() => crfLoss(e, A, [[0, 7]]))).toBe(0);
  });
});
