import { distributionChecks, expectClose, testRandom, type DistributionCase } from "@logits/testkit";
import { lbfgs } from "@logits/optimize";
import { tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import type { Automaton } from "../automaton.ts";
import { LinearChain } from "../linearChain.ts";
import { complement, intersect, union } from "./algebra.ts";
import { cardinality, lengthBetween } from "./counts.ts";
import { holds, sequences } from "./enumerate.ref.ts";
import { lexicon } from "./lexicon.ts";
import { accepts } from "./membership.ts";
import { regularLanguage } from "./regularLanguage.ts";
import { spanCount, spanLength, tagScheme } from "./tagScheme.ts";

const random = testRandom(17);
const list = (n: number, scale: number): number[] => Array.from({ length: n }, () => Math.fround(scale * random.normal()));
const matrix = (rows: number, cols: number, scale: number): number[][] => Array.from({ length: rows }, () => list(cols, scale));
interface Parameters { readonly e: number[][]; readonly A: number[][]; readonly start: number[]; readonly end: number[] }
const drawn = (C: number, T: number, scale: number, impossible = 0): Parameters => {
  const some = (x: number[]): number[] => x.map((v) => (impossible > 0 && random.uniform() < impossible ? -Infinity : v));
  return { e: matrix(T, C, scale).map(some), A: matrix(C, C, scale).map(some), start: some(list(C, scale)), end: some(list(C, scale)) };
};
const scoreOf = ({ e, A, start, end }: Parameters, y: readonly number[]): number => y.reduce((sum, label, t) => sum + e[t][label] + (t > 0 ? A[y[t - 1]][label] : start[label]), 0) + end[y.at(-1)!];
const chain = ({ e, A, start, end }: Parameters, constraint?: Automaton): LinearChain => new LinearChain(LinearChain.compile(tensor(A), { start: tensor(start), end: tensor(end), ...(constraint && { constraint }) }), tensor(e));
const logSum = (x: readonly number[]): number => { const top = Math.max(...x); return top === -Infinity ? top : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0)); };

const BIO = ["O", "B", "I"], IOBES = ["O", "B-X", "I-X", "E-X", "S-X"], ABC = ["A", "B", "C"];
const LANGUAGES: readonly (readonly [string, number, Automaton])[] = [
  ["BIO", 3, tagScheme(BIO, "BIO")],
  ["IOB1", 3, tagScheme(["I", "O", "B"], "IOB1")],
  ["IOBES", 5, tagScheme(IOBES, "BIOES")],
  ["one span, of two labels at most", 3, intersect(spanCount(BIO, "BIO", { atLeast: 1, atMost: 1 }), spanLength(BIO, "BIO", { atMost: 2 }))],
  ["as many As as the bounds say", 3, cardinality(ABC, { of: ["A"], atLeast: 1, atMost: 2 })],
  ["an expression that reads words in many ways", 3, regularLanguage("(A | A A | A B)* (A | B)* | .* A .* | (A* B*)* C", ABC)],
  ["what an expression forbids", 3, complement(regularLanguage(".* A B .* | C .*", ABC))],
  ["a lexicon", 3, lexicon([["A"], ["B", "A"], ["A", "B", "C"], ["A", "C", "C"], ["C", "C", "A", "B"], ["C", "C", "A", "B"]], ABC)],
  ["a length that only some rows have", 3, lengthBetween(ABC, { atLeast: 2, atMost: 3 })],
];

