import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { automaton } from "../automaton.ts";
import type { ChainModel } from "../chainModel.ts";
import { LinearChain } from "../linearChain.ts";
import { ChainFilter } from "./chainFilter.ts";
import { CommittedViterbi } from "./committedViterbi.ts";
import { FixedLagSmoother } from "./fixedLagSmoother.ts";

const random = testRandom(11);
const list = (n: number, scale = 1, impossible = 0): number[] => Array.from({ length: n }, () => (random.uniform() < impossible ? -Infinity : Math.fround(scale * random.normal())));
const rows = (T: number, C: number, scale = 1): number[][] => Array.from({ length: T }, () => list(C, scale));
const restored = <X extends { toJSON(): unknown }>(x: X, read: (model: ChainModel, json: unknown) => X, model: ChainModel): X => read(model, JSON.parse(JSON.stringify(x)));

/** No label twice in a row and an even number of 0s. */
const evenZeros = automaton(3, Array.from({ length: 24 }, (_, k) => { const s = Math.floor(k / 3), y = k % 3; return (s >> 1) - 1 === y ? -1 : (y + 1) * 2 + ((s & 1) ^ (y === 0 ? 1 : 0)); }), Array.from({ length: 8 }, (_, s) => 1 - (s & 1)));

/** A chain in which a state is never left for one of lower index. */
const leftToRight = (C: number): number[][] => Array.from({ length: C }, (_, i) => Array.from({ length: C }, (_, j) => (j < i || j > i + 1 ? -Infinity : -0.5)));

const models = (): { name: string; model: ChainModel }[] => [
  { name: "dense", model: LinearChain.compile(rows(3, 3), { start: list(3), end: list(3) }) },
  { name: "with impossible transitions", model: LinearChain.compile([[0, 1, -Infinity], [-1, -Infinity, 0.5], [0, 0.5, 0.25]], { start: [0, -Infinity, 0] }) },
  { name: "constrained", model: LinearChain.compile(rows(3, 3), { start: list(3), end: list(3), constraint: evenZeros }) },
  { name: "left to right", model: LinearChain.compile(leftToRight(3), { start: [0, -Infinity, -Infinity], end: [-Infinity, -Infinity, 0] }) },
  { name: "one label", model: LinearChain.compile([[0.5]], { start: [1] }) },
];

/** What the whole sequence says without `end` and without the constraint on where to end. */
function prefix(model: ChainModel, e: readonly (readonly number[])[]): LinearChain {
  const { constraint } = model, C = model.labels;
  const open = constraint && automaton(C, constraint.next, new Uint8Array(constraint.states).fill(1), constraint.start);
  return new LinearChain(LinearChain.compile({ data: model.transitions, shape: [C, C] }, { start: model.start, ...(open && { constraint: open }) }), tensor(e.map((row) => [...row])));
}

