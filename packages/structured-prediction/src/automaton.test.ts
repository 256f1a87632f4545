import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { automaton, type Automaton } from "./automaton.ts";
import { holds, sequencesUpTo } from "./constraints/enumerate.ref.ts";
import { accepts } from "./constraints/membership.ts";

/** Tables of up to 7 states over 2 labels, with gaps, dead ends and states that nothing reaches. */
const tables = fc.integer({ min: 1, max: 7 }).chain((states) => fc.record({
  next: fc.array(fc.integer({ min: -1, max: states - 1 }), { minLength: 2 * states, maxLength: 2 * states }),
  accepting: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: states, maxLength: states }),
  start: fc.integer({ min: 0, max: states - 1 }),
}));

function run({ next, accepting, start }: { next: number[]; accepting: number[]; start: number }, y: readonly number[]): boolean {
  const q = y.reduce((state, label) => (state < 0 ? -1 : next[state * 2 + label]), start);
  return q >= 0 && accepting[q] === 1;
}

/** Pairs of states that some continuation tells apart, by Moore's rounds. */
function distinct({ labels, states, accepting, next }: Automaton): boolean {
  let classOf = [...accepting].map(String);
  for (let round = 0; round < states; round++) classOf = classOf.map((c, q) => [c, ...Array.from({ length: labels }, (_, y) => (next[q * labels + y] < 0 ? "-" : classOf[next[q * labels + y]]))].join("|"))
    .map((c, _, all) => String(all.indexOf(c)));
  return new Set(classOf).size === states;
}

describe("automaton", () => {
  it("keeps the language, in the fewest states, the same for the same language however its states were numbered", () => {
    const words = sequencesUpTo(8, 2);
    fc.assert(fc.property(tables, fc.integer(), (table, seed) => {
      const made = automaton(2, table.next, table.accepting, table.start);
      expect(words.filter((y) => holds(made, y) !== run(table, y))).toEqual([]);
      expect(distinct(made)).toBe(true);
      // Every state is on the way to the end of some sequence.
      for (let q = 0; q < made.states; q++) expect(words.some((y) => holds({ ...made, start: q }, y))).toBe(true);
      const states = table.accepting.length, order = Array.from({ length: states }, (_, q) => (q + (((seed % states) + states) % states)) % states);
      const next = new Array<number>(2 * states), accepting = new Array<number>(states);
      order.forEach((to, q) => {
        accepting[to] = table.accepting[q];
        for (const y of [0, 1]) next[to * 2 + y] = table.next[q * 2 + y] < 0 ? -1 : order[table.next[q * 2 + y]];
      });
      expect(automaton(2, next, accepting, order[table.start])).toEqual(made);
    }), { seed: 11, numRuns: 300 });
  });

  it("has a known least number of states", () => {
    // The third label from the end is 1: 2^3 states; divisible by 5 in binary: 5.
    const window = Array.from({ length: 8 }, (_, q) => [0, 1].map((y) => ((q << 1) | y) & 7)).flat();
    expect(automaton(2, window, Array.from({ length: 8 }, (_, q) => q >> 2)).states).toBe(8);
    const doubled = Array.from({ length: 10 }, (_, q) => [0, 1].map((y) => (2 * q + y) % 10)).flat();
    expect(automaton(2, doubled, Array.from({ length: 10 }, (_, q) => (q % 5 === 0 ? 1 : 0))).states).toBe(5);
  });

  it("gives the empty language no states, and everything one", () => {
    expect(automaton(2, [0, 0], [0])).toEqual({ labels: 2, states: 0, start: -1, accepting: new Uint8Array(0), next: new Int32Array(0) });
    expect(automaton(2, [1, 1, 0, 0], [1, 1])).toEqual({ labels: 2, states: 1, start: 0, accepting: Uint8Array.of(1), next: Int32Array.of(0, 0) });
    expect(accepts(automaton(2, [0, 0], [0]), [])).toBe(false);
  });

  it("has messages that say what to do", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    expect([
      refused(() => automaton(0, [], [1])),
      refused(() => automaton(2, [0, 0, 0], [1])),
      refused(() => automaton(2, [0, 1], [1])),
      refused(() => automaton(2, [0, 0.5], [1])),
      refused(() => automaton(2, [0, 0], [1], 1)),
      refused(() => accepts(automaton(2, [0, 0], [1]), [0, 2])),
      refused(() => accepts(automaton(2, [0, 0], [1]), [[0, 1]])),
    ]).toMatchInlineSnapshot(`
      [
        "automaton: expected \`labels\` an integer in [1, 2147483647], got 0",
        "automaton: expected \`next\` of 1 * 2 states, got 3",
        "automaton: expected \`next[0, 1]\` an integer in [-1, 0], got 1",
        "automaton: expected \`next[0, 1]\` an integer in [-1, 0], got 0.5",
        "automaton: expected \`start\` an integer in [0, 0], got 1",
        "accepts: expected \`labels[1]\` an integer in [0, 1], got 2",
        "accepts: expected \`labels\` of shape [T], got [1, 2]",
      ]
    `);
  });
});
