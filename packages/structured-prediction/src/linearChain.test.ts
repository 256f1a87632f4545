import { core } from "@logits/core-wasm";
import { distributionChecks, expectClose, finiteDifferenceGradient, testRandom, type DistributionCase } from "@logits/testkit";
import { randomSource, tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { automaton, type Automaton } from "./automaton.ts";
import { LinearChain } from "./linearChain.ts";

const random = testRandom(3);
const list = (n: number, scale: number, impossible = 0): number[] => Array.from({ length: n }, () => (random.uniform() < impossible ? -Infinity : Math.fround(scale * random.normal())));
const matrix = (rows: number, cols: number, scale: number, impossible = 0): number[][] => Array.from({ length: rows }, () => list(cols, scale, impossible));

interface Parameters { readonly e: number[][]; readonly A: number[][]; readonly varying?: number[][][]; readonly start: number[]; readonly end: number[]; readonly constraint?: Automaton }

function scoreOf({ e, A, varying, start, end, constraint }: Parameters, y: readonly number[]): number {
  let q = constraint?.start ?? 0;
  for (const label of y) q = constraint ? (q < 0 ? -1 : constraint.next[q * constraint.labels + label]) : 0;
  if (constraint && (q < 0 || constraint.accepting[q] === 0)) return -Infinity;
  return y.length === 0 ? 0 : y.reduce((sum, label, t) => sum + e[t][label] + (t > 0 ? (varying?.[t] ?? A)[y[t - 1]][label] : start[label]), 0) + end[y.at(-1)!];
}

const sequences = (T: number, C: number): number[][] => (T === 0 ? [[]] : sequences(T - 1, C).flatMap((y) => Array.from({ length: C }, (_, j) => [...y, j])));

function made({ e, A, varying, start, end, constraint }: Parameters): LinearChain {
  const options = { start: tensor(start), end: tensor(end) };
  if (varying) return LinearChain.varying(tensor(e), tensor(varying), options);
  return new LinearChain(LinearChain.compile(tensor(A), { ...options, ...(constraint && { constraint }) }), tensor(e));
}

function drawn(C: number, T: number, scale: number, impossible: number): Parameters {
  return { e: matrix(T, C, scale, impossible), A: matrix(C, C, scale, impossible), start: list(C, scale, impossible), end: list(C, scale, impossible) };
}

function caseOf(name: string, p: Parameters, q: Parameters): DistributionCase<TensorLike, LinearChain> {
  const C = p.start.length, T = p.e.length;
  return {
    name, make: () => made(p), other: () => made(q),
    structures: sequences(T, C).map((labels) => ({ labels, score: scoreOf(p, labels), other: scoreOf(q, labels) })),
    structure: (labels) => ({ data: Int32Array.from(labels), shape: [T], dtype: "int32" }),
    marginals: (d) => {
      const { unary, pairwise } = d.marginals({ pairwise: true });
      return [...unary.data, ...pairwise!.data];
    },
    parts: (y) => y.flatMap((label, t) => [t * C + label, ...(t > 0 ? [T * C + (t * C + y[t - 1]) * C + label] : [])]),
    logCount: (d) => d.logCount()[0],
  };
}

/** No label twice in a row, and an even number of 0s: start, after 0 (odd), after others … as a table. */
function noRepeatEvenZeros(C: number): Automaton {
  // State: (last label + 1) * 2 + parity of zeros.
  const states = (C + 1) * 2, next: number[] = [];
  for (let s = 0; s < states; s++) for (let y = 0; y < C; y++) next.push((s >> 1) - 1 === y ? -1 : (y + 1) * 2 + ((s & 1) ^ (y === 0 ? 1 : 0)));
  return automaton(C, next, Array.from({ length: states }, (_, s) => 1 - (s & 1)));
}

const cases: DistributionCase<TensorLike, LinearChain>[] = [];
for (let n = 0; n < 30; n++) {
  const C = 1 + (n % 4), T = 1 + ((n * 7) % 4), impossible = [0, 0.15, 0.3][n % 3], scale = [0.5, 2, 8][(n >> 2) % 3];
  const p = drawn(C, T, scale, impossible);
  cases.push(caseOf(`chain ${n}, C ${C}, T ${T}`, p, { ...drawn(C, T, scale, 0) }));
}
for (let n = 0; n < 6; n++) {
  const [C, T] = [2 + (n % 2), 1 + (n % 4)], p = drawn(C, T, 1.5, 0), q = drawn(C, T, 1.5, 0);
  cases.push(caseOf(`varying ${n}`, { ...p, varying: Array.from({ length: T }, () => matrix(C, C, 1, n % 2 ? 0.2 : 0)) }, { ...q, varying: Array.from({ length: T }, () => matrix(C, C, 1)) }));
  const constraint = noRepeatEvenZeros(3);
  cases.push(caseOf(`constrained ${n}`, { ...drawn(3, 1 + (n % 4), 1.5, 0), constraint }, { ...drawn(3, 1 + (n % 4), 1.5, 0) }));
}

describe("LinearChain against enumeration [paper:bidirectional-lstm-crf-models-for-sequence-tagging] [paper:dependency-guided-lstm-crf-for-named-entity-recognition]", () => {
  it.each(distributionChecks(cases))("$name", ({ run }) => run());

  it("gives max-marginals, span probabilities, means and minimum Bayes risk as the enumeration does", () => {
    for (const [n, constraint] of [[0, undefined], [1, noRepeatEvenZeros(3)]] as const) {
      const C = 3, T = 4, p: Parameters = { ...drawn(C, T, 1.5, 0), ...(constraint && { constraint }) };
      const d = made(p), all = sequences(T, C).map((y) => ({ y, score: scoreOf(p, y) })).filter(({ score }) => score > -Infinity);
      const Z = all.reduce((sum, { score }) => sum + Math.exp(score), 0);
      const mean = (f: (y: readonly number[]) => number): number => all.reduce((sum, { y, score }) => sum + (Math.exp(score) / Z) * f(y), 0);
      const best = d.maxMarginals();
      for (let t = 0; t < T; t++) for (let j = 0; j < C; j++) expectClose(best.at(t, j), Math.max(-Infinity, ...all.filter(({ y }) => y[t] === j).map(({ score }) => score)), { atol: 1e-5, label: `max ${n} ${t} ${j}` });
      for (const span of [[0], [1, 2], [2, 1, 0], [0, 1, 2, 0]]) for (let from = 0; from + span.length <= T; from++) expectClose(d.spanProbability(0, from, span), mean((y) => (span.every((label, k) => y[from + k] === label) ? 1 : 0)), { atol: 3e-6, label: `span ${n} ${span.join()} at ${from}` });
      const emissions = matrix(T, C, 1), transitions = matrix(C, C, 1);
      expectClose(d.expectation({ emissions: tensor(emissions), transitions: tensor(transitions) }), [mean((y) => y.reduce((sum, label, t) => sum + emissions[t][label] + (t > 0 ? transitions[y[t - 1]][label] : 0), 0))], { atol: 2e-5 });
      const unary = (t: number, j: number): number => mean((y) => (y[t] === j ? 1 : 0));
      expect([...d.minimumBayesRisk().data]).toEqual(Array.from({ length: T }, (_, t) => [0, 1, 2].toSorted((a, b) => unary(t, b) - unary(t, a))[0]));
      const risk = (y: readonly number[]): number => y.reduce((sum, label, t) => sum + unary(t, label), 0);
      expect([...d.minimumBayesRisk({ constrained: true }).data]).toEqual(all.toSorted((a, b) => risk(b.y) - risk(a.y))[0].y);
    }
  });

  it("treats partial labels as the sum over what they allow", () => {
    const C = 3, T = 3, p = drawn(C, T, 1.5, 0), d = made(p);
    const allowed = [[1, 0, 1], [1, 1, 1], [0, 1, 0]];
    const all = sequences(T, C), Z = all.reduce((sum, y) => sum + Math.exp(scoreOf(p, y)), 0);
    const some = all.filter((y) => y.every((label, t) => allowed[t][label] === 1)).reduce((sum, y) => sum + Math.exp(scoreOf(p, y)), 0);
    expectClose(d.logProbOfAny({ data: Uint8Array.from(allowed.flat()), shape: [T, C], dtype: "uint8" }), [Math.log(some / Z)], { atol: 5e-6 });
  });
});

describe("gradients", () => {
  it("are central differences of the values, in float64, for every argument and a random upstream", () => {
    const C = 3, T = 3, B = 2;
    const p = [drawn(C, T, 1, 0), drawn(C, T, 1, 0)], { A, start, end } = p[0];
    const lengths = [3, 2], upstream = [0.7, -1.3], labels = [[0, 2, 1], [1, 0, 0]], allowed = [[[1, 1, 0], [1, 1, 1], [0, 1, 1]], [[0, 1, 1], [1, 0, 1], [1, 1, 1]]];
    const d = new LinearChain(LinearChain.compile(tensor(A), { start: tensor(start), end: tensor(end) }), tensor(p.map(({ e }) => e)), { lengths });
    const flat = Float64Array.from([...p.flatMap(({ e }) => e.flat()), ...A.flat(), ...start, ...end]);
    const unpack = (x: Float64Array): Parameters[] => p.map((_, b) => {
      const at = (k: number, rows: number): number[][] => Array.from({ length: rows }, (_, r) => [...x.subarray(k + r * C, k + (r + 1) * C)]);
      return { e: at(b * T * C, lengths[b]), A: at(B * T * C, C), start: at(B * T * C + C * C, 1)[0], end: at(B * T * C + C * C + C, 1)[0] };
    });
    const logZ = (q: Parameters, keep: (y: readonly number[]) => boolean = () => true): number => Math.log(sequences(q.e.length, C).filter(keep).reduce((sum, y) => sum + Math.exp(scoreOf(q, y)), 0));
    const compare = (got: { grads: Record<string, { data: ArrayLike<number> }> | object }, value: (q: Parameters, b: number) => number): void => {
      const want = finiteDifferenceGradient((x) => unpack(x).reduce((sum, q, b) => sum + upstream[b] * value(q, b), 0), flat);
      const { emissions, transitions, start: s, end: f } = got.grads as Record<string, { data: ArrayLike<number> }>;
      expectClose([...Array.from(emissions.data), ...Array.from(transitions.data), ...Array.from(s.data), ...Array.from(f.data)], want, { atol: 5e-6 });
    };
    compare(d.logPartitionWithGrad({ upstream }), (q) => logZ(q));
    compare(d.logProbWithGrad(labels, { upstream }), (q, b) => scoreOf(q, labels[b].slice(0, lengths[b])) - logZ(q));
    compare(d.logProbOfAnyWithGrad({ data: Uint8Array.from(allowed.flat(2)), shape: [B, T, C], dtype: "uint8" }, { upstream }), (q, b) => logZ(q, (y) => y.every((label, t) => allowed[b][t][label] === 1)) - logZ(q));
  });
});

describe("batches [paper:dialogue-act-sequence-labeling-using-hierarchical-encoder-with-crf]", () => {
  it("answers a padded batch, ragged rows and single sequences alike, whatever stands in padding", () => {
    const C = 3, p = drawn(C, 4, 1, 0), lengths = [4, 0, 2];
    const model = LinearChain.compile(tensor(p.A), { start: tensor(p.start), end: tensor(p.end) });
    const e = lengths.map((_, b) => matrix(4, C, 1).map((row, t) => (t < lengths[b] ? row : [NaN, Infinity, -Infinity])));
    const padded = new LinearChain(model, tensor(e), { lengths });
    const ragged = new LinearChain(model, tensor(e.flatMap((rows, b) => rows.slice(0, lengths[b]))), { offsets: [0, 4, 4, 6] });
    const single = [0, 2].map((b) => new LinearChain(model, tensor(e[b].slice(0, lengths[b]))));
    expect([...padded.logPartition()]).toEqual([...ragged.logPartition()]);
    expect([...padded.logPartition()]).toEqual([single[0].logPartition()[0], 0, single[1].logPartition()[0]]);
    expect(padded.argmax().labels.shape).toEqual([3, 4]);
    expect(padded.argmax().labels.toArray()).toEqual([single[0].argmax().labels.toArray(), [-1, -1, -1, -1], [...(single[1].argmax().labels.toArray() as number[]), -1, -1]]);
    expect([...padded.entropy()]).toEqual([single[0].entropy()[0], 0, single[1].entropy()[0]]);
    expect(padded.topK(2).labels.shape).toEqual([2, 3, 4]);
    expect(padded.sample(randomSource(1, 1), 5).shape).toEqual([5, 3, 4]);
    expect([...padded.marginals().unary.data.subarray(12, 24)]).toEqual(new Array(12).fill(0));
  });

  it("finds the best sequences of a long text without running out of stack", () => {
    const T = 12_000, e = new Float32Array(2 * T);
    for (let t = 0; t < T; t++) e[2 * t] = 1 + t / T;
    const model = LinearChain.compile(tensor([[0, 0], [0, 0]]));
    const { labels, score } = new LinearChain(model, { data: e, shape: [T, 2] }).topK(3);
    // The second best differs in the first row, the third in the second row.
    expect([0, 1, 2].map((k) => labels.data.subarray(k * T, (k + 1) * T).indexOf(1))).toEqual([-1, 0, 1]);
    expectClose([score[0] - score[1], score[0] - score[2]], [1, e[2]], { atol: 1e-9 });
    // One sequence is all there is: the search for another ends, also at this length.
    const one = new LinearChain(LinearChain.compile(tensor([[0]])), { data: new Float32Array(T), shape: [T, 1] });
    expect([...one.topK(2).score]).toEqual([0, -Infinity]);
  });

  it("gives the same bits with pauses: topK, maxMarginals and massOf; and stops on abort", async () => {
    const C = 5, given = { e: matrix(9000, C, 2), A: matrix(C, C, 1, 0.1), start: list(C, 1), end: list(C, 1) };
    const chain = new LinearChain(LinearChain.compile(tensor(given.A), { start: tensor(given.start), end: tensor(given.end) }), tensor(given.e), { offsets: [0, 8000, 8000, 9000] });
    const even = automaton(C, Array.from({ length: 2 * C }, (_, k) => (k % C === 0 ? 1 - Math.floor(k / C) : Math.floor(k / C))), [1, 0]);
    let turns = 0;
    const beat = setInterval(() => turns++, 0), shares: number[] = [], options = { onProgress: (share: number) => shares.push(share) };
    const [ranking, best, mass] = [await chain.topKAsync(3, options), await chain.maxMarginalsAsync(), await chain.massOfAsync(even)];
    clearInterval(beat);
    expect(turns).toBeGreaterThan(2);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(ranking).toEqual(chain.topK(3));
    expect(best).toEqual(chain.maxMarginals());
    expect(mass).toEqual(chain.massOf(even));
    const stopped = { signal: AbortSignal.abort(new Error("stop")) };
    for (const work of [chain.topKAsync(2, stopped), chain.maxMarginalsAsync(stopped), chain.massOfAsync(even, stopped)]) await expect(work).rejects.toThrow("stop");
    await expect(chain.topKAsync(0)).rejects.toThrow("LinearChain.topKAsync: expected `k`");
  });

  it("asks the constraint about the sequence without labels, in every query", () => {
    const model = LinearChain.compile(tensor([[0, 0], [0, 0]]), { constraint: automaton(2, [1, 1, 1, 1], [0, 1]) });
    const both = new LinearChain(model, tensor([[1, 0]]), { offsets: [0, 0, 1] });
    expect([...both.logPartition()][0]).toBe(-Infinity);
    expect([...both.logCount()]).toEqual([-Infinity, Math.log(2)]);
    for (const query of [() => both.argmax(), () => both.topK(1), () => both.marginals(), () => both.minimumBayesRisk()]) expect(query).toThrow("none in batch item 0");
    const free = new LinearChain(LinearChain.compile(tensor([[0, 0], [0, 0]])), { data: new Float32Array(0), shape: [0, 2] });
    expect([[...free.logCount()], [...free.argmax().score], [...free.topK(1).score]]).toEqual([[0], [0], [0]]);
  });

  it("keeps minimum-Bayes-risk sequences possible where a label or a row's transition is not", () => {
    // Six sequences of probability 1/6: three from 0 to different ends, three from different labels to 11. 0, 10, 11 would have the largest sum, but 10 is impossible in its row.
    const A = Array.from({ length: 15 }, () => new Array<number>(15).fill(-Infinity));
    for (const [i, j] of [[0, 4], [0, 5], [0, 6], [4, 12], [5, 13], [6, 14], [1, 7], [2, 8], [3, 9], [7, 11], [8, 11], [9, 11], [0, 10], [10, 11]]) A[i][j] = 0;
    const e = [[0, 3], [4, 9], [11, 14]].map(([low, high]) => Array.from({ length: 15 }, (_, j) => (j >= low && j <= high ? 0 : -Infinity)));
    const chain = new LinearChain(LinearChain.compile(tensor(A)), tensor(e));
    expect(chain.score(chain.minimumBayesRisk({ constrained: true }))[0]).toBe(0);
    const into = [[-Infinity, Math.log(0.4), -Infinity], [Math.log(0.35), -Infinity, -Infinity], [Math.log(0.25), -Infinity, -Infinity]];
    const varying = LinearChain.varying(tensor([[0, 0, 0], [0, 0, 0]]), tensor([into, into]));
    expect([...varying.minimumBayesRisk().data]).toEqual([0, 0]);
    expect([...varying.minimumBayesRisk({ constrained: true }).data]).toEqual([1, 0]);
  });

  it("keeps what a resident tensor held when the memory grows", () => {
    const e = core.alloc([3, 2]), labels = [0, 1, 1];
    e.data.set([1, 2, 3, 4, 5, 6]);
    const chain = new LinearChain(LinearChain.compile(tensor([[0, 1], [1, 0]])), e);
    const grown = core.alloc([core.memory.buffer.byteLength >> 2]);
    expect([...chain.score(labels)]).toEqual([1 + 4 + 6 + 1]);
    expectClose(chain.logPartition(), new LinearChain(chain.model, tensor([[1, 2], [3, 4], [5, 6]])).logPartition(), { atol: 0 });
    grown.dispose();
    e.dispose();
  });

  it("gives marginals away, not what other queries rest on", () => {
    const chain = new LinearChain(LinearChain.compile(tensor([[0, 1], [1, 0]])), tensor([[1, 2], [3, 4]]));
    const entropy = chain.marginals({ pairwise: true }) && chain.entropy()[0];
    const { unary, pairwise } = chain.marginals({ pairwise: true });
    const want = [...unary.data];
    unary.data.fill(9);
    pairwise!.data.fill(9);
    expect([...chain.marginals().unary.data]).toEqual(want);
    expect(chain.entropy()[0]).toBe(entropy);
  });

  it("refuses NaN and +Infinity in queries that count, rank and compare", () => {
    const model = LinearChain.compile(tensor([[0, 1], [0, 0]]));
    for (const bad of [NaN, Infinity]) {
      const chain = new LinearChain(model, tensor([[[0, 1], [1, 1]], [[0, 1], [bad, 5]]]));
      for (const query of [() => chain.topK(1), () => chain.maxMarginals(), () => chain.logCount()]) expect(query).toThrow("NaN or +Infinity in batch item 1");
    }
  });

  it("names the side of a cross-entropy that has no possible sequence", () => {
    const model = LinearChain.compile(tensor([[0, 0], [0, 0]])), e = tensor([[0, 1]]);
    expect(() => new LinearChain(model, e).crossEntropy(new LinearChain(model, tensor([[-Infinity, -Infinity]])))).toThrow("none in batch item 0");
  });

  it("has messages that say what to do", () => {
    const model = LinearChain.compile(tensor([[0, 1], [1, 0]]));
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const e = tensor([[0, 1], [1, 0]]);
    expect([
      refused(() => LinearChain.compile(tensor([[0, 1]]))),
      refused(() => LinearChain.compile(tensor([[0, Infinity], [0, 0]]))),
      refused(() => new LinearChain(model, tensor([0, 1]))),
      refused(() => new LinearChain(model, tensor([[0, 1, 2]]))),
      refused(() => new LinearChain(model, e, { lengths: [2] })),
      refused(() => new LinearChain(model, tensor([[[0, 1]]]), { lengths: [2] })),
      refused(() => new LinearChain(model, e, { transitions: tensor([[[0, 1], [0, 0]], [[0, 0], [0, 0]]]) })),
      refused(() => new LinearChain(model, e).score([0, 2])),
      refused(() => new LinearChain(model, e).score([0])),
      refused(() => new LinearChain(model, tensor([[-Infinity, -Infinity]])).argmax()),
      refused(() => new LinearChain(model, tensor([[NaN, 0]])).entropy()),
      refused(() => new LinearChain(model, e).topK(0)),
    ]).toMatchInlineSnapshot(`
      [
        "LinearChain.compile: expected \`transitions\` of shape [C, C] with C >= 1, got [1, 2]",
        "LinearChain.compile: expected \`transitions\` finite or -Infinity, got Infinity at index 1",
        "LinearChain: expected \`emissions\` of shape [T, C], [B, T, C] or, with offsets, [N, C], got [2]",
        "LinearChain: expected \`emissions\` with 2 labels, got shape [1, 3]",
        "LinearChain: expected \`lengths\` with emissions of shape [B, T, C], got emissions of shape [2, 2]",
        "LinearChain: expected \`lengths\` in [0, 1], got 2 at index 0",
        "LinearChain: expected \`transitions\` where the model has none of its own, got a compiled model. Use LinearChain.varying",
        "LinearChain.score: expected \`labels\` in [0, 2), got 2 at index 1",
        "LinearChain.score: expected \`labels\` of shape [2], got [1]",
        "LinearChain.argmax: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 0",
        "LinearChain.entropy: expected \`emissions\` finite or -Infinity, got NaN or +Infinity in batch item 0",
        "LinearChain.topK: expected \`k\` an integer in [1, 2147483647], got 0",
      ]
    `);
  });
});
