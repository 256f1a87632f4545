import { expectClose } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { compileChain, type CompiledChain } from "./chain.ts";
import { everyPath } from "./chain.ref.ts";
import { chainForwardBackward } from "./chainForwardBackward.ts";
import { chainViterbi } from "./chainViterbi.ts";

const random = randomSource(7, 1);
const uniform = (low: number, high: number): number => Math.fround(low + (high - low) * random.uniform());
const matrix = (rows: number, cols: number, scale: number, impossible = 0): number[][] =>
  Array.from({ length: rows }, () => Array.from({ length: cols }, () => (random.uniform() < impossible ? -Infinity : uniform(-scale, scale))));

interface Case { readonly C: number; readonly T: number; readonly e: number[][]; readonly A: number[][]; readonly varying?: number[][][]; readonly start: number[]; readonly end: number[] }

/** Enumerated: log Z, marginals, pairs row by row, the best path. */
function enumerated({ C, T, e, A, varying, start, end }: Case) {
  let top = -Infinity, best: readonly number[] = [];
  const all: [readonly number[], number][] = [];
  everyPath(e, (t) => varying?.[t] ?? A, start, end, (path, score) => {
    all.push([path, score]);
    if (score > top) [top, best] = [score, path];
  });
  const Z = all.reduce((sum, [, score]) => sum + Math.exp(score - top), 0);
  const filtered = Float64Array.from({ length: T * C }, () => 0);
  for (let t = 0; t < T; t++) {
    const prefix: [number, number][] = [];
    everyPath(e.slice(0, t + 1), (s) => varying?.[s] ?? A, start, end.map(() => 0), (path, score) => prefix.push([path.at(-1)!, score]));
    const high = Math.max(...prefix.map(([, score]) => score)), sum = prefix.reduce((total, [, score]) => total + Math.exp(score - high), 0);
    for (const [j, score] of prefix) filtered[t * C + j] += Math.exp(score - high) / sum;
  }
  const unary = new Float64Array(T * C), pairs = new Float64Array(T * C * C);
  for (const [path, score] of all) {
    const p = Math.exp(score - top) / Z;
    path.forEach((j, t) => {
      unary[t * C + j] += p;
      if (t > 0) pairs[(t * C + path[t - 1]) * C + j] += p;
    });
  }
  return { logPartition: top === -Infinity ? -Infinity : Math.log(Z) + top, unary, filtered, pairs, best, top };
}

function check(given: Case, chain: CompiledChain, label: string): void {
  const want = enumerated(given);
  const { C, T, varying } = given;
  const transitions = varying && tensor(varying);
  for (const extended of [false, true]) {
    const got = chainForwardBackward(chain, tensor(given.e), { marginals: true, filtered: true, pairs: "rows", extended, ...(transitions && { transitions }) });
    if (want.logPartition === -Infinity) {
      expect(got.logPartition[0], label).toBe(-Infinity);
      expect([...got.marginals!].every(Number.isNaN), label).toBe(true);
      continue;
    }
    // float32 weights: a few ulp a row.
    expectClose(got.logPartition, Float64Array.of(want.logPartition), { rtol: 2e-6, atol: 2e-6, label });
    expectClose(got.marginals!, want.unary, { atol: 2e-6, label });
    expectClose(got.filtered!, want.filtered, { atol: 2e-6, label });
    expectClose(got.pairs!, want.pairs, { atol: 2e-6, label });
    if (varying) continue;
    const counts = new Float64Array(chain.arcs.sources.length);
    for (let j = 0; j < C; j++) for (let k = chain.arcs.starts[j]; k < chain.arcs.starts[j + 1]; k++) for (let t = 1; t < T; t++) counts[k] += want.pairs[(t * C + chain.arcs.sources[k]) * C + j];
    expectClose(chainForwardBackward(chain, tensor(given.e), { pairs: "counts", extended }).pairs!, counts, { atol: 5e-6, label });
  }
  const path = chainViterbi(chain, tensor(given.e), transitions && { transitions });
  if (want.logPartition === -Infinity) expect(path.scores[0], label).toBe(-Infinity);
  else {
    expectClose(path.scores, Float64Array.of(want.top), { atol: 1e-9, rtol: 1e-12, label });
    let score = given.start[path.states[0]] + given.end[path.states[T - 1]];
    path.states.forEach((j, t) => (score += given.e[t][j] + (t > 0 ? (varying?.[t] ?? given.A)[path.states[t - 1]][j] : 0)));
    expectClose(score, want.top, { atol: 1e-9, label });
  }
}

