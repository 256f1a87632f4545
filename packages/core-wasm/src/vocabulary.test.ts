import { Tensor, isCsr, type CsrMatrix } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { vocabularyPass, type VocabularyProblem } from "./families/vocabulary.ts";
import { core } from "./index.ts";
import { vocabularyRef } from "./vocabulary.ref.ts";

type Settings = Partial<Pick<VocabularyProblem, "smoothing" | "zLoss" | "softCap" | "skip" | "k" | "rows">> & { bias?: boolean; classWeights?: boolean; kind?: "labels" | "dense" | "csr"; sparse?: boolean; scale?: number };

function toCsr(x: Float32Array, rows: number, columns: number): CsrMatrix {
  const indptr = new Int32Array(rows + 1), indices: number[] = [], data: number[] = [];
  for (let n = 0; n < rows; n++) {
    for (let f = columns - 1; f >= 0; f--) {
      if (x[n * columns + f] === 0) continue;
      data.push(x[n * columns + f]);
      indices.push(f);
    }
    indptr[n + 1] = indices.length;
  }
  return { shape: [rows, columns], indptr, indices: Int32Array.from(indices), data: Float32Array.from(data) };
}

function make(b: number, d: number, v: number, settings: Settings = {}) {
  const random = testRandom(1000 * b + 10 * d + v), { kind = "labels", scale = 1, sparse = false } = settings;
  const x = Float32Array.from({ length: b * d }, () => (sparse && random.uniform() < 0.6 ? 0 : random.normal()));
  const w = Float32Array.from({ length: v * d }, () => scale * random.normal());
  const labels = Int32Array.from({ length: b }, () => random.integer(v));
  const t = Float32Array.from({ length: b * v }, () => (random.uniform() < 0.5 ? 0 : random.uniform()));
  const coefficients = Float64Array.from({ length: b }, () => random.normal());
  const problem: VocabularyProblem = {
    smoothing: 0, zLoss: 0, softCap: 0, skip: 0, k: 0, ...settings,
    hidden: sparse ? toCsr(x, b, d) : new Tensor("float32", [b, d], x), weights: new Tensor("float32", [v, d], w), rows: settings.rows ?? Int32Array.from({ length: b }, (_, i) => i),
    bias: settings.bias ? Float32Array.from({ length: v }, () => random.normal()) : undefined, labels: kind === "labels" ? labels : undefined,
    targets: kind === "dense" ? new Tensor("float32", [b, v], t) : kind === "csr" ? toCsr(t, b, v) : undefined,
    classWeights: settings.classWeights ? Float32Array.from({ length: v }, () => (random.uniform() < 0.2 ? 0 : 2 * random.uniform())) : undefined,
  };
  return { problem, x, w, labels, t, coefficients, b, d, v };
}

/** Targets of each row by the definition. */
function targetsOf({ problem: { labels, classWeights, smoothing }, t, b, v }: ReturnType<typeof make>): Float64Array[] {
  return Array.from({ length: b }, (_, i) => Float64Array.from({ length: v }, (_, c) => (classWeights ? classWeights[c] : 1) * ((1 - smoothing) * (labels ? Number(labels[i] === c) : t[i * v + c]) + smoothing / v)));
}

/** Factor of the squared log partition of each row. */
const zLosses = ({ problem: { zLoss, labels, classWeights }, b }: ReturnType<typeof make>): number[] => Array.from({ length: b }, (_, i) => zLoss * (labels && classWeights ? classWeights[labels[i]] : 1));

const rowsOf = (data: ArrayLike<number>, width: number, count: number): ArrayLike<number>[] => Array.from({ length: count }, (_, i) => Array.prototype.slice.call(data, i * width, (i + 1) * width) as number[]);

function definition(made: ReturnType<typeof make>, x: ArrayLike<number>, w: ArrayLike<number>, bias: ArrayLike<number>): Float64Array {
  const { problem, b, d, v } = made;
  return vocabularyRef(rowsOf(x, d, b), rowsOf(w, d, v), targetsOf(made), bias, problem.softCap, zLosses(made));
}

