import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RedCheckError, alternate, compare, gate, geometricMean, median, type Check, type Timing } from "./harness.ts";
import type { Contender } from "./types.ts";

const timing = (...samples: number[]): Timing => ({ median: median(samples), samples });

function answering(values: number[], log: string[] = [], name = ""): Contender {
  return { run: () => void log.push(name), read: () => ({ values }), dispose: () => {} };
}

describe("median", () => {
  it("is the middle of an odd number of values, in any order", () => expect(median([5, 1, 3])).toBe(3));
  it("is the mean of the two in the middle of an even number", () => expect(median([4, 1, 3, 2])).toBe(2.5));
  it("sorts as numbers, not as text", () => expect(median([10, 9, 100])).toBe(10));
  it("leaves its argument as it was", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });
  it("refuses nothing", () => expect(() => median([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: median: expected at least one value, got none]`));
});

describe("geometricMean", () => {
  it("of 1/2 and 2 is 1", () => expect(geometricMean([0.5, 2])).toBeCloseTo(1, 12));
  it("refuses nothing", () => expect(() => geometricMean([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: geometricMean: expected at least one value, got none]`));
});

describe("compare", () => {
  it("divides the fastest peer by ours: above 1 we are faster", () => {
    const result = compare(timing(2, 2, 2), new Map([["slow", timing(9, 9, 9)], ["fast", timing(3, 3, 3)]]));
    expect(result).toEqual({ ratio: 1.5, fastest: "fast", pairedRatio: 1.5 });
  });
  it("takes the fastest by median, not by best sample", () => {
    const result = compare(timing(1, 1, 1), new Map([["steady", timing(3, 3, 3)], ["once", timing(0.1, 9, 9)]]));
    expect(result.fastest).toBe("steady");
  });
  it("pairs the samples of one round", () => {
    // The machine is ten times slower in the second round, for both.
    const result = compare(timing(1, 10, 1), new Map([["peer", timing(2, 20, 2)]]));
    expect(result.pairedRatio).toBe(2);
  });
  it("pairs only the rounds in which both ran", () => {
    const peer: Timing = { median: 6, samples: [Number.NaN, 6, Number.NaN, 8] };
    expect(compare(timing(1, 2, 3, 4), new Map([["peer", peer]])).pairedRatio).toBe(2.5);
  });
  it("has no ratio without a peer", () => expect(compare(timing(1), new Map())).toEqual({ ratio: null, fastest: null, pairedRatio: null }));
});

describe("gate", () => {
  const check: Check = ({ values }, whose) => (values[0] === 1 ? { ulp: whose === "ours" ? 0.5 : 3 } : { failure: `${values[0]} instead of 1` });

  it("refuses to go on when our own result is wrong", async () => {
    const error = await gate("case", answering([2]), new Map([["peer", answering([1])]]), check).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RedCheckError);
    expect((error as Error).message).toMatchInlineSnapshot(`"case: our result is wrong: 2 instead of 1"`);
  });
  it("names a peer with a wrong result and leaves it out", async () => {
    const result = await gate("case", answering([1]), new Map([["right", answering([1])], ["wrong", answering([7])]]), check);
    expect(result).toEqual({ ulp: 0.5, peersUlp: { right: 3 }, refused: { wrong: "wrong result: 7 instead of 1" } });
  });
  it("runs a contender before it reads it", async () => {
    let value = 0;
    const late: Contender = { run: async () => { await null; value = 1; }, read: async () => ({ values: [value] }), dispose: () => {} };
    await expect(gate("case", late, new Map(), check)).resolves.toMatchObject({ ulp: 0.5 });
  });
});

describe("alternate", () => {
  // A clock that only the runs move.
  let now = 0;
  beforeEach(() => void vi.spyOn(performance, "now").mockImplementation(() => now));
  afterEach(() => vi.restoreAllMocks());
  const lasting = (ms: number, also = (): void => {}): Contender => ({ run: () => { now += ms; also(); }, read: () => ({ values: [] }), dispose: () => {} });
  const plan = { clock: "wall" as const, warmUpMs: 0, sampleMs: 0, rounds: 4, budgetMs: 1000 };

  it("lets everybody run in every round, starting with another one each time", async () => {
    const log: string[] = [];
    const timings = await alternate(new Map([["a", answering([], log, "a")], ["b", answering([], log, "b")]]), plan);
    // One warm-up run each, then the rounds.
    expect(log.join("")).toBe("ab" + "ab" + "ba" + "ab" + "ba");
    expect([...timings.values()].map(({ samples }) => samples.length)).toEqual([4, 4]);
  });
  it("lets a slow one sit rounds out, the first one and the last round never", async () => {
    const slow = lasting(20);
    const timings = await alternate(new Map([["ours", slow], ["quick", answering([])], ["slow", slow]]), { ...plan, rounds: 7, budgetMs: 30 });
    expect(Object.fromEntries([...timings].map(([name, { samples }]) => [name, samples.map((ms) => (Number.isNaN(ms) ? "-" : "x")).join("")]))).toEqual({ ours: "xxxxxxx", quick: "xxxxxxx", slow: "--x-x-x" });
    expect(timings.get("slow")?.median).toBe(20);
  });
  it("repeats short work until a sample lasts, and reports one run", async () => {
    let runs = 0;
    const timings = await alternate(new Map([["busy", lasting(1, () => runs++)]]), { clock: "wall", warmUpMs: 20, sampleMs: 10, rounds: 3, budgetMs: 1000 });
    // One run, then ten at a time until 20 ms have passed; ten in each of three rounds.
    expect(runs).toBe(1 + 20 + 30);
    expect(timings.get("busy")?.median).toBe(1);
  });
  it("can count the time that the thread runs, which a sleep does not lengthen", async () => {
    const sleeping: Contender = { run: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20), read: () => ({ values: [] }), dispose: () => {} };
    const timings = await alternate(new Map([["sleeping", sleeping]]), { clock: "cpu", warmUpMs: 0, sampleMs: 0, rounds: 3, budgetMs: 1000 });
    expect(timings.get("sleeping")?.median).toBeLessThan(10);
  });
  it("waits for work that is asynchronous", async () => {
    let running = 0, most = 0;
    const slow: Contender = {
      run: async () => { most = Math.max(most, ++running); await new Promise((resolve) => setTimeout(resolve, 1)); running--; },
      read: () => ({ values: [] }), dispose: () => {},
    };
    await alternate(new Map([["slow", slow]]), { clock: "wall", warmUpMs: 0, sampleMs: 3, rounds: 2, budgetMs: 1000 });
    expect(most).toBe(1);
  });
});