function drawn(C: number, T: number, scale: number, impossible: number): Case {
  return { C, T, e: matrix(T, C, scale, impossible), A: matrix(C, C, scale, impossible), start: matrix(1, C, scale, impossible)[0], end: matrix(1, C, scale, impossible)[0] };
}

describe("chains against enumeration", () => {
  it("agrees for small chains of every size, some scores impossible", () => {
    for (let n = 0; n < 120; n++) {
      const given = drawn(1 + (n % 6), 1 + random.integer(4), [1, 5, 30][n % 3], [0, 0.2][n % 2]);
      const chain = compileChain(tensor(given.A), { start: tensor(given.start), end: tensor(given.end) });
      check(given, chain, `C ${given.C}, T ${given.T}, case ${n}`);
      chain.dispose();
    }
  });

  it("agrees where transitions differ from row to row", () => {
    for (let n = 0; n < 40; n++) {
      const base = drawn(1 + (n % 5), 1 + random.integer(4), 3, 0);
      const given = { ...base, varying: Array.from({ length: base.T }, () => matrix(base.C, base.C, 3, n % 2 ? 0.2 : 0)) };
      const chain = compileChain(tensor(Array.from({ length: base.C }, () => new Array<number>(base.C).fill(0))), { structure: "dense", start: tensor(base.start), end: tensor(base.end) });
      check(given, chain, `varying ${n}`);
      chain.dispose();
    }
  });

  it("agrees with the arcs alone, sparse", () => {
    const C = 26;
    const from: number[] = [], to: number[] = [], scores: number[] = [];
    for (let i = 0; i < C; i++) for (const j of [i, (i + 1) % C]) { from.push(i); to.push(j); scores.push(uniform(-2, 2)); }
    const A = Array.from({ length: C }, () => new Array<number>(C).fill(-Infinity));
    from.forEach((i, k) => (A[i][to[k]] = scores[k]));
    const chain = compileChain({ states: C, from, to, scores });
    expect(chain.structure).toBe("sparse");
    check({ C, T: 3, e: matrix(3, C, 2), A, start: new Array<number>(C).fill(0), end: new Array<number>(C).fill(0) }, chain, "sparse");
    chain.dispose();
  });

  it("finds blocks in tied tags, whatever the order of the labels, and in Potts scores", () => {
    for (const [scheme, types, shuffled] of [["BIO", 3, true], ["BIOES", 4, true], ["BIOES", 5, true], ["BIOES", 4, false], ["BIOES", 5, false], ["potts", 6, true]] as const) {
      const { A, C } = tied(scheme, types, shuffled);
      const chain = compileChain(tensor(A));
      expect(chain.structure, scheme).toBe("blocks");
      check({ C, T: scheme === "potts" ? 4 : 3, e: matrix(scheme === "potts" ? 4 : 3, C, 3), A, start: new Array<number>(C).fill(0), end: new Array<number>(C).fill(0) }, chain, `${scheme} ${types}`);
      chain.dispose();
    }
  });

  it("takes the same of equal paths through tags as through every pair, in any order of the labels, over many pieces", () => {
    for (const [scheme, types, shuffled, rows] of [["BIOES", 8, false, 300], ["BIOES", 5, true, 300], ["BIOES", 18, false, 300], ["BIO", 4, false, 300], ["BIO", 17, false, 100], ["BIO", 9, true, 100], ["BIOES", 8, false, 9000], ["BIOES", 3, true, 30_000]] as const) {
      const { A, C } = tied(scheme, types, shuffled);
      const start = matrix(1, C, 2)[0].map(Math.round), end = matrix(1, C, 2)[0].map(Math.round);
      const given = { start: tensor(start), end: tensor(end) };
      // Scores of which every sum is exact: many paths are equal.
      const tags = compileChain(tensor(A), given), dense = compileChain(tensor(A), { structure: "dense", ...given });
      if (!shuffled) expect(tags.record > 0, `${scheme} ${types}`).toBe(true);
      for (const scale of [0.6, 2, 300, 2e6]) {
        const e = tensor(matrix(rows, C, scale).map((row) => row.map((v) => (random.uniform() < 0.05 ? -Infinity : Math.round(v)))));
        const offsets = [0, 1, 3, 3, 20, rows];
        const got = chainViterbi(tags, e, { offsets }), want = chainViterbi(dense, e, { offsets });
        // Of huge scores float32 loses the transitions: both are right to within its rounding.
        if (scale < 1e6) expect([...got.states], `${scheme} ${types} ${scale}`).toEqual([...want.states]);
        expectClose(got.scores, want.scores, { rtol: 1e-6 });
      }
      tags.dispose();
      dense.dispose();
    }
  });

  it("answers -1 in tags where no path is possible, names the row of NaN, and takes away what a row has in common", () => {
    const { A, C } = tied("BIOES", 4, false);
    const chain = compileChain(tensor(A));
    const e = matrix(4000, C, 3);
    const blocked = e.map((row, t) => (t === 2500 ? row.map(() => -Infinity) : row));
    expect(chainViterbi(chain, tensor(blocked)).scores[0]).toBe(-Infinity);
    expect(new Set(chainViterbi(chain, tensor(blocked)).states)).toEqual(new Set([-1]));
    for (const [row, bad] of [[0, NaN], [7, Infinity], [2500, NaN], [3999, Infinity]]) {
      for (const label of [0, 3, C - 1]) expect(() => chainViterbi(chain, tensor(e.map((x, t) => (t === row ? x.map((v, j) => (j === label ? bad : v)) : x))))).toThrow(`NaN or +Infinity in row ${row}`);
    }
    const path = [...chainViterbi(chain, tensor(e)).states];
    for (const common of [4096, 65536, -65536]) {
      // Every score is exact after the sum too.
      const coarse = e.map((row) => row.map((v) => Math.round(v * 16) / 16)), shifted = coarse.map((row, t) => (t % 3 ? row : row.map((v) => v + common)));
      expect([...chainViterbi(chain, tensor(shifted)).states]).toEqual([...chainViterbi(chain, tensor(coarse)).states]);
    }
    expect(path.length).toBe(4000);
    chain.dispose();
  });

  it("agrees whichever structure is asked for", () => {
    for (const structure of ["dense", "sparse"] as const) {
      const given = drawn(5, 3, 4, 0.2);
      const chain = compileChain(tensor(given.A), { structure, start: tensor(given.start), end: tensor(given.end) });
      check(given, chain, structure);
      chain.dispose();
    }
  });
});