/** Losses and gradients in float64 by the formulas, for sizes where differences take too long. */
function exact({ problem, x, w, coefficients, b, d, v, ...rest }: ReturnType<typeof make>) {
  const made = { problem, x, w, coefficients, b, d, v, ...rest }, T = targetsOf(made), { softCap: cap, bias } = problem;
  const hidden = new Float64Array(b * d), weights = new Float64Array(v * d), biases = new Float64Array(v), losses = new Float64Array(b), largest = new Float64Array(v);
  for (const i of problem.rows) {
    const zLoss = zLosses(made)[i], raw = Float64Array.from({ length: v }, (_, c) => x.subarray(i * d, (i + 1) * d).reduce((sum, value, f) => sum + value * w[c * d + f], bias ? bias[c] : 0)), z = raw.map((value) => (cap ? cap * Math.tanh(value / cap) : value));
    const top = z.reduce((a, c) => Math.max(a, c)), L = top + Math.log(z.reduce((sum, value) => sum + Math.exp(value - top), 0)), mass = T[i].reduce((a, c) => a + c, 0);
    z.forEach((value, c) => {
      losses[i] += T[i][c] * (L - value);
      const part = ((mass + 2 * zLoss * L) * Math.exp(value - L) - T[i][c]) * (cap ? 1 - (value / cap) ** 2 : 1), g = coefficients[i] * part;
      largest[c] = Math.max(largest[c], Math.abs(part));
      biases[c] += g;
      for (let f = 0; f < d; f++) {
        hidden[i * d + f] += g * w[c * d + f];
        weights[c * d + f] += g * x[i * d + f];
      }
    });
    losses[i] += zLoss * L * L;
  }
  return { losses, hidden, weights, bias: biases, largest };
}

const elements = (problem: VocabularyProblem, dense: ArrayLike<number>): Float64Array =>
  isCsr(problem.hidden) ? Float64Array.from(problem.hidden.indices, (f, j) => dense[(problem.hidden as CsrMatrix).indptr.findLastIndex((from) => from <= j) * problem.hidden.shape[1] + f]) : Float64Array.from(dense);

const CASES: readonly (readonly [name: string, settings: Settings])[] = [
  ["labels", {}],
  ["labels and a bias", { bias: true }],
  ["a soft cap", { bias: true, softCap: 3 }],
  ["smoothing", { smoothing: 0.1 }],
  ["class weights", { classWeights: true }],
  ["everything", { bias: true, classWeights: true, smoothing: 0.2, zLoss: 0.1, softCap: 5 }],
  ["dense targets", { kind: "dense" }],
  ["dense targets and everything", { kind: "dense", bias: true, classWeights: true, smoothing: 0.2, zLoss: 0.1, softCap: 5 }],
  ["sparse targets", { kind: "csr", classWeights: true }],
  ["sparse rows", { sparse: true, bias: true }],
  ["sparse rows and everything", { sparse: true, kind: "csr", bias: true, classWeights: true, smoothing: 0.2, zLoss: 0.1, softCap: 5 }],
];

