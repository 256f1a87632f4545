import { estimatorChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { randomSource, tensor } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { ChainFilter } from "../streaming/chainFilter.ts";
import { expectedCounts, type HiddenMarkovParameters, type Observed } from "./expectedCounts.ts";
import { HiddenMarkovModel } from "./hiddenMarkovModel.ts";

const random = testRandom(5);
const simplex = (n: number): number[] => { const x = Array.from({ length: n }, () => -Math.log(1 - random.uniform())), sum = x.reduce((a, v) => a + v, 0); return x.map((v) => v / sum); };
const drawn = (C: number, V: number): { initial: number[]; transitions: number[][]; emissions: number[][] } => ({ initial: simplex(C), transitions: Array.from({ length: C }, () => simplex(C)), emissions: Array.from({ length: C }, () => simplex(V)) });
const sequences = (T: number, C: number): number[][] => (T === 0 ? [[]] : sequences(T - 1, C).flatMap((y) => Array.from({ length: C }, (_, j) => [...y, j])));
const float64 = ({ initial, transitions, emissions }: ReturnType<typeof drawn>): HiddenMarkovParameters => ({ initial: Float64Array.from(initial), transitions: Float64Array.from(transitions.flat()), emissions: Float64Array.from(emissions.flat()) });

function counted(parameters: HiddenMarkovParameters, observed: Observed): { logLikelihood: number; impossible: number; counts: HiddenMarkovParameters } {
  const counts = { initial: new Float64Array(parameters.initial.length), transitions: new Float64Array(parameters.transitions.length), emissions: new Float64Array(parameters.emissions.length) };
  const steps = expectedCounts(parameters, observed, counts);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return { ...step.value, counts };
}

/** Planted: two states that are seldom confused. */
const planted = HiddenMarkovModel.of({ initial: [0.5, 0.5], transitions: [[0.9, 0.1], [0.2, 0.8]], emissions: [[0.85, 0.1, 0.05], [0.05, 0.15, 0.8]] });
const B = 40, T = 250, source = randomSource(3, 0);
const symbols = { dtype: "int32" as const, shape: [B, T], data: Int32Array.from(Array.from({ length: B }, () => [...planted.sample(source, T).observations.data]).flat()) };
const fitted = (data: { shape: readonly number[]; data: ArrayLike<number> } = symbols): HiddenMarkovModel => HiddenMarkovModel.fit({ dtype: "int32", shape: [...data.shape], data: Int32Array.from(data.data) }, { states: 2, symbols: 3, random: randomSource(1, 0) });
/** The states are numbered as they come: that which gives symbol 0 more often first. */
const order = (model: HiddenMarkovModel): [number, number] => (model.emissions.at(0, 0) > model.emissions.at(1, 0) ? [0, 1] : [1, 0]);

describe("HiddenMarkovModel", () => {
  it("has the likelihood, the posteriors and the best states of the enumeration", () => {
    for (let n = 0; n < 20; n++) {
      const C = 1 + (n % 3), V = 3, p = drawn(C, V), o = Array.from({ length: 5 }, () => random.integer(V) - (n % 4 === 3 ? 1 : 0));
      const model = HiddenMarkovModel.of(p), chain = model.given(o);
      const joint = (y: readonly number[]): number => y.reduce((product, state, t) => product * (t > 0 ? p.transitions[y[t - 1]][state] : p.initial[state]) * (o[t] < 0 ? 1 : p.emissions[state][o[t]]), 1);
      const all = sequences(5, C).map((y) => ({ y, p: joint(y) })), total = all.reduce((sum, { p: v }) => sum + v, 0);
      expectClose(chain.logPartition()[0], Math.log(total), { atol: 5e-6 });
      expectClose(chain.argmax().score[0], Math.log(Math.max(...all.map(({ p: v }) => v))), { atol: 5e-6 });
      expectClose(chain.marginals().unary.data, Array.from({ length: 5 * C }, (_, k) => all.reduce((sum, { y, p: v }) => sum + (y[Math.floor(k / C)] === k % C ? v / total : 0), 0)), { atol: 3e-6 });
      model.dispose();
    }
  });

  it("gives the published answers of two textbook models", () => {
    // Russell and Norvig, Artificial Intelligence, section 15.2: the umbrella world (filtering 0.818, 0.883; smoothing of day 1: 0.883).
    const umbrella = HiddenMarkovModel.of({ initial: [0.5, 0.5], transitions: [[0.7, 0.3], [0.3, 0.7]], emissions: [[0.9, 0.1], [0.2, 0.8]] });
    const filter = new ChainFilter(umbrella.model), rows = umbrella.emissionScores([0, 0]);
    const filtered = [0, 1].map((t) => { filter.push(rows.row(t)); return filter.probabilities().at(0); });
    expectClose(filtered, [0.818, 0.883], { atol: 5e-4 });
    expectClose(umbrella.given([0, 0]).marginals().unary.at(0, 0), 0.883, { atol: 5e-4 });
    // The doctor of the Viterbi article of Wikipedia: normal, cold, dizzy; Healthy, Healthy, Fever with probability 0.01512.
    const doctor = HiddenMarkovModel.of({ initial: [0.6, 0.4], transitions: [[0.7, 0.3], [0.4, 0.6]], emissions: [[0.5, 0.4, 0.1], [0.1, 0.3, 0.6]] });
    const best = doctor.given([0, 1, 2]).argmax();
    expect([...best.labels.data]).toEqual([0, 0, 1]);
    expectClose(Math.exp(best.score[0]), 0.01512, { rtol: 1e-6 });
  });

  it("counts as the enumeration does", () => {
    for (let n = 0; n < 12; n++) {
      const C = 2 + (n % 2), V = 3, p = drawn(C, V), parameters = float64(p), lengths = [4, 0, 3];
      const o = lengths.map((length) => Array.from({ length }, () => random.integer(V + 1) - 1)), scores = Float32Array.from({ length: 7 * C }, () => 3 * random.normal() - (n % 3 === 0 ? 0 : 1000));
      for (const given of [true, false]) {
        const want = { initial: new Float64Array(C), transitions: new Float64Array(C * C), emissions: new Float64Array(given ? 0 : C * V) };
        let logLikelihood = 0;
        o.forEach((seen, b) => {
          if (seen.length === 0) return;
          const e = (t: number, y: number): number => (given ? Math.exp(scores[((b > 0 ? 4 : 0) + t) * C + y] + (n % 3 === 0 ? 0 : 1000)) : seen[t] < 0 ? 1 : p.emissions[y][seen[t]]);
          const all = sequences(seen.length, C).map((y) => ({ y, p: y.reduce((product, state, t) => product * (t > 0 ? p.transitions[y[t - 1]][state] : p.initial[state]) * e(t, state), 1) }));
          const total = all.reduce((sum, { p: v }) => sum + v, 0);
          logLikelihood += Math.log(total) - (given && n % 3 > 0 ? 1000 * seen.length : 0);
          for (const { y, p: v } of all) {
            y.forEach((state, t) => {
              if (t === 0) want.initial[state] += v / total;
              else want.transitions[y[t - 1] * C + state] += v / total;
              if (!given && seen[t] >= 0) want.emissions[state * V + seen[t]] += v / total;
            });
          }
        });
        const got = counted(given ? { ...parameters, emissions: new Float64Array(0) } : parameters, { offsets: Int32Array.of(0, 4, 4, 7), symbols: given ? undefined : o.flat(), scores: given ? scores : undefined });
        expectClose(got.logLikelihood, logLikelihood, { rtol: 1e-12 });
        for (const name of ["initial", "transitions", "emissions"] as const) expectClose(got.counts[name], want[name], { atol: 1e-12 });
      }
    }
  });

  it("keeps the one path that matters where its weight leaves float64 [trap: left to right]", () => {
    // State 0 is better by 1000 nats a row until it becomes impossible: then state 1 must have been entered at once.
    const parameters = { initial: Float64Array.of(1, 0), transitions: Float64Array.of(0.5, 0.5, 0, 1), emissions: new Float64Array(0) };
    const scores = Float32Array.from([0, 0, 0, -1000, 0, -1000, -Infinity, 0]);
    const got = counted(parameters, { offsets: Int32Array.of(0, 4), symbols: undefined, scores });
    // Paths 0 1 1 1, 0 0 1 1, 0 0 0 1 with log weights -2000, -1000, 0, and log 0.5 for each step out of state 0.
    expectClose(got.logLikelihood, 3 * Math.log(0.5), { rtol: 1e-12 });
    expectClose(got.counts.transitions, [2, 1, 0, 0], { atol: 1e-12 });
    // Five states in a row, each entered from the one before: only a path that leaves state 0 at once, against 400 nats a row, is in state 4 from row 4 on.
    const S = 5, moves = Float64Array.from({ length: S * S }, (_, k) => (k % S === Math.floor(k / S) || k % S === Math.floor(k / S) + 1 ? 0.5 : 0));
    moves[S * S - 1] = 1;
    const late = counted({ initial: Float64Array.of(1, 0, 0, 0, 0), transitions: moves, emissions: new Float64Array(0) }, {
      offsets: Int32Array.of(0, 8), symbols: undefined, scores: Float32Array.from({ length: 8 * S }, (_, k) => (k < 4 * S ? (k % S === 0 ? 0 : -400) : k % S === S - 1 ? 0 : -600)),
    });
    expectClose(late.logLikelihood, -1200 + 4 * Math.log(0.5), { rtol: 1e-12 });
    expectClose(late.counts.transitions, Array.from({ length: S * S }, (_, k) => (k === S * S - 1 ? 3 : k % S === Math.floor(k / S) + 1 ? 1 : 0)), { atol: 1e-12 });
    expect(counted(parameters, { offsets: Int32Array.of(0, 1, 2), symbols: undefined, scores: Float32Array.from([0, 0, -Infinity, 0]) })).toMatchObject({ logLikelihood: -Infinity, impossible: 1 });
  });

  it("agrees over 10,000 rows with the kernels' chain", () => {
    const model = HiddenMarkovModel.of(drawn(5, 8)), { observations } = model.sample(randomSource(9, 0), 10_000);
    const rows = (x: Float32Array, width: number): Float64Array => Float64Array.from(x, (v, k) => v / x.subarray(Math.floor(k / width) * width, (Math.floor(k / width) + 1) * width).reduce((a, b) => a + b, 0));
    const got = counted({ initial: rows(model.initial.data, 5), transitions: rows(model.transitions.data, 5), emissions: rows(model.emissions.data, 8) }, { offsets: Int32Array.of(0, 10_000), symbols: observations.data, scores: undefined });
    // Logarithms in float32: 6e-8 of each, with random signs.
    expectClose(model.given(observations).logPartition()[0], got.logLikelihood, { rtol: 2e-7 });
    expectClose(got.counts.transitions.reduce((a, v) => a + v, 0), 9999, { rtol: 1e-12 });
  });
});

describe("HiddenMarkovModel.fit", () => {
  it("raises the likelihood in every iteration, and with smoothing its objective", () => {
    for (let n = 0; n < 8; n++) {
      const o = tensor(Array.from({ length: 6 }, () => Array.from({ length: 20 }, () => random.integer(4)))), data = { dtype: "int32" as const, shape: [6, 20], data: Int32Array.from(o.data) };
      const model = HiddenMarkovModel.fit(data, { states: 3, symbols: 4, random: randomSource(n, 0), smoothing: n % 2 === 0 ? 0 : 0.5, tolerance: 1e-5 });
      expect(model.iterations).toBeGreaterThan(3);
      // Sums of 120 float64 logarithms.
      for (let k = 1; k < model.objective.length; k++) expect(model.objective[k]).toBeGreaterThanOrEqual(model.objective[k - 1] - 1e-11);
      expect(model.gain).toBeLessThanOrEqual(1e-5);
      if (n % 2 === 0) expectClose(model.given(data).logPartition().reduce((a, v) => a + v, 0), model.objective[model.iterations], { rtol: 1e-6 });
    }
  });

  it("stops at a point from which a further fit does not move, and keeps the best of several starts", () => {
    const first = fitted(), again = HiddenMarkovModel.fit(symbols, { states: 2, symbols: 3, from: first });
    expect(again.iterations).toBe(1);
    const one = HiddenMarkovModel.fit(symbols, { states: 2, symbols: 3, random: randomSource(4, 0) }), several = HiddenMarkovModel.fit(symbols, { states: 2, symbols: 3, random: randomSource(4, 0), restarts: 3 });
    expect(several.objective[several.iterations]).toBeGreaterThanOrEqual(one.objective[one.iterations]);
  });

  it("gives the same bits with pauses, and stops on abort", async () => {
    const options = { states: 2, symbols: 3, restarts: 2 };
    const shares: number[] = [];
    const paused = await HiddenMarkovModel.fitAsync(symbols, { ...options, random: randomSource(1, 0), onProgress: (share) => shares.push(share) });
    expect(JSON.stringify(paused)).toBe(JSON.stringify(HiddenMarkovModel.fit(symbols, { ...options, random: randomSource(1, 0) })));
    expect(shares.at(-1)).toBe(1);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    await expect(HiddenMarkovModel.fitAsync(symbols, { ...options, random: randomSource(1, 0), signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
    const scores = tensor(Array.from({ length: 200 }, (_, t) => [Math.sin(t), Math.cos(t * 1.7)]));
    expect(JSON.stringify(await HiddenMarkovModel.fitTransitionsAsync(scores))).toBe(JSON.stringify(HiddenMarkovModel.fitTransitions(scores)));
    await expect(HiddenMarkovModel.fitTransitionsAsync(scores, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });

  it("keeps what is impossible at the start impossible, and the row of a state that nothing needs", () => {
    const leftToRight = HiddenMarkovModel.of({ initial: [1, 0, 0], transitions: [[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]], emissions: [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.3, 0.2, 0.5]] });
    const model = HiddenMarkovModel.fit([[0, 0, 1, 1, 1, 2], [0, 1, 1, 2, 2, 2]], { states: 3, symbols: 3, from: leftToRight, smoothing: 0.1 });
    expect([model.initial.at(1), model.transitions.at(1, 0), model.transitions.at(0, 2)]).toEqual([0, 0, 0]);
    expect([...model.given([0, 0, 1, 1, 1, 2]).argmax().labels.data]).toEqual([0, 0, 1, 1, 1, 2]);
    // State 1 cannot be reached: no row of it has counts.
    const alone = HiddenMarkovModel.of({ initial: [1, 0], transitions: [[1, 0], [0.25, 0.75]], emissions: [[0.5, 0.5], [0.125, 0.875]] });
    const kept = HiddenMarkovModel.fit([0, 0, 1, 0], { states: 2, symbols: 2, from: alone });
    expectExact(kept.transitions.data, [1, 0, 0.25, 0.75]);
    expectExact(kept.emissions.data, [0.75, 0.25, 0.125, 0.875]);
    // One state: shares of the symbols. One symbol: nothing to learn.
    expectExact(HiddenMarkovModel.fit([0, 1, 1, -1, 1], { states: 1, symbols: 2, random: randomSource(1, 0) }).emissions.data, [0.25, 0.75]);
    expectClose(HiddenMarkovModel.fit([0, 0, 0], { states: 2, symbols: 1, random: randomSource(1, 0) }).objective.at(-1)!, 0, { atol: 1e-12 });
  });

  it("takes log-likelihoods of Gaussians, a constant a row less or more", () => {
    const means = [-1, 1], x: number[] = [], states = planted.sample(randomSource(8, 0), 4000).labels.data;
    for (const y of states) x.push(means[y] + 0.6 * random.normal());
    const scores = tensor(x.map((v) => means.map((m) => -((v - m) ** 2) / (2 * 0.36))));
    const model = HiddenMarkovModel.fitTransitions(scores);
    expect(model.symbols).toBe(0);
    // Standard error of shares of about 2,700 and 1,300 rows, doubled for states that are not seen: 0.012 and 0.022; four of them.
    expectClose(model.transitions.data, [0.9, 0.1, 0.2, 0.8], { atol: 0.09 });
    const shifted = HiddenMarkovModel.fitTransitions(tensor(x.map((v) => means.map((m) => -((v - m) ** 2) / (2 * 0.36) - 700))));
    expectClose(shifted.transitions.data, model.transitions.data, { atol: 1e-4 });
    expectClose(shifted.objective.at(-1)! + 700 * 4000, model.objective.at(-1)!, { rtol: 1e-4 });
    const wrong = model.given(scores).argmax().labels.data.reduce((n, y, t) => n + (y === states[t] ? 0 : 1), 0);
    expect(wrong / 4000).toBeLessThan(0.05);
  });

  it("counts where states are known, with shares that are exact", () => {
    const model = HiddenMarkovModel.fitSupervised([[0, 1, 1], [2, 0, 7]], [[0, 0, 1], [1, 0, 9]], { states: 2, symbols: 3, lengths: [3, 2], smoothing: 1 });
    expectExact(model.initial.data, [0.5, 0.5]);
    expectExact(model.transitions.data, [0.5, 0.5, Math.fround(2 / 3), Math.fround(1 / 3)]);
    expectExact(model.emissions.data, [3, 2, 1, 1, 2, 2].map((v, k) => Math.fround(v / (k < 3 ? 6 : 5))));
    expect(model.iterations).toBe(0);
    const observations = [0, 1, 1, 2, 0, 1], labels = [0, 0, 1, 1, 0, 1], exact = HiddenMarkovModel.fitSupervised(observations, labels, { states: 2, symbols: 3 });
    // Without smoothing the objective is the log-probability of observations and states together.
    expectClose(exact.objective[0], exact.given(observations).score(labels)[0], { atol: 1e-6 });
  });
});

describe("HiddenMarkovModel as a fitted object", () => {
  const probe = [0, 2, 1, 1, 0];
  it.each(estimatorChecks({
    name: "HiddenMarkovModel", data: [symbols], fit: (data) => fitted(data), fromJSON: HiddenMarkovModel.fromJSON,
    output: (f) => [f.initial, f.transitions, f.emissions, f.given(probe).marginals().unary],
    // Sums over sequences in another order: float64 rounding, seen through up to a hundred iterations.
    rowOrder: { atol: 1e-5 },
    wrongWidth: [(f) => f.given([0, 3]), (f) => f.emissionScores([-2])],
    base64: ["initial.data", "transitions.data", "emissions.data"],
    invariants: [
      { name: "has rows that sum to 1", holds: (f) => [...f.transitions.data, ...f.emissions.data].every((v) => v >= 0) && Math.abs(f.transitions.data[0] + f.transitions.data[1] - 1) < 1e-6 },
    ],
    recovers: [
      // Standard errors as if states were seen, sqrt(p (1 - p) / rows of the state), times 2 for what they hide (measured over 40 samples: 1.3 to 1.9). 6,667 and 3,333 rows.
      { name: "the transitions", estimate: (f) => { const [a, b] = order(f); return [f.transitions.at(a, b), f.transitions.at(b, a)]; }, truth: [0.1, 0.2], standardError: [2 * Math.sqrt(0.09 / 6640), 2 * Math.sqrt(0.16 / 3320)] },
      { name: "the emissions", estimate: (f) => { const [a, b] = order(f); return [f.emissions.at(a, 0), f.emissions.at(a, 2), f.emissions.at(b, 0), f.emissions.at(b, 2)]; }, truth: [0.85, 0.05, 0.05, 0.8], standardError: [0.1275, 0.0475, 0.0475, 0.16].map((v, k) => 2 * Math.sqrt(v / (k < 2 ? 6667 : 3333))) },
    ],
  }))("$name", ({ run }) => run());

  it("has messages that say what to do", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } throw new Error("accepted"); };
    const options = { states: 2, symbols: 3, random: randomSource(1, 0) };
    expect([
      refused(() => HiddenMarkovModel.fit([], options)),
      refused(() => HiddenMarkovModel.fit([0, 3], options)),
      refused(() => HiddenMarkovModel.fit([[[0]]], options)),
      refused(() => HiddenMarkovModel.fit([0, 1], { ...options, lengths: [2] })),
      refused(() => HiddenMarkovModel.fit([0, 1], { states: 2, symbols: 3 })),
      refused(() => HiddenMarkovModel.fit([0, 1], { states: 3, symbols: 3, from: planted })),
      refused(() => HiddenMarkovModel.fit([0, 1], { ...options, smoothing: -1 })),
      refused(() => HiddenMarkovModel.fit(symbols, { ...options, random: randomSource(2, 0), maxIterations: 2 })),
      refused(() => HiddenMarkovModel.fit([0, 1], { states: 1, symbols: 2, from: HiddenMarkovModel.of({ initial: [1], transitions: [[1]], emissions: [[1, 0]] }) })),
      refused(() => HiddenMarkovModel.fitTransitions([[0, NaN]])),
      refused(() => HiddenMarkovModel.fitSupervised([0, 1], [0, 0], { states: 2, symbols: 2 })),
      refused(() => HiddenMarkovModel.fitSupervised([0, 1], [0, 2], { states: 2, symbols: 2 })),
      refused(() => HiddenMarkovModel.fitSupervised([0, 1], [0], { states: 2, symbols: 2 })),
      refused(() => HiddenMarkovModel.of({ initial: [0.5, 0.4], transitions: [[1, 0], [0, 1]] })),
      refused(() => HiddenMarkovModel.of({ initial: [1], transitions: [[1, 0], [0, 1]] })),
      refused(() => HiddenMarkovModel.of({ initial: [1], transitions: [[1]] }).emissionScores([0])),
    ]).toMatchInlineSnapshot(`
      [
        "RangeError: HiddenMarkovModel.fit: expected \`observations\` with at least one row, got none",
        "RangeError: HiddenMarkovModel.fit: expected \`observations\` in [-1, 3), got 3 in row 1",
        "RangeError: HiddenMarkovModel.fit: expected \`observations\` of shape [T] or [B, T], got [1, 1, 1]",
        "RangeError: HiddenMarkovModel.fit: expected \`observations\` of shape [B, T] with lengths, got [2]",
        "RangeError: HiddenMarkovModel.fit: expected \`options\` with either \`from\` or \`random\`, got neither",
        "RangeError: HiddenMarkovModel.fit: expected \`from\` of 3 states and 3 symbols, got one of 2 and 3",
        "RangeError: HiddenMarkovModel.fit: expected \`smoothing\` a finite number from 0 up, got -1",
        "ConvergenceError: HiddenMarkovModel.fit: expected a gain of at most 1e-7 nats a row within 2 iterations, got 0.0308. Raise maxIterations or tolerance",
        "RangeError: HiddenMarkovModel.fit: expected \`observations\` that the start of the fit allows, got sequence 0, which has probability 0",
        "RangeError: HiddenMarkovModel.fitTransitions: expected \`logLikelihoods\` finite or -Infinity, got NaN in row 0",
        "RangeError: HiddenMarkovModel.fitSupervised: expected \`labels\` with a row after one of every state, got none of state 1. Pass smoothing above 0",
        "RangeError: HiddenMarkovModel.fitSupervised: expected \`labels\` in [0, 2), got 2 in row 1",
        "RangeError: HiddenMarkovModel.fitSupervised: expected \`labels\` in the shape of the observations, got [1]",
        "RangeError: HiddenMarkovModel.of: expected \`initial\` with rows that sum to 1, got a sum of 0.9000000059604645 in row 0. For logits apply softmax first",
        "RangeError: HiddenMarkovModel.of: expected \`transitions\` of shape [1, 1], got [2, 2]",
        "RangeError: HiddenMarkovModel.emissionScores: expected \`this\` a model of symbols, got one of given log-likelihoods. They are the scores",
      ]
    `);
  });
});