describe("long chains", () => {
  // The reference: the same recursion in float64 log space.
  const reference = (e: Float32Array, A: Float32Array, C: number): number => {
    const T = e.length / C;
    let alpha = Float64Array.from(e.subarray(0, C));
    for (let t = 1; t < T; t++) {
      const next = new Float64Array(C);
      for (let j = 0; j < C; j++) {
        let top = -Infinity, sum = 0;
        for (let i = 0; i < C; i++) top = Math.max(top, alpha[i] + A[i * C + j]);
        for (let i = 0; i < C; i++) sum += Math.exp(alpha[i] + A[i * C + j] - top);
        next[j] = e[t * C + j] + (top === -Infinity ? -Infinity : top + Math.log(sum));
      }
      alpha = next;
    }
    const top = alpha.reduce((a, b) => Math.max(a, b));
    return top + Math.log(alpha.reduce((sum, a) => sum + Math.exp(a - top), 0));
  };

  it("stays near float64 over 131,072 rows in many blocks, marginals sum to 1, pairs to T - 1", () => {
    const C = 9, T = 131_072;
    const e = Float32Array.from({ length: T * C }, () => uniform(-4, 4)), A = Float32Array.from({ length: C * C }, () => uniform(-2, 2));
    const chain = compileChain({ data: A, shape: [C, C] });
    const got = chainForwardBackward(chain, { data: e, shape: [T, C] }, { marginals: true, pairs: "counts" });
    // Each row's scale is divided out exactly as it was rounded, and products and sums are rounded either way. What adds up is the rounding of the weights of the
    // transitions, the same in every row: a mean of 2^-26 over 81 weights would be far. Seen: 6e-5 to 1.3e-3.
    const want = reference(e, A, C);
    expectClose(got.logPartition[0], want, { atol: T * 2 ** -26 });
    let worst = 0;
    for (let t = 0; t < T; t++) worst = Math.max(worst, Math.abs(1 - got.marginals!.subarray(t * C, t * C + C).reduce((a, b) => a + b)));
    expect(worst).toBeLessThan(1e-6);
    // float32 sums over the rows of a block.
    expectClose((got.pairs as Float64Array).reduce((a, b) => a + b), T - 1, { rtol: 5e-6 });
    const exact = chainForwardBackward(chain, { data: e, shape: [T, C] }, { marginals: true, extended: true });
    expectClose(exact.logPartition[0], want, { rtol: 1e-9 });
    expectClose(got.marginals!, exact.marginals!, { atol: 5e-6 });
    chain.dispose();
  });

  it("agrees with the extended range on tags over many blocks, with and without counts, wherever the scores lie", () => {
    for (const [scheme, types, scale, impossible] of [["BIOES", 8, 3, 0], ["BIOES", 4, 12, 0.1], ["BIO", 8, 3, 0.1], ["BIO", 5, 40, 0.3]] as const) {
      const { A, C } = tied(scheme, types, false), T = 5000;
      const chain = compileChain(tensor(A), { start: tensor(A[0].map(() => uniform(-1, 1))), end: tensor(A[0].map(() => uniform(-1, 1))) });
      expect(chain.tags, scheme).toBeDefined();
      // "O" stays possible, so that every sequence has a sum.
      const e = { data: Float32Array.from({ length: T * C }, (_, k) => (k % C > 0 && random.uniform() < impossible ? -Infinity : uniform(-scale, scale))), shape: [T, C] };
      const exact = chainForwardBackward(chain, e, { marginals: true, pairs: "counts", extended: true });
      for (const pairs of [undefined, "counts"] as const) {
        const got = chainForwardBackward(chain, e, { marginals: true, ...(pairs && { pairs }) });
        expectClose(got.logPartition, exact.logPartition, { rtol: 1e-8 });
        expectClose(got.marginals!, exact.marginals!, { atol: 5e-6, label: `${scheme} ${scale}` });
        // float32 sums over the rows of a block.
        if (pairs) expectClose(got.pairs!, exact.pairs!, { rtol: 1e-5, atol: 1e-3 });
      }
      if (scale < 10) expect(chainForwardBackward(chain, e, { marginals: true }).extended).toBe(0);
      chain.dispose();
    }
  });

  it("takes the extended range where one path survives far below the others, and says so", () => {
    // Left to right: state 0, then 1, then 2, the local winner is always another state.
    const C = 3, T = 12;
    const A = [[0, 0, -Infinity], [-Infinity, 0, 0], [-Infinity, -Infinity, 0]];
    const e = Array.from({ length: T }, (_, t) => [t < 6 ? -200 : 0, -150, t < 6 ? 0 : -200]);
    const chain = compileChain(tensor(A), { start: tensor([0, -Infinity, -Infinity]), end: tensor([-Infinity, -Infinity, 0]) });
    const got = chainForwardBackward(chain, tensor(e), { marginals: true });
    expect(got.extended).toBe(1);
    check({ C, T: 8, e: e.slice(2, 10), A, start: [0, -Infinity, -Infinity], end: [-Infinity, -Infinity, 0] }, chain, "left to right");
    chain.dispose();
  });

  it("notices a path that is flushed early and wins late, which no sum of 0 betrays", () => {
    // I-X can only follow B-X: B-X is 130 below O at first, then I-X is 300 above.
    const A = [[0, 0, -Infinity], [0, 0, 0], [0, 0, 0]];
    const e = [[0, -130, -130], [0, 0, 300]];
    const chain = compileChain(tensor(A), { start: tensor([0, 0, -Infinity]) });
    const got = chainForwardBackward(chain, tensor(e), { marginals: true });
    expect(got.extended).toBe(1);
    expectClose(got.logPartition[0], 170 + Math.log1p(Math.exp(-170)), { rtol: 1e-9 });
    expectClose(got.marginals!, [0, 1, 0, 0, 0, 1], { atol: 1e-7 });
    chain.dispose();
  });

  it("keeps the best path over 131,072 rows: the score of the path is that of float64", () => {
    const C = 5, T = 131_072;
    const e = Float32Array.from({ length: T * C }, () => uniform(-6, 6)), A = Float32Array.from({ length: C * C }, () => uniform(-2, 2));
    const chain = compileChain({ data: A, shape: [C, C] });
    const got = chainViterbi(chain, { data: e, shape: [T, C] });
    let delta = Float64Array.from(e.subarray(0, C));
    for (let t = 1; t < T; t++) {
      const next = new Float64Array(C);
      for (let j = 0; j < C; j++) {
        let top = -Infinity;
        for (let i = 0; i < C; i++) top = Math.max(top, delta[i] + A[i * C + j]);
        next[j] = top + e[t * C + j];
      }
      delta = next;
    }
    // Ties within a float32 rounding of a row may fall either way.
    expectClose(got.scores[0], Math.max(...delta), { atol: 1e-3 });
    chain.dispose();
  });
});