function caseOf(name: string, constraint: Automaton, p: Parameters, q: Parameters): DistributionCase<TensorLike, LinearChain> {
  const C = p.start.length, T = p.e.length;
  return {
    name, make: () => chain(p, constraint), other: () => chain(q),
    structures: sequences(T, C).map((labels) => ({ labels, score: holds(constraint, labels) ? scoreOf(p, labels) : -Infinity, other: scoreOf(q, labels) })),
    structure: (labels) => ({ data: Int32Array.from(labels), shape: [T], dtype: "int32" }),
    marginals: (d) => {
      const { unary, pairwise } = d.marginals({ pairwise: true });
      return [...unary.data, ...pairwise!.data];
    },
    parts: (y) => y.flatMap((label, t) => [t * C + label, ...(t > 0 ? [T * C + (t * C + y[t - 1]) * C + label] : [])]),
    logCount: (d) => d.logCount()[0],
  };
}

const cases = LANGUAGES.flatMap(([name, C, language]) => [[1, 0], [3, 0], [4, 0], [3, 0.2]].map(([T, impossible]) => caseOf(`${name}, T ${T}, ${impossible} impossible`, language, drawn(C, T, 1.5, impossible), drawn(C, T, 1.5))));

describe("a chain on a language [paper:tracking-discrete-and-continuous-entity-state-for-process-understanding]", () => {
  it.each(distributionChecks(cases))("[paper:constraining-linear-chain-crfs-to-regular-languages] $name", ({ run }) => run());

  it("[paper:constraining-linear-chain-crfs-to-regular-languages] is the plain chain where every sequence is allowed", () => {
    const p = drawn(3, 20, 1), free = chain(p), all = chain(p, lengthBetween(ABC));
    expectClose(all.logPartition(), free.logPartition(), { rtol: 1e-6 });
    expectClose(all.marginals().unary, free.marginals().unary, { atol: 1e-6 });
    expect([...all.argmax().labels.data]).toEqual([...free.argmax().labels.data]);
  });

  it("[paper:constraining-linear-chain-crfs-to-regular-languages] never has a larger loss than the plain chain for a sequence of the language", () => {
    for (const [, C, language] of LANGUAGES) {
      const T = 4, p = drawn(C, T, 2), free = chain(p), within = chain(p, language);
      for (const y of sequences(T, C)) {
        const labels = { data: Int32Array.from(y), shape: [T], dtype: "int32" as const };
        if (!holds(language, y)) continue;
        expect(-within.logProb(labels)[0]).toBeLessThanOrEqual(-free.logProb(labels)[0] + 3e-6);
      }
    }
  });

  it("[paper:constraining-linear-chain-crfs-to-regular-languages] trained with its constraint finds p(y) that constrained decoding of a plain chain does not", () => {
    // Labels alternate a c or b c; the first letter decides the rest: no Markov chain knows that after c. Data: a c a c three times, b c b c once.
    const language = regularLanguage("(a c)* | (b c)*", ["a", "b", "c"]), data = [[0, 2, 0, 2], [1, 2, 1, 2]], weights = [0.75, 0.25], T = 4, C = 3;
    const trained = (constraint?: Automaton): Float64Array => lbfgs((x, gradient) => {
      const p = { e: matrix(T, C, 0), A: [0, 3, 6].map((k) => [...x.subarray(k, k + 3)]), start: [...x.subarray(9, 12)], end: [0, 0, 0] };
      const d = chain(p, constraint);
      let loss = 0;
      gradient.fill(0);
      for (const [k, y] of data.entries()) {
        const { value, grads } = d.logProbWithGrad(Int32Array.from(y), { upstream: [weights[k]] });
        loss -= weights[k] * value[0];
        grads.transitions.data.forEach((g, i) => (gradient[i] -= g));
        grads.start.data.forEach((g, i) => (gradient[9 + i] -= g));
      }
      // A little weight decay, so that the optimum is finite.
      x.forEach((v, i) => { loss += 5e-5 * v * v; gradient[i] += 1e-4 * v; });
      return loss;
    }, new Float64Array(12), { gradientTolerance: 1e-4, noise: 1e-7, maxIterations: 300 }).x;
    const probabilities = (x: Float64Array): number[] => {
      const d = chain({ e: matrix(T, C, 0), A: [0, 3, 6].map((k) => [...x.subarray(k, k + 3)]), start: [...x.subarray(9, 12)], end: [0, 0, 0] }, language);
      return data.map((y) => Math.exp(d.logProb(Int32Array.from(y))[0]));
    };
    // Plain training learns start a: 3/4 and after c a: 3/4, which together give 9 to 1 on the language; the constrained loss gives the data's 3 to 1.
    const decoded = probabilities(trained()), constrained = probabilities(trained(language));
    expectClose(decoded, [0.9, 0.1], { atol: 0.01 });
    expectClose(constrained, [0.75, 0.25], { atol: 0.01 });
    const loss = (p: readonly number[]): number => -weights[0] * Math.log(p[0]) - weights[1] * Math.log(p[1]);
    expect(loss(decoded) - loss(constrained)).toBeGreaterThan(0.08);
  });

  it("[paper:neural-architectures-for-named-entity-recognition] with start and stop scores and an IOBES mask decodes valid tags, whatever the scores", () => {
    const types = ["PER", "LOC"], labels = ["O", ...types.flatMap((type) => ["B", "I", "E", "S"].map((prefix) => `${prefix}-${type}`))], C = labels.length, language = tagScheme(labels, "BIOES");
    for (let n = 0; n < 20; n++) {
      const T = 1 + n, p = drawn(C, T, 4), d = chain(p, language);
      expect(accepts(language, d.argmax().labels)).toBe(true);
      for (const y of d.topK(5).labels.toArray() as number[][]) expect(y[0] === -1 || holds(language, y)).toBe(true);
      if (T > 4) continue;
      const all = sequences(T, C).filter((y) => holds(language, y)).map((y) => scoreOf(p, y));
      expectClose(d.logPartition()[0], logSum(all), { atol: 1e-5 });
      expectClose(d.argmax().score[0], Math.max(...all), { rtol: 1e-12 });
    }
  });

  it("runs tags through the chain in as many states as labels", () => {
    const types = ["A", "B", "C", "D", "E", "F", "G", "H"], labels = ["O", ...types.flatMap((type) => ["B", "I", "E", "S"].map((prefix) => `${prefix}-${type}`))];
    const model = LinearChain.compile(tensor(matrix(33, 33, 0)), { constraint: tagScheme(labels, "BIOES") });
    expect(model.states.labelOf.length).toBe(33);
    expect(model.structure).toBe("blocks");
    model.dispose();
  });
});