describe("ChainFilter", () => {
  it.each(models())("gives the last marginals and log Z of every prefix: $name", ({ model }) => {
    const C = model.labels, e = rows(7, C);
    let filter = new ChainFilter(model);
    expect([filter.rows, filter.logPartition, filter.finalLogPartition]).toEqual([0, 0, new LinearChain(model, { data: new Float32Array(0), shape: [0, C] }).logPartition()[0]]);
    let total = 0;
    for (let t = 0; t < e.length; t++) {
      const before = filter.next();
      total += filter.push(e[t]);
      const batch = prefix(model, e.slice(0, t + 1));
      // The kernels' weights are float32.
      expectClose(filter.probabilities().data, batch.marginals().unary.row(t).data, { atol: 2e-6 });
      expectClose(filter.logPartition, batch.logPartition()[0], { atol: 5e-6 });
      expectClose(filter.finalLogPartition, new LinearChain(model, e.slice(0, t + 1)).logPartition()[0], { atol: 5e-6 });
      // Seen before its row, a label has the share of the weights without that row.
      expectClose(before.data, prefix(model, [...e.slice(0, t), new Array<number>(C).fill(0)]).marginals().unary.row(t).data, { atol: 2e-6 });
      if (t % 3 === 0) filter = restored(filter, ChainFilter.fromJSON, model);
    }
    expectClose(total, filter.logPartition, { atol: 1e-12 });
  });

  it("keeps the one path that matters where its weight leaves float64 [trap: left to right]", () => {
    // Staying in state 0 is better by 1000 nats a row until the end, where only state 2 may be.
    const model = LinearChain.compile(leftToRight(3), { start: [0, -Infinity, -Infinity], end: [-Infinity, -Infinity, 0] });
    const filter = new ChainFilter(model), smoother = new FixedLagSmoother(model, { lag: 10 });
    const e = [[0, 0, 0], [1000, 0, 0], [1000, 0, 0], [-Infinity, 0, 0], [-Infinity, -Infinity, 0], [0, 0, 0]];
    for (const row of e) {
      filter.push(row);
      smoother.push(row);
    }
    const batch = new LinearChain(model, e);
    expectClose(filter.finalLogPartition, batch.logPartition()[0], { rtol: 1e-7 });
    expectClose(smoother.finish().flatMap(({ probabilities }) => [...probabilities.data]), batch.marginals().unary.data, { atol: 1e-6 });
    // Only a path that leaves state 0 at once, against 400 nats a row, is in state 4 from row 4 on: its weight in row 3 is exp(-1200) of the others.
    const S = 5, long = new ChainFilter(LinearChain.compile(leftToRight(S), { start: [0, ...new Array<number>(S - 1).fill(-Infinity)] }));
    for (let t = 0; t < 8; t++) long.push(Array.from({ length: S }, (_, j) => (t < 4 ? (j === 0 ? 0 : -400) : j === S - 1 ? 0 : -600)));
    expectClose(long.finalLogPartition, -1200 - 7 * 0.5, { rtol: 1e-12 });
    expectClose(long.probabilities().data, [0, 0, 0, 0, 1], { atol: 1e-12 });
  });

  it("agrees with a textbook recursion in log space over 10,000 rows of 7 labels", () => {
    const C = 7, A = rows(C, C), e = rows(10_000, C, 3), model = LinearChain.compile(A), filter = new ChainFilter(model), committed = new CommittedViterbi(model);
    let alpha = [...e[0]], best = [...e[0]];
    e.forEach((row, t) => {
      filter.push(row);
      committed.push(row);
      if (t === 0) return;
      const over = (x: readonly number[], j: number): number[] => x.map((v, i) => v + A[i][j]);
      alpha = row.map((v, j) => { const terms = over(alpha, j), top = Math.max(...terms); return v + top + Math.log(terms.reduce((s, x) => s + Math.exp(x - top), 0)); });
      best = row.map((v, j) => v + Math.max(...over(best, j)));
    });
    const top = Math.max(...alpha), logZ = top + Math.log(alpha.reduce((s, x) => s + Math.exp(x - top), 0));
    // Both are sums of 10,000 float64 terms of a total near 45,000: about 1e-12 relative.
    expectClose(filter.finalLogPartition, logZ, { rtol: 1e-11 });
    expectClose(filter.probabilities().data, alpha.map((x) => Math.exp(x - logZ)), { atol: 1e-7 });
    expectClose(committed.finish().score, Math.max(...best), { rtol: 1e-11 });
    // The kernels run in scaled float32: about 1e-8 a row.
    expectClose(new LinearChain(model, tensor(e)).logPartition()[0], filter.finalLogPartition, { rtol: 1e-7 });
  });

  it("refuses a row and stays as it was", () => {
    const model = LinearChain.compile([[0, -Infinity], [-Infinity, 0]], { end: [-Infinity, 0] });
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const filter = new ChainFilter(model), smoother = new FixedLagSmoother(model, { lag: 2 }), viterbi = new CommittedViterbi(model, { maxLag: 0 });
    const empty = refused(() => filter.probabilities());
    for (const stream of [filter, smoother, viterbi]) stream.push([1, -Infinity]);
    const before = JSON.stringify([filter, smoother, viterbi]);
    const bad: TensorLike[] = [[NaN, 0], [0, Infinity], [0], [-Infinity, 0]];
    const messages = [filter, smoother, viterbi].flatMap((stream) => bad.map((row) => refused(() => stream.push(row))));
    expect(JSON.stringify([filter, smoother, viterbi])).toBe(before);
    expect(filter.finalLogPartition).toBe(-Infinity);
    expect([empty, ...messages, refused(() => smoother.finish()), refused(() => viterbi.finish()), refused(() => new FixedLagSmoother(model, { lag: -1 })), refused(() => new CommittedViterbi(model, { maxLag: 0.5 })), refused(() => new ChainFilter(LinearChain.varying([[0, 0]], { data: new Float32Array(4), shape: [1, 2, 2] }).model))]).toMatchInlineSnapshot(`
      [
        "ChainFilter.probabilities: expected \`this\` after a row, got none so far",
        "ChainFilter.push: expected \`row\` finite or -Infinity, got NaN at index 0",
        "ChainFilter.push: expected \`row\` finite or -Infinity, got Infinity at index 1",
        "ChainFilter.push: expected \`row\` of shape [2], got [1]",
        "ChainFilter.push: expected \`row\` that some sequence of labels allows, got none after row 1",
        "FixedLagSmoother.push: expected \`row\` finite or -Infinity, got NaN at index 0",
        "FixedLagSmoother.push: expected \`row\` finite or -Infinity, got Infinity at index 1",
        "FixedLagSmoother.push: expected \`row\` of shape [2], got [1]",
        "ChainFilter.push: expected \`row\` that some sequence of labels allows, got none after row 1",
        "CommittedViterbi.push: expected \`row\` finite or -Infinity, got NaN at index 0",
        "CommittedViterbi.push: expected \`row\` finite or -Infinity, got Infinity at index 1",
        "CommittedViterbi.push: expected \`row\` of shape [2], got [1]",
        "CommittedViterbi.push: expected \`row\` that some sequence of labels allows, got none after row 1",
        "FixedLagSmoother.finish: expected \`this\` where a sequence may end, got none of 1 rows",
        "CommittedViterbi.finish: expected \`this\` where a sequence may end, got none of 1 rows",
        "FixedLagSmoother: expected \`lag\` an integer in [0, 2147483647], got -1",
        "CommittedViterbi: expected \`maxLag\` an integer in [0, 2147483647], got 0.5",
        "ChainFilter: expected \`model\` with transitions of its own, got one whose transitions come row by row",
      ]
    `);
  });

  it("says nothing new in a row of zeros, and goes on", () => {
    const model = LinearChain.compile([[Math.log(0.9), Math.log(0.1)], [Math.log(0.2), Math.log(0.8)]], { start: [Math.log(0.5), Math.log(0.5)] });
    const filter = new ChainFilter(model);
    filter.push([0, 0]);
    // Rows of probabilities: the log-likelihood of nothing is 0, within float32 logarithms.
    expectClose(filter.push([0, 0]), 0, { atol: 1e-7 });
    expectClose(filter.probabilities().data, [0.55, 0.45], { atol: 1e-7 });
    expectExact(filter.next().data, new ChainFilter(model).next().data.map((_, j) => Math.fround([0.55 * 0.9 + 0.45 * 0.2, 0.55 * 0.1 + 0.45 * 0.8][j])));
  });
});