describe("batches and special values", () => {
  const A = [[0.5, -1, 0], [0, 1, -0.5], [-1, 0.25, 0.5]];

  it("finds the way through rows whose labels share a large score", () => {
    const chain = compileChain(tensor([[0, 1], [0, 0]]));
    for (const common of [-1e9, 1e9, -3.4e38]) {
      const e = Array.from({ length: 10 }, (_, t) => (t < 2 ? [0.5, 0] : [common, common]));
      expect([...chainViterbi(chain, tensor(e)).states].slice(2)).toEqual([...chainViterbi(chain, tensor(e.map((row, t) => (t < 2 ? row : [0, 0])))).states].slice(2));
    }
    chain.dispose();
  });

  it("treats sequences in one tensor as if alone, the empty one as 0", () => {
    const chain = compileChain(tensor(A), { start: tensor([0, 1, 0]), end: tensor([1, 0, 0]) });
    const e = matrix(7, 3, 2);
    const got = chainForwardBackward(chain, tensor(e), { offsets: [0, 3, 3, 7], marginals: true });
    const first = chainForwardBackward(chain, tensor(e.slice(0, 3)), { marginals: true }), last = chainForwardBackward(chain, tensor(e.slice(3)), { marginals: true });
    expect([...got.logPartition]).toEqual([first.logPartition[0], 0, last.logPartition[0]]);
    expect([...got.marginals!]).toEqual([...first.marginals!, ...last.marginals!]);
    const paths = chainViterbi(chain, tensor(e), { offsets: [0, 3, 3, 7] });
    expect([...paths.states]).toEqual([...chainViterbi(chain, tensor(e.slice(0, 3))).states, ...chainViterbi(chain, tensor(e.slice(3))).states]);
    expect(paths.scores[1]).toBe(0);
    chain.dispose();
  });

  it("breaks ties by the smallest state, read from the end, in every structure", () => {
    const zeros = (C: number): number[][] => Array.from({ length: C }, () => new Array<number>(C).fill(0));
    for (const structure of [undefined, "dense", "sparse"] as const) {
      const chain = compileChain(tensor(zeros(7)), structure && { structure });
      expect([...chainViterbi(chain, tensor(matrix(4, 7, 0))).states]).toEqual([0, 0, 0, 0]);
      chain.dispose();
    }
  });

  it("answers NaN for a sequence with NaN or +Infinity, and leaves the others alone", () => {
    const chain = compileChain(tensor(A));
    const e = matrix(4, 3, 2);
    for (const bad of [NaN, Infinity]) {
      const broken = e.map((row, t) => (t === 1 ? [row[0], bad, row[2]] : row));
      const got = chainForwardBackward(chain, tensor(broken), { offsets: [0, 2, 4], marginals: true });
      expect(got.logPartition[0]).toBeNaN();
      expect(Number.isFinite(got.logPartition[1])).toBe(true);
      expect([...got.marginals!].map(Number.isNaN)).toEqual([...new Array<boolean>(6).fill(true), ...new Array<boolean>(6).fill(false)]);
    }
    chain.dispose();
  });

  it("has messages that say what to do", () => {
    const chain = compileChain(tensor(A));
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    expect([
      refused(() => compileChain(tensor([[0, NaN], [0, 0]]))),
      refused(() => compileChain(tensor([[0, 1]]))),
      refused(() => compileChain(tensor(A), { start: [0, 1] })),
      refused(() => compileChain({ states: 2, from: [0, 0], to: [1, 1], scores: [0, 0] })),
      refused(() => chainForwardBackward(chain, tensor([[0, 1]]))),
      refused(() => chainForwardBackward(chain, tensor(matrix(3, 3, 1)), { offsets: [0, 2] })),
      refused(() => chainForwardBackward(chain, tensor(matrix(3, 3, 1)), { offsets: [0, 2, 1, 3] })),
      refused(() => chainForwardBackward(chain, tensor(matrix(2, 3, 1)), { pairs: "counts", transitions: tensor([A, A]) })),
      refused(() => chainViterbi(chain, tensor([[0, 1, 2], [0, NaN, 1]]))),
      (chain.dispose(), refused(() => chainViterbi(chain, tensor([[0, 1, 2]])))),
    ]).toMatchInlineSnapshot(`
      [
        "compileChain: expected \`transitions\` finite or -Infinity, got NaN at index [0, 1]",
        "compileChain: expected \`transitions\` of shape [C, C], got [1, 2]",
        "compileChain: expected \`start\` of shape [3], got [2]",
        "compileChain: expected \`transitions\` each arc once, got the arc from 0 to 1 twice",
        "chainForwardBackward: expected \`emissions\` of shape [N, 3], got [1, 2]",
        "chainForwardBackward: expected \`offsets\` from 0 to 3, got 0 to 2",
        "chainForwardBackward: expected \`offsets\` not decreasing, got 1 after 2 at index 2",
        "chainForwardBackward: expected \`pairs\` "rows" with transitions that differ from row to row, got "counts"",
        "chainViterbi: expected \`emissions\` finite or -Infinity, got NaN or +Infinity in row 1",
        "CompiledChain: expected a live chain, got one after dispose()",
      ]
    `);
  });
});

