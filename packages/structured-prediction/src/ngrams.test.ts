import { distributionChecks, expectClose, finiteDifferenceGradient, testRandom, type DistributionCase } from "@logits/testkit";
import { tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { automaton, type Automaton } from "./automaton.ts";
import { LinearChain } from "./linearChain.ts";
import { ngramScores, type Ngram } from "./ngrams.ts";
import { CommittedViterbi } from "./streaming/committedViterbi.ts";
import { ChainFilter } from "./streaming/chainFilter.ts";

const random = testRandom(31);
const list = (n: number, scale = 1): number[] => Array.from({ length: n }, () => Math.fround(scale * random.normal()));
const matrix = (rows: number, cols: number, scale = 1): number[][] => Array.from({ length: rows }, () => list(cols, scale));
const sequences = (T: number, C: number): number[][] => (T === 0 ? [[]] : sequences(T - 1, C).flatMap((y) => Array.from({ length: C }, (_, j) => [...y, j])));
const drawn = (C: number, count: number, longest: number, impossible = 0): Ngram[] => {
  const seen = new Map<string, Ngram>();
  for (let n = 0; n < count; n++) {
    const labels = Array.from({ length: 1 + random.integer(longest) }, () => random.integer(C));
    seen.set(labels.join(), { labels, score: random.uniform() < impossible ? -Infinity : Math.fround(2 * random.normal()) });
  }
  return [...seen.values()];
};

interface Parameters { readonly e: number[][]; readonly A: number[][]; readonly start: number[]; readonly end: number[]; readonly ngrams: readonly Ngram[]; readonly observedOnly?: boolean; readonly constraint?: Automaton }

/** By the definition: every place of every n-gram. */
function scoreOf({ e, A, start, end, ngrams, observedOnly, constraint }: Parameters, y: readonly number[]): number {
  let q = constraint?.start ?? 0;
  for (const label of y) q = constraint ? (q < 0 ? -1 : constraint.next[q * constraint.labels + label]) : 0;
  if (constraint && (q < 0 || constraint.accepting[q] === 0)) return -Infinity;
  let score = start[y[0]] + end[y.at(-1)!];
  y.forEach((label, t) => (score += e[t][label] + (t > 0 ? A[y[t - 1]][label] : 0)));
  for (const { labels, score: s } of ngrams) for (let t = 0; t + labels.length <= y.length; t++) if (labels.every((label, k) => y[t + k] === label)) score += s;
  const m = Math.max(...ngrams.map(({ labels }) => labels.length)), long = ngrams.filter(({ labels }) => labels.length === m);
  const listed = (part: readonly number[]): boolean => long.some(({ labels }) => part.every((label, k) => labels[k] === label));
  if (observedOnly) for (let t = 0; t < y.length; t++) if (!listed(y.slice(Math.max(0, t - m + 1), t + 1))) return -Infinity;
  return score;
}

function made({ e, A, start, end, ngrams, observedOnly = false, constraint }: Parameters, table = ngramScores(A.length, ngrams, { observedOnly })): LinearChain {
  return new LinearChain(LinearChain.compile(tensor(A), { start: tensor(start), end: tensor(end), ngrams: table, ...(constraint && { constraint }) }), tensor(e));
}

/** An even number of labels 1. */
const evenOnes = (C: number): Automaton => automaton(C, Array.from({ length: 2 * C }, (_, k) => (k % C === 1 ? 1 - Math.floor(k / C) : Math.floor(k / C))), [1, 0]);

const cases: DistributionCase<TensorLike, LinearChain>[] = [];
for (let n = 0; n < 24; n++) {
  const C = 2 + (n % 2), T = 1 + (n % 5), observedOnly = n % 4 === 3, longest = 1 + (n % 4);
  const ngrams = drawn(C, observedOnly ? 14 : 6, longest, n % 3 === 2 ? 0.2 : 0);
  const p: Parameters = { e: matrix(T, C), A: matrix(C, C), start: list(C), end: list(C), ngrams, observedOnly, ...(n % 6 === 4 && { constraint: evenOnes(C) }) };
  const q: Parameters = { ...p, e: matrix(T, C), A: matrix(C, C) }, table = ngramScores(C, ngrams, { observedOnly });
  cases.push({
    name: `n-grams ${n}, up to ${longest}${observedOnly ? ", observed only" : ""}${p.constraint ? ", constrained" : ""}`, make: () => made(p, table),
    other: () => made(q, table),
    structures: sequences(T, C).map((labels) => ({ labels, score: scoreOf(p, labels), other: scoreOf(q, labels) })),
    structure: (labels) => ({ data: Int32Array.from(labels), shape: [T], dtype: "int32" }),
    marginals: (d) => { const { unary, pairwise } = d.marginals({ pairwise: true }); return [...unary.data, ...pairwise!.data]; },
    parts: (y) => y.flatMap((label, t) => [t * C + label, ...(t > 0 ? [T * C + (t * C + y[t - 1]) * C + label] : [])]),
    logCount: (d) => d.logCount()[0],
  });
}

describe("n-grams against enumeration", () => {
  it.each(distributionChecks(cases))("$name", ({ run }) => run());

  it("has gradients by every argument that are central differences", () => {
    const C = 3, T = 4, ngrams = drawn(C, 6, 3), p: Parameters = { e: matrix(T, C), A: matrix(C, C), start: list(C), end: list(C), ngrams }, labels = [0, 2, 1, 1], upstream = [-1.5];
    const d = made(p), at = Float64Array.from([...p.e.flat(), ...p.A.flat(), ...p.start, ...p.end, ...ngrams.map(({ score }) => score)]);
    const unpack = (x: Float64Array): Parameters => {
      let k = 0;
      const rows = (n: number): number[][] => Array.from({ length: n }, () => [...x.subarray(k, (k += C))]);
      const [e, A, [start], [end]] = [rows(T), rows(C), rows(1), rows(1)];
      return { e, A, start, end, ngrams: ngrams.map((g, i) => ({ ...g, score: x[k + i] })) };
    };
    const logZ = (q: Parameters): number => Math.log(sequences(T, C).reduce((sum, y) => sum + Math.exp(scoreOf(q, y)), 0));
    const flat = ({ emissions, transitions, start, end, ngrams: g }: ReturnType<LinearChain["logPartitionWithGrad"]>["grads"]): number[] => [emissions, transitions, start, end, g!].flatMap((x) => [...x.data]);
    expectClose(flat(d.logPartitionWithGrad({ upstream }).grads), finiteDifferenceGradient((x) => upstream[0] * logZ(unpack(x)), at), { atol: 5e-6 });
    expectClose(flat(d.logProbWithGrad(labels, { upstream }).grads as never), finiteDifferenceGradient((x) => upstream[0] * (scoreOf(unpack(x), labels) - logZ(unpack(x))), at), { atol: 5e-6 });
    const allowed = [[1, 0, 1], [1, 1, 1], [0, 1, 0], [1, 1, 1]], some = (q: Parameters): number => Math.log(sequences(T, C).filter((y) => y.every((label, t) => allowed[t][label])).reduce((sum, y) => sum + Math.exp(scoreOf(q, y)), 0));
    expectClose(flat(d.logProbOfAnyWithGrad({ data: Uint8Array.from(allowed.flat()), shape: [T, C], dtype: "uint8" }, { upstream }).grads), finiteDifferenceGradient((x) => upstream[0] * (some(unpack(x)) - logZ(unpack(x))), at), { atol: 5e-6 });
  });

  it("answers spans, the mass on a language, and streams", () => {
    const C = 3, T = 5, p: Parameters = { e: matrix(T, C), A: matrix(C, C), start: list(C), end: list(C), ngrams: drawn(C, 8, 3) }, d = made(p);
    const all = sequences(T, C).map((y) => ({ y, w: Math.exp(scoreOf(p, y)) })), Z = all.reduce((sum, { w }) => sum + w, 0);
    expectClose(d.spanProbability(0, 1, [2, 0, 1]), all.reduce((sum, { y, w }) => sum + (y.slice(1, 4).join() === "2,0,1" ? w / Z : 0), 0), { atol: 3e-6 });
    expectClose(d.massOf(evenOnes(C)), [all.reduce((sum, { y, w }) => sum + (y.filter((x) => x === 1).length % 2 === 0 ? w / Z : 0), 0)], { atol: 5e-6 });
    const filter = new ChainFilter(d.model), viterbi = new CommittedViterbi(d.model), labels = p.e.flatMap((row) => { filter.push(row); return [...viterbi.push(row)]; });
    expectClose(filter.finalLogPartition, Math.log(Z), { atol: 5e-6 });
    expect([...labels, ...viterbi.finish().labels]).toEqual([...d.argmax().labels.data]);
  });

  it("needs states for the histories that are listed alone", () => {
    // 20 labels: 400 pairs would be the states of every second-order chain.
    const C = 20, second = ngramScores(C, [{ labels: [1, 2, 3], score: 1 }, { labels: [1, 2, 4], score: 1 }, { labels: [7, 7, 7], score: -1 }]);
    // Before a label: nothing, 1, 1 2, 7, 7 7.
    expect(second.states).toBe(5);
    expect(LinearChain.compile({ data: new Float32Array(C * C), shape: [C, C] }, { ngrams: second }).states.labelOf.length).toBe(C + 2);
    expect(ngramScores(3, []).states).toBe(1);
  });

  it("is the second-order chain in float64 over 10,000 rows", () => {
    const C = 3, T = 10_000, e = matrix(T, C, 2), ngrams = sequences(3, C).map((labels) => ({ labels, score: Math.fround(random.normal()) }));
    const d = made({ e, A: matrix(C, C, 0), start: new Array<number>(C).fill(0), end: new Array<number>(C).fill(0), ngrams });
    const lse = (x: readonly number[]): number => { const top = Math.max(...x); return top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };
    // alpha[i, j]: the last two labels.
    let alpha = sequences(2, C).map(([i, j]) => e[0][i] + e[1][j]);
    for (let t = 2; t < T; t++) alpha = sequences(2, C).map(([j, k]) => e[t][k] + lse([0, 1, 2].map((i) => alpha[i * C + j] + ngrams[(i * C + j) * C + k].score)));
    // Scaled float32: about 1e-8 a row.
    expectClose(d.logPartition()[0], lse(alpha), { rtol: 1e-7 });
  });

  it("has messages that say what to do", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const A = [[0, 0], [0, 0]], table = ngramScores(2, [{ labels: [0, 1], score: 1 }]), other = ngramScores(2, [{ labels: [0, 1], score: 1 }]);
    const chain = (ngrams: typeof table): LinearChain => new LinearChain(LinearChain.compile(A, { ngrams }), [[0, 0]]);
    expect([
      refused(() => ngramScores(0, [])), refused(() => ngramScores(2, [{ labels: [], score: 0 }])), refused(() => ngramScores(2, [{ labels: [2], score: 0 }])), refused(() => ngramScores(2, [{ labels: [1], score: NaN }])),
      refused(() => ngramScores(2, [{ labels: [1, 0], score: 0 }, { labels: [1, 0], score: 1 }])), refused(() => LinearChain.compile(A, { ngrams: ngramScores(3, []) })), refused(() => chain(table).crossEntropy(chain(other))),
    ]).toMatchInlineSnapshot(`
      [
        "ngramScores: expected \`labels\` an integer in [1, 8388607], got 0",
        "ngramScores: expected \`ngrams[0].labels\` of at least one label, got none",
        "ngramScores: expected \`ngrams[0].labels[0]\` an integer in [0, 1], got 2",
        "ngramScores: expected \`ngrams[0].score\` finite or -Infinity, got NaN",
        "ngramScores: expected \`ngrams[1].labels\` that come once, got 1 0 again",
        "LinearChain.compile: expected \`ngrams\` over 2 labels, got some over 3",
        "LinearChain.crossEntropy: expected \`other\` without n-grams or with the same ones, got one with other n-grams",
      ]
    `);
  });
});