describe("FixedLagSmoother", () => {
  it.each(models())("gives the marginals of the prefix, `lag` rows later, and of the whole at the end: $name", ({ model }) => {
    const e = rows(8, model.labels);
    for (const lag of [0, 1, 3, 20]) {
      let smoother = new FixedLagSmoother(model, { lag });
      e.forEach((row, t) => {
        const answer = smoother.push(row);
        expect(answer?.row).toBe(t < lag ? undefined : t - lag);
        if (answer) expectClose(answer.probabilities.data, prefix(model, e.slice(0, t + 1)).marginals().unary.row(t - lag).data, { atol: 2e-6 });
        if (t % 3 === 1) smoother = restored(smoother, FixedLagSmoother.fromJSON, model);
      });
      const rest = smoother.finish(), whole = new LinearChain(model, e);
      expect(rest.map(({ row }) => row)).toEqual(Array.from({ length: Math.min(lag, 8) }, (_, k) => 8 - Math.min(lag, 8) + k));
      for (const { row, probabilities } of rest) expectClose(probabilities.data, whole.marginals().unary.row(row).data, { atol: 2e-6 });
      expectClose(smoother.logPartition, prefix(model, e).logPartition()[0], { atol: 5e-6 });
    }
  });
});

describe("CommittedViterbi", () => {
  it.each(models())("gives the labels and the score of argmax: $name", ({ model }) => {
    for (let n = 0; n < 20; n++) {
      const e = rows(12, model.labels, 2);
      let stream = new CommittedViterbi(model);
      const labels: number[] = [];
      e.forEach((row, t) => {
        labels.push(...stream.push(row));
        expect(labels.length + stream.waiting).toBe(t + 1);
        if (t % 4 === 2) stream = restored(stream, CommittedViterbi.fromJSON, model);
      });
      const { labels: rest, score } = stream.finish(), best = new LinearChain(model, e).argmax();
      expect([...labels, ...rest]).toEqual([...best.labels.data]);
      expectClose(score, best.score[0], { rtol: 1e-12, atol: 1e-12 });
      expect(stream.forced).toBe(0);
    }
  });

  it("does not end before a row where the constraint forbids the sequence without labels", () => {
    const odd = automaton(2, [1, 0, 0, 1], [0, 1]), model = LinearChain.compile(tensor([[0, 0], [0, 0]]), { constraint: odd });
    expect(() => new CommittedViterbi(model).finish()).toThrowErrorMatchingInlineSnapshot(`[RangeError: CommittedViterbi.finish: expected \`this\` where a sequence may end, got none of 0 rows]`);
    expect(new CommittedViterbi(LinearChain.compile(tensor([[0, 0], [0, 0]]))).finish()).toEqual({ labels: new Int32Array(0), score: 0 });
  });

  it("breaks ties as argmax does", () => {
    for (let n = 0; n < 50; n++) {
      const integers = (size: number): number[] => Array.from({ length: size }, () => random.integer(3));
      const C = 3, model = LinearChain.compile(Array.from({ length: C }, () => integers(C))), e = Array.from({ length: 9 }, () => integers(C));
      const stream = new CommittedViterbi(model), labels = e.flatMap((row) => [...stream.push(row)]);
      expect([...labels, ...stream.finish().labels]).toEqual([...new LinearChain(model, e).argmax().labels.data]);
    }
  });

  it("gives out a label as soon as nothing can change it, and not before", () => {
    // Two labels that never follow one another: only a row that forbids one settles what came before.
    const model = LinearChain.compile([[0, -Infinity], [-Infinity, 0]]);
    const stream = new CommittedViterbi(model);
    expect([[5, 0], [0, 0], [0, 9]].map((row) => [...stream.push(row)])).toEqual([[], [], []]);
    expect(stream.waiting).toBe(3);
    expect([...stream.push([0, -Infinity])]).toEqual([0, 0, 0, 0]);
    expect(stream.waiting).toBe(0);
    expect([...stream.push([0, 7])]).toEqual([0]);
  });

  it("waits no longer than maxLag, and then keeps one possible path", () => {
    const model = LinearChain.compile([[0, -Infinity], [-Infinity, 0]]);
    for (const maxLag of [0, 1, 2]) {
      let stream = new CommittedViterbi(model, { maxLag });
      const labels: number[] = [];
      for (const row of [[5, 0], [0, 0], [0, 9], [0, 9]]) {
        labels.push(...stream.push(row));
        expect(stream.waiting).toBeLessThanOrEqual(maxLag);
        expect(JSON.parse(JSON.stringify(stream)).back.length).toBeLessThanOrEqual(maxLag);
        stream = restored(stream, CommittedViterbi.fromJSON, model);
      }
      const rest = stream.finish();
      // The best sequence is 1 1 1 1: whoever must answer before its third row says 0.
      expect([...labels, ...rest.labels]).toEqual(maxLag < 2 ? [0, 0, 0, 0] : [1, 1, 1, 1]);
      expect([rest.score, stream.forced]).toEqual([maxLag < 2 ? 5 : 18, 1]);
    }
    const C = 4, wide = LinearChain.compile(rows(C, C), { start: list(C), end: list(C) });
    for (let n = 0; n < 20; n++) {
      const e = rows(30, C), stream = new CommittedViterbi(wide, { maxLag: 2 }), labels = e.flatMap((row) => [...stream.push(row)]), { labels: rest, score } = stream.finish();
      const chain = new LinearChain(wide, e);
      expectClose(chain.score([...labels, ...rest])[0], score, { rtol: 1e-12 });
      if (stream.forced === 0) expect([...labels, ...rest]).toEqual([...chain.argmax().labels.data]);
    }
  });
});