/** Tied scores of a tag scheme; the roles of a type side by side, or labels shuffled. */
function tied(scheme: "BIO" | "BIOES" | "potts", types: number, shuffled: boolean): { A: number[][]; C: number } {
  if (scheme === "potts") return { C: types, A: Array.from({ length: types }, (_, i) => Array.from({ length: types }, (_, j) => (i === j ? 1.5 : -0.25))) };
  const roles = scheme === "BIO" ? ["B", "I"] : ["B", "I", "E", "S"];
  const names = ["O", ...Array.from({ length: types }, (_, k) => roles.map((role) => `${role}${k}`)).flat()];
  const labels = shuffled ? Array.from(random.permutation(names.length), (k) => names[k]) : names;
  const open = scheme === "BIO" ? "OBI" : "OES";
  const score = (a: string, b: string): number => {
    if (open.includes(a[0]) && "OBS".includes(b[0])) return a[0] === "O" ? (b[0] === "O" ? 0.5 : -1) : b[0] === "O" ? 0.25 : -0.5;
    if ("BI".includes(a[0]) && "IE".includes(b[0]) && a.slice(1) === b.slice(1)) return b[0] === "I" ? 0.75 : 0.125;
    return -Infinity;
  };
  return { C: labels.length, A: labels.map((a) => labels.map((b) => score(a, b))) };
}