describe("vocabularyPass", () => {
  it.each(CASES)("agrees with the definition and central differences: %s", (_, settings) => {
    for (const [b, d, v] of [[1, 1, 1], [2, 3, 2], [3, 2, 5], [5, 4, 9], [4, 0, 3], [7, 5, 17]]) {
      const made = make(b, d, v, settings), { problem, coefficients } = made, bias = problem.bias ?? new Float32Array(v);
      const got = vocabularyPass("test", problem, coefficients), total = (x: ArrayLike<number>, w: ArrayLike<number>, z: ArrayLike<number>): number => definition(made, x, w, z).reduce((sum, value, i) => sum + coefficients[i] * value, 0);
      // Logits of up to 5 products and about 10 in size; targets of a row weigh up to 20 together. Differences are good to 1e-7.
      expectClose(got.losses, definition(made, made.x, made.w, bias), { atol: 2e-5, rtol: 2e-6 });
      expectClose(vocabularyPass("test", problem).losses, got.losses, { atol: 0 });
      const dx = finiteDifferenceGradient((x) => total(x, made.w, bias), Float64Array.from(made.x)), dw = finiteDifferenceGradient((w) => total(made.x, w, bias), Float64Array.from(made.w)), db = finiteDifferenceGradient((z) => total(made.x, made.w, z), Float64Array.from(bias));
      expectClose(got.gradients!.hidden, elements(problem, dx), { atol: 1e-4, rtol: 1e-5 });
      expectClose(got.gradients!.weights, dw, { atol: 1e-4, rtol: 1e-5 });
      expectClose(got.gradients!.bias, db, { atol: 1e-4, rtol: 1e-5 });
    }
  });

  it.each([...CASES, ["skipped words", { skip: 1e-9, scale: 3 }] as const])("agrees with float64 over several tiles and blocks: %s", (name, settings) => {
    // 520 rows are two blocks; 1,000 words are four tiles whose logits do not fit beside each other for the first block.
    for (const [b, d, v] of /everything|^labels$|skipped/.test(name) ? [[520, 2, 1000], [19, 20, 700]] : [[19, 20, 700]]) {
      const made = make(b, d, v, settings), got = vocabularyPass("test", made.problem, made.coefficients), want = exact(made);
      expectClose(got.losses, want.losses, { atol: 1e-4, rtol: 1e-5 });
      expectClose(got.gradients!.hidden, elements(made.problem, want.hidden), { atol: 2e-4, rtol: 1e-5 });
      expectClose(got.gradients!.weights, want.weights, { atol: 2e-4, rtol: 1e-5 });
      expectClose(got.gradients!.bias, want.bias, { atol: 2e-4, rtol: 1e-5 });
    }
  });

  it("leaves rows out without reading them", () => {
    const made = make(6, 3, 8, { rows: Int32Array.of(1, 4) }), whole = vocabularyPass("test", made.problem, made.coefficients), hidden = made.x.slice();
    for (const b of [0, 2, 3, 5]) hidden.fill(NaN, b * 3, b * 3 + 3);
    const labels = made.labels.map((y, i) => ([1, 4].includes(i) ? y : -100)), got = vocabularyPass("test", { ...made.problem, labels, hidden: new Tensor("float32", [6, 3], hidden) }, made.coefficients), want = exact(made);
    for (const [a, b, c] of [[got.losses, whole.losses, want.losses], [got.gradients!.weights, whole.gradients!.weights, want.weights], [got.gradients!.hidden, whole.gradients!.hidden, want.hidden]] as const) {
      expectExact(a, b);
      expectClose(a, c, { atol: 1e-5 });
    }
    expect([...got.argmax].filter((i) => i < 0).length).toBe(4);
  });

  it("says which words are likeliest, the entropy and the label's logit", () => {
    for (const [b, d, v] of [[3, 4, 3], [9, 3, 300], [2, 8, 700]]) {
      const { problem, x, w, labels } = make(b, d, v, { k: 3 }), got = vocabularyPass("test", problem);
      for (let i = 0; i < b; i++) {
        const z = Float64Array.from({ length: v }, (_, c) => x.subarray(i * d, (i + 1) * d).reduce((sum, value, f) => sum + value * w[c * d + f], 0)), L = Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0));
        const order = Array.from(z.keys()).sort((p, q) => z[q] - z[p]).slice(0, 3);
        expect(got.argmax[i]).toBe(order[0]);
        expectExact(got.topIndices.slice(3 * i, 3 * i + 3), order);
        expectClose(got.topLogits.slice(3 * i, 3 * i + 3), order.map((c) => z[c]), { atol: 1e-5 });
        expectClose([got.logSumExp[i], got.entropy[i], got.labelLogits[i]], [L, z.reduce((sum, value) => sum - Math.exp(value - L) * (value - L), 0), z[labels[i]]], { atol: 5e-6 });
      }
    }
  });

  it("prefers the smaller index among equal logits, in every tile", () => {
    const v = 600, weights = new Tensor("float32", [v, 1], Float32Array.from({ length: v }, (_, c) => [0, 5, 3, 5][c % 4]));
    const got = vocabularyPass("test", { ...make(2, 1, v).problem, hidden: new Tensor("float32", [2, 1], Float32Array.of(1, -1)), weights, k: 3, labels: Int32Array.of(0, 0) });
    expect([...got.topIndices]).toEqual([1, 3, 5, 0, 4, 8]);
    expect([...got.argmax]).toEqual([1, 0]);
  });

  it("keeps the first place of a maximum that a row meets again where its neighbour rises", () => {
    const v = 200, weights = new Tensor("float32", [v, 2], new Float32Array(2 * v)), { data } = weights;
    data[0] = data[200] = 5;
    data[203] = 7;
    const got = vocabularyPass("test", { ...make(2, 2, v).problem, hidden: new Tensor("float32", [2, 2], Float32Array.of(1, 0, 0, 1)), weights, labels: Int32Array.of(0, 0) });
    expect([...got.argmax]).toEqual([0, 101]);
  });

  it("never counts an impossible word, and keeps NaN in its row", () => {
    const weights = new Tensor("float32", [4, 1], Float32Array.of(0, 1, 2, 3)), hidden = new Tensor("float32", [2, 1], Float32Array.of(1, NaN));
    const problem = { ...make(2, 1, 4, { k: 4 }).problem, hidden, weights, bias: Float32Array.of(-Infinity, 0, 0, -Infinity), labels: Int32Array.of(1, 1) };
    const got = vocabularyPass("test", problem, Float64Array.of(1, 0));
    expectClose([got.losses[0], got.entropy[0]], [Math.log(1 + Math.E), Math.log(1 + Math.E) - Math.E / (1 + Math.E)], { atol: 1e-6 });
    expect(Array.from(got.topIndices.subarray(0, 4))).toEqual([2, 1, -1, -1]);
    expect([got.losses[1], got.logSumExp[1], got.entropy[1]]).toEqual([NaN, NaN, NaN]);
    expect([got.argmax[1], ...got.topIndices.subarray(4)]).toEqual([-1, -1, -1, -1, -1]);
    expectClose(vocabularyPass("test", { ...problem, rows: Int32Array.of(0) }, Float64Array.of(1, 0)).gradients!.bias, [0, 1 / (1 + Math.E) - 1, Math.E / (1 + Math.E), 0], { atol: 1e-6 });
    expect(vocabularyPass("test", { ...problem, rows: Int32Array.of(0), labels: Int32Array.of(0, 0) }).losses[0]).toBe(Infinity);
  });

  it("gives the same bits for resident weights and hidden states, before and after memory grows", () => {
    const { problem, coefficients, x, w } = make(20, 24, 900, { bias: true, k: 2 }), want = vocabularyPass("test", problem, coefficients);
    const hidden = core.alloc([20, 24]), weights = core.alloc([900, 24]);
    hidden.data.set(x);
    weights.data.set(w);
    const grown = core.alloc([core.memory.buffer.byteLength / 4]), got = vocabularyPass("test", { ...problem, hidden, weights }, coefficients);
    for (const name of ["losses", "entropy", "topLogits"] as const) expectExact(got[name], want[name]);
    for (const name of ["hidden", "weights", "bias"] as const) expectExact(got.gradients![name], want.gradients![name]);
    expectExact(weights.data, w);
    for (const tensor of [hidden, weights, grown]) tensor.dispose();
  });

  it("leaves out what is below the threshold, and nothing more than the bound allows", () => {
    for (const settings of [{ scale: 1.2 }, { scale: 1.2, softCap: 8, bias: true }, { scale: 1.2, kind: "csr" as const }, { scale: 1.2, zLoss: 1e-3 }]) {
      const skip = 2 ** -8, made = make(13, 12, 1500, settings), { problem, coefficients, x, w, b, d, v } = made;
      // Soft targets that are small beside the threshold.
      made.t.forEach((t, j) => (made.t[j] = t / v));
      if (settings.kind === "csr") (problem.targets as CsrMatrix).data.forEach((t, j, all) => (all[j] = t / v));
      const full = exact(made), got = vocabularyPass("test", { ...problem, skip }, coefficients).gradients!;
      const norm = (data: ArrayLike<number>, row: number): number => Math.hypot(...(Array.prototype.slice.call(data, row * d, (row + 1) * d) as number[]));
      let left = 0;
      for (let c = 0; c < v; c++) {
        const out = got.bias[c] === 0;
        left += Number(out);
        // A word that is left out had a small part in every row; one that is kept is exact.
        if (out) expect(full.largest[c]).toBeLessThan(skip * 1.001);
        else expectClose(got.bias[c], full.bias[c], { atol: 1e-4 });
        const error = Math.hypot(...Array.from({ length: d }, (_, f) => got.weights[c * d + f] - full.weights[c * d + f]));
        expect(error).toBeLessThanOrEqual(skip * coefficients.reduce((sum, value, i) => sum + Math.abs(value) * norm(x, i), 0) + 1e-4);
      }
      expect(left).toBeGreaterThan(v / 2);
      const widest = Math.max(...Array.from({ length: v }, (_, c) => norm(w, c)));
      for (let i = 0; i < b; i++) expect(Math.hypot(...Array.from({ length: d }, (_, f) => got.hidden[i * d + f] - full.hidden[i * d + f]))).toBeLessThanOrEqual(Math.abs(coefficients[i]) * skip * left * widest + 1e-4);
    }
  });

  it("holds at most 8 MiB of WebAssembly memory", () => {
    for (const [b, d, v] of [[1, 65536, 2], [600, 768, 300], [700, 64, 2000], [64, 4096, 100]]) {
      const before = core.bytesInUse, made = { ...make(b, 1, v).problem, hidden: new Tensor("float32", [b, d], new Float32Array(b * d)), weights: new Tensor("float32", [v, d], new Float32Array(v * d)), k: 2 };
      vocabularyPass("test", made, new Float64Array(b).fill(1));
      // Everything in use, static data and what other families took included.
      expect(core.bytesInUse - Math.max(0, before - 8 * 1048576)).toBeLessThanOrEqual(before + 8 * 1048576);
      expect(core.bytesInUse).toBeLessThanOrEqual(Math.max(before, 9 * 1048576));
    }
  });
});