describe("states of streams as JSON", () => {
  const model = LinearChain.compile([[0, 0.5], [-1, 0]]), other = LinearChain.compile([[0, 0.5], [-1, 0.25]]);
  const streams = { filter: new ChainFilter(model), smoother: new FixedLagSmoother(model, { lag: 2 }), viterbi: new CommittedViterbi(model) };
  for (const stream of Object.values(streams)) for (const row of [[0.1, 0], [0, 0.05], [0.1, 0]]) stream.push(row);
  const read = { filter: ChainFilter.fromJSON, smoother: FixedLagSmoother.fromJSON, viterbi: CommittedViterbi.fromJSON };

  it("go on bit by bit, and do not grow", () => {
    for (const name of ["filter", "smoother", "viterbi"] as const) {
      const text = JSON.stringify(streams[name]), again = read[name](model, JSON.parse(text));
      expect(JSON.stringify(again)).toBe(text);
      again.push([0.2, 0.1]);
      const copy = read[name](model, JSON.parse(text));
      copy.push([0.2, 0.1]);
      expect(JSON.stringify(again)).toBe(JSON.stringify(copy));
    }
    const filter = new ChainFilter(model);
    filter.push([0.1, 0.2]);
    const size = JSON.stringify(filter).length;
    for (let t = 0; t < 2000; t++) filter.push([0.1, -0.2]);
    expect(JSON.stringify(filter).length).toBeLessThan(size + 30);
  });

  it("are refused where they are of another model, or changed", () => {
    const changed = (name: keyof typeof streams, fields: object): string => {
      try {
        read[name](model, { ...(JSON.parse(JSON.stringify(streams[name])) as object), ...fields });
      } catch (error) {
        return `${(error as Error).name}: ${(error as Error).message}`;
      }
      throw new Error(`accepted ${JSON.stringify(fields)}`);
    };
    for (const name of ["filter", "smoother", "viterbi"] as const) expect(() => read[name](other, JSON.parse(JSON.stringify(streams[name])))).toThrow(/Restore it with the model/);
    expect([
      changed("filter", { version: 2 }), changed("filter", { messages: [0] }), changed("filter", { messages: [0, "1"] }), changed("filter", { logPartition: null }),
      changed("smoother", { lag: -1 }), changed("smoother", { messages: [] }), changed("smoother", { emissions: [[0]] }), changed("smoother", { filter: null }),
      changed("viterbi", { back: [[0, 2], [0, 0]], waiting: 3 }), changed("viterbi", { back: [[0, null]], waiting: 2 }), changed("viterbi", { back: 3 }), changed("viterbi", { maxLag: "2" }), changed("viterbi", { waiting: 9 }),
    ]).toMatchInlineSnapshot(`
      [
        "FormatError: ChainFilter.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/structured-prediction to read it",
        "FormatError: ChainFilter.fromJSON: expected \`messages\` 2 finite numbers or null, got 1",
        "FormatError: ChainFilter.fromJSON: expected \`messages\` 2 finite numbers or null, got string at index 1",
        "FormatError: ChainFilter.fromJSON: expected \`logPartition\` a finite number, got null",
        "FormatError: FixedLagSmoother.fromJSON: expected \`lag\` an integer in [0, 2147483647], got -1",
        "FormatError: FixedLagSmoother.fromJSON: expected \`messages\` of 2 rows, got 0",
        "FormatError: FixedLagSmoother.fromJSON: expected \`emissions\` 2 finite numbers or null, got 1",
        "FormatError: FixedLagSmoother.fromJSON: expected \`filter\` a value, got null",
        "FormatError: CommittedViterbi.fromJSON: expected \`back\` states in [-1, 2), got 2",
        "FormatError: CommittedViterbi.fromJSON: expected \`back\` states in [-1, 2), got -Infinity",
        "FormatError: CommittedViterbi.fromJSON: expected \`back\` lists of 2 finite numbers or null, got something else",
        "FormatError: CommittedViterbi.fromJSON: expected \`maxLag\` an integer in [0, 2147483647], got "2"",
        "FormatError: CommittedViterbi.fromJSON: expected \`waiting\` an integer in [0, 3], got 9",
      ]
    `);
  });
});