describe("massOf", () => {
  it("is the share of the enumeration, at most 1, and adds up with the complement", () => {
    for (const [name, C, language] of LANGUAGES) {
      for (const T of [1, 2, 4]) {
        const p = drawn(C, T, 1.5), d = chain(p), all = sequences(T, C), mass = d.massOf(language)[0];
        const want = Math.exp(logSum(all.filter((y) => holds(language, y)).map((y) => scoreOf(p, y))) - logSum(all.map((y) => scoreOf(p, y))));
        expectClose(mass, want, { atol: 3e-6, label: `${name} ${T}` });
        expect(mass).toBeLessThanOrEqual(1);
        expectClose(mass + d.massOf(complement(language))[0], 1, { atol: 6e-6 });
      }
    }
  });

  it("of one sequence is its probability, of everything 1, of nothing 0", () => {
    const p = drawn(3, 6, 1), d = chain(p), y = [0, 2, 1, 1, 0, 2];
    expectClose(d.massOf(lexicon([y.map((label) => ABC[label])], ABC)), [Math.exp(d.logProb(y)[0])], { rtol: 1e-5 });
    expectClose(d.massOf(lengthBetween(ABC)), [1], { atol: 1e-6 });
    expect([...d.massOf(lexicon([], ABC)), ...d.massOf(lengthBetween(ABC, { atMost: 5 }))]).toEqual([0, 0]);
  });

  it("of a constrained chain is conditional", () => {
    const p = drawn(3, 5, 1), given = tagScheme(BIO, "BIO"), asked = spanCount(BIO, "BIO", { atLeast: 2 }), d = chain(p);
    expectClose(chain(p, given).massOf(asked)[0], d.massOf(asked)[0] / d.massOf(given)[0], { rtol: 1e-5 });
    expectClose(chain(p, given).massOf(regularLanguage(".* O .* | I .*", BIO))[0], d.massOf(intersect(given, regularLanguage(".* O .*", BIO)))[0] / d.massOf(given)[0], { rtol: 1e-5 });
  });

  it("answers each item of a batch, an empty one by whether the language has the empty sequence", () => {
    const p = drawn(3, 4, 1), model = LinearChain.compile(tensor(p.A)), language = regularLanguage("A+ B*", ABC);
    const d = new LinearChain(model, tensor([...p.e, ...p.e.slice(0, 2)]), { offsets: [0, 4, 4, 6] }), single = (rows: number): number => new LinearChain(model, tensor(p.e.slice(0, rows))).massOf(language)[0];
    expect([...d.massOf(language)]).toEqual([single(4), 0, single(2)]);
    expect(d.massOf(union(language, lexicon([[]], ABC)))[1]).toBe(1);
  });

  it("is a binomial tail where labels are independent", () => {
    // 60 rows, label 1 with probability 0.3 in each: P(at most 12).
    const n = 60, q = 0.3, e = Array.from({ length: n }, () => [Math.log(1 - q), Math.log(q)]);
    let tail = 0, term = (1 - q) ** n;
    for (let k = 0; k <= 12; k++) { tail += term; term *= ((n - k) / (k + 1)) * (q / (1 - q)); }
    const d = new LinearChain(LinearChain.compile(tensor([[0, 0], [0, 0]])), tensor(e));
    expectClose(d.massOf(cardinality(["no", "yes"], { of: ["yes"], atMost: 12 })), [tail], { rtol: 1e-5 });
  });

  it("has messages that say what to do", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const p = drawn(3, 2, 1), within = LinearChain.compile(tensor(p.A), { constraint: lexicon([["A"]], ABC) });
    expect([
      refused(() => chain(p).massOf(lexicon([], ["A", "B"]))),
      refused(() => LinearChain.varying(tensor(p.e), tensor([p.A, p.A])).massOf(lengthBetween(ABC))),
      refused(() => new LinearChain(within, tensor(p.e)).massOf(lengthBetween(ABC))),
      refused(() => LinearChain.compile(tensor(p.A), { constraint: lexicon([], ["A", "B"]) })),
    ]).toMatchInlineSnapshot(`
      [
        "LinearChain.massOf: expected \`language\` over 3 labels, got one over 2",
        "LinearChain.massOf: expected \`language\` with transitions that are the same in each row, got a chain of LinearChain.varying",
        "LinearChain.massOf: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 0",
        "LinearChain.compile: expected \`constraint\` over 3 labels, got one over 2",
      ]
    `);
  });
});

describe("traps", () => {
  it("forbidden is forbidden at any length: no finite stand-in that long inputs outvote", () => {
    // Peers add -1e4 to an illegal transition. Here every row of 1,000 pays 50 for staying legal: 50,000 in all.
    const T = 1000, language = tagScheme(BIO, "BIO"), e = Array.from({ length: T }, (_, t) => (t % 2 === 0 ? [0, 0, 50] : [50, 0, 0]));
    const d = new LinearChain(LinearChain.compile(tensor(matrix(3, 3, 0)), { constraint: language }), tensor(e));
    const best = d.argmax(), unary = d.marginals().unary;
    expect(accepts(language, best.labels)).toBe(true);
    expect(unary.at(0, 2)).toBe(0);
    expect(d.score(Int32Array.from({ length: T }, (_, t) => (t % 2 === 0 ? 2 : 0)))[0]).toBe(-Infinity);
    // Of two rows in a row only one can have its 50: after an O in an odd row the even one is no I.
    expect(best.score[0]).toBe(50 * (T / 2));
  });

  it("a path that the language requires does not vanish where the emissions abhor it", () => {
    // Left to right: 100 rows of A at -200 each (e^-200 is 0 in float32), then B.
    const T = 200, language = regularLanguage("A{100} B*", ABC), e = Array.from({ length: T }, (_, t) => (t < 100 ? [-200, 0, 3] : [0, -150, 7]));
    const d = new LinearChain(LinearChain.compile(tensor(matrix(3, 3, 0)), { constraint: language }), tensor(e));
    expectClose(d.logPartition(), [-20000 - 15000], { rtol: 1e-7 });
    expect([...d.marginals().unary.data]).toEqual(e.flatMap((_, t) => (t < 100 ? [1, 0, 0] : [0, 1, 0])));
    expectClose(d.entropy(), [0], { atol: 1e-3 });
    // log Z of the plain chain is near 3 * 100 + 7 * 100: the mass is 0 in float64, its logarithm is not.
    const free = new LinearChain(LinearChain.compile(tensor(matrix(3, 3, 0))), tensor(e));
    expect(free.massOf(language)[0]).toBe(0);
    expectClose(d.logPartition()[0] - free.logPartition()[0], -36000, { atol: 10 });
  });

  it("probabilities are those of the constrained model, in decoding too", () => {
    const p = drawn(3, 3, 1), language = tagScheme(BIO, "BIO"), d = chain(p, language);
    expectClose(sequences(3, 3).filter((y) => holds(language, y)).reduce((sum, y) => sum + Math.exp(d.logProb(y)[0]), 0), 1, { atol: 5e-6 });
    // Masking the best sequence's transitions alone leaves the plain chain's probability, which is smaller.
    const best = d.argmax().labels;
    expect(d.logProb(best)[0]).toBeGreaterThan(chain(p).logProb(best)[0]);
  });

  it("a language without a sequence of that length is named", () => {
    const d = chain(drawn(3, 3, 1), lexicon([["A", "B"]], ABC));
    expect(d.logPartition()[0]).toBe(-Infinity);
    expect(() => d.argmax()).toThrowErrorMatchingInlineSnapshot(`[RangeError: LinearChain.argmax: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 0]`);
    expect(() => chain(drawn(3, 3, 1), lexicon([], ABC)).marginals()).toThrowErrorMatchingInlineSnapshot(`[RangeError: LinearChain.marginals: expected \`emissions\` with a label sequence that has a finite score, got none in batch item 0]`);
  });

  it("65,536 rows on a language of counts agree with float64", () => {
    // Without transitions, rows are independent given the count; drift of scaled float32 over the length is what is bounded.
    const T = 65536, C = 2, e = new Float32Array(T * C);
    for (let k = 0; k < e.length; k++) e[k] = Math.fround(random.normal());
    const language = regularLanguage("(A* B A* B)* A*", ["A", "B"]);
    const d = new LinearChain(LinearChain.compile(tensor([[0, 0], [0, 0]]), { constraint: language }), { data: e, shape: [T, C] });
    // P(even number of B) = (1 + prod (1 - 2 q)) / 2, and the product vanishes: half the mass.
    const free = new LinearChain(LinearChain.compile(tensor([[0, 0], [0, 0]])), { data: e, shape: [T, C] });
    // Each row rounds its scale to float32, 6e-8; the roundings add up like a random walk.
    expectClose(d.logPartition()[0] - free.logPartition()[0], Math.log(0.5), { atol: 4e-7 * T ** 0.5 });
    let want = 0;
    for (let t = 0; t < T; t++) want += Math.log(Math.exp(e[2 * t]) + Math.exp(e[2 * t + 1]));
    expectClose(d.logPartition()[0], want + Math.log(0.5), { rtol: 1e-8 });
  });
});
