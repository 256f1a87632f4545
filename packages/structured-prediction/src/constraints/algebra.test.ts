import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { automaton, type Automaton } from "../automaton.ts";
import { complement, concatenate, intersect, repeat, union } from "./algebra.ts";
import { cardinality, lengthBetween } from "./counts.ts";
import { holds, sequences, sequencesUpTo } from "./enumerate.ref.ts";
import { lexicon } from "./lexicon.ts";
import { accepts, countAccepted } from "./membership.ts";
import { regularLanguage } from "./regularLanguage.ts";

const LABELS = ["A", "B", "C"];
/** Languages over two labels, of at most 4 states. */
const languages: fc.Arbitrary<Automaton> = fc.integer({ min: 1, max: 4 }).chain((states) => fc.tuple(
  fc.array(fc.integer({ min: -1, max: states - 1 }), { minLength: 2 * states, maxLength: 2 * states }), fc.array(fc.integer({ min: 0, max: 1 }), { minLength: states, maxLength: states }),
).map(([next, accepting]) => automaton(2, next, accepting)));
const words = sequencesUpTo(5, 2);
const set = (keep: (y: readonly number[]) => boolean): string[] => words.filter(keep).map((y) => y.join(""));
const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };

describe("the algebra", () => {
  it("does to languages what it does to sets of sequences", () => {
    fc.assert(fc.property(languages, languages, (a, b) => {
      expect(set((y) => holds(intersect(a, b), y))).toEqual(set((y) => holds(a, y) && holds(b, y)));
      expect(set((y) => holds(union(a, b), y))).toEqual(set((y) => holds(a, y) || holds(b, y)));
      expect(set((y) => holds(complement(a), y))).toEqual(set((y) => !holds(a, y)));
      expect(set((y) => holds(concatenate(a, b), y))).toEqual(set((y) => Array.from({ length: y.length + 1 }, (_, n) => n).some((n) => holds(a, y.slice(0, n)) && holds(b, y.slice(n)))));
      // In so many parts: by all ways to cut.
      const inParts = (y: readonly number[], parts: number): boolean => (parts === 0 ? y.length === 0 : Array.from({ length: y.length + 1 }, (_, n) => n).some((n) => holds(a, y.slice(0, n)) && inParts(y.slice(n), parts - 1)));
      expect(set((y) => holds(repeat(a, { atLeast: 1, atMost: 3 }), y))).toEqual(set((y) => [1, 2, 3].some((parts) => inParts(y, parts))));
      const starred = (y: readonly number[]): boolean => y.length === 0 || y.some((_, n) => holds(a, y.slice(0, n + 1)) && starred(y.slice(n + 1)));
      expect(set((y) => holds(repeat(a), y))).toEqual(set(starred));
    }), { seed: 3, numRuns: 60 });
  });

  it("keeps the laws of Boole and Kleene, as equal values", () => {
    const everything = automaton(2, [0, 0], [1]), nothing = complement(everything), empty = lexicon([[]], ["x", "y"]);
    fc.assert(fc.property(languages, languages, languages, (a, b, c) => {
      const equal = (x: Automaton, y: Automaton): void => expect(x).toEqual(y);
      equal(complement(intersect(a, b)), union(complement(a), complement(b)));
      equal(complement(union(a, b)), intersect(complement(a), complement(b)));
      equal(complement(complement(a)), a);
      for (const join of [intersect, union]) {
        equal(join(a, a), a);
        equal(join(a), a);
        equal(join(a, b), join(b, a));
        equal(join(a, join(b, c)), join(a, b, c));
      }
      equal(intersect(a, union(b, c)), union(intersect(a, b), intersect(a, c)));
      equal(union(a, intersect(a, b)), a);
      equal(intersect(a, complement(a)), nothing);
      equal(union(a, complement(a)), everything);
      equal(concatenate(a, concatenate(b, c)), concatenate(a, b, c));
      equal(concatenate(a, union(b, c)), union(concatenate(a, b), concatenate(a, c)));
      equal(concatenate(a, empty), a);
      equal(concatenate(nothing, a), nothing);
      equal(repeat(repeat(a)), repeat(a));
      equal(repeat(union(a, b)), repeat(concatenate(repeat(a), repeat(b))));
      equal(repeat(a), union(empty, concatenate(a, repeat(a))));
      equal(repeat(a, { atLeast: 2, atMost: 3 }), union(concatenate(a, a), concatenate(a, a, a)));
      equal(repeat(a, { atLeast: 2 }), concatenate(a, a, repeat(a)));
      equal(repeat(a, { atMost: 0 }), empty);
    }), { seed: 4, numRuns: 120 });
  });

  it("has messages that say what to do", () => {
    const two = lexicon([["A"]], ["A", "B"]), three = lexicon([["A"]], LABELS), long = lengthBetween(LABELS, { atLeast: 300 }), odd = regularLanguage(`(.{307})*`, LABELS);
    expect([
      refused(() => intersect(two, two, three)), refused(() => union(three, two)), refused(() => concatenate(two, three)),
      refused(() => repeat(two, { atLeast: 2, atMost: 1 })), refused(() => repeat(two, { atLeast: 1.5 })),
      refused(() => intersect(long, odd, regularLanguage("(.{311})*", LABELS))), refused(() => repeat(two, { atLeast: 1000000 })),
    ]).toMatchInlineSnapshot(`
      [
        "intersect: expected \`languages\` over 2 labels, as the first, got 3 labels in language 2",
        "union: expected \`languages\` over 3 labels, as the first, got 2 labels in language 1",
        "concatenate: expected \`languages\` over 2 labels, as the first, got 3 labels in language 1",
        "repeat: expected \`atMost\` an integer in [2, 2147483647], got 1",
        "repeat: expected \`atLeast\` an integer in [0, 2147483647], got 1.5",
        "intersect: expected \`languages\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
        "repeat: expected \`language\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
      ]
    `);
  });
});

describe("counting", () => {
  it("counts what is accepted, by brute force and in closed form beyond float64", () => {
    fc.assert(fc.property(languages, (a) => {
      for (let T = 0; T <= 5; T++) expect(countAccepted(a, T)).toBe(BigInt(words.filter((y) => y.length === T && holds(a, y)).length));
    }), { seed: 6, numRuns: 100 });
    expect(countAccepted(lengthBetween(LABELS), 200)).toBe(3n ** 200n);
    // No label 0 twice in a row: Fibonacci.
    const fibonacci = (n: number): bigint => { let [a, b] = [0n, 1n]; for (let k = 0; k < n; k++) [a, b] = [b, a + b]; return a; };
    expect(countAccepted(regularLanguage("(B | A B)* A?", ["A", "B"]), 300)).toBe(fibonacci(302));
    expect(countAccepted(complement(lengthBetween(LABELS)), 5)).toBe(0n);
    expect(refused(() => countAccepted(lengthBetween(LABELS), -1))).toMatchInlineSnapshot(`"countAccepted: expected \`length\` an integer in [0, 2147483647], got -1"`);
  });

  it("accepts agrees with the table", () => {
    const language = regularLanguage("A (B A)*", LABELS);
    for (const y of sequencesUpTo(4, 3)) expect(accepts(language, Int32Array.from(y))).toBe(holds(language, y));
  });
});

describe("lexicon, cardinality, lengthBetween", () => {
  it("lexicon holds its sequences and no others, once each, in a minimal automaton", () => {
    fc.assert(fc.property(fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 5 }), { maxLength: 12 }), (entries) => {
      const language = lexicon(entries.map((y) => y.map((label) => LABELS[label])), LABELS), known = new Set(entries.map(String));
      const all = sequencesUpTo(6, 3);
      expect(all.filter((y) => holds(language, y)).map(String).toSorted()).toEqual([...known].toSorted());
      expect(language).toEqual(union(regularLanguage("[]", LABELS), ...entries.map((y) => regularLanguage(y.map((label) => LABELS[label]).join(" "), LABELS))));
    }), { seed: 8, numRuns: 60 });
    expect(lexicon([], LABELS).states).toBe(0);
    expect(refused(() => lexicon([["A"], ["A", "D"]], LABELS))).toMatchInlineSnapshot(`"lexicon: expected \`sequences[1][1]\` one of A, B, C, got "D""`);
  });

  it("cardinality counts labels, lengthBetween all of them", () => {
    const all = sequencesUpTo(6, 3), count = (y: readonly number[]): number => y.filter((label) => label !== 1).length;
    for (const [atLeast, atMost] of [[0, 0], [0, 2], [2, 2], [1, 4], [3, Infinity], [0, Infinity]]) {
      const language = cardinality(LABELS, { of: ["A", "C"], atLeast, atMost }), length = lengthBetween(LABELS, { atLeast, atMost });
      expect(all.filter((y) => holds(language, y) !== (count(y) >= atLeast && count(y) <= atMost))).toEqual([]);
      expect(all.filter((y) => holds(length, y) !== (y.length >= atLeast && y.length <= atMost))).toEqual([]);
      expect(language.states).toBe((atMost === Infinity ? atLeast : atMost) + 1);
    }
    // Binomial: 20 of 40 labels are the one that counts.
    expect(countAccepted(cardinality(["A", "B"], { of: ["A"], atLeast: 20, atMost: 20 }), 40)).toBe(137846528820n);
    expect(sequences(2, 3).every((y) => holds(cardinality(LABELS, { of: [] }), y))).toBe(true);
    expect([
      refused(() => cardinality(LABELS, { of: ["D"] })), refused(() => cardinality(LABELS, { of: ["A"], atLeast: 3, atMost: 2 })), refused(() => cardinality(LABELS, { of: ["A"], atMost: 100000 })),
      refused(() => lengthBetween(LABELS, { atLeast: -1 })), refused(() => lengthBetween(LABELS, { atMost: NaN })),
    ]).toMatchInlineSnapshot(`
      [
        "cardinality: expected \`of[0]\` one of A, B, C, got "D"",
        "cardinality: expected \`atMost\` an integer in [3, 2147483647], got 2",
        "cardinality: expected \`atMost\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
        "lengthBetween: expected \`atLeast\` an integer in [0, 2147483647], got -1",
        "lengthBetween: expected \`atMost\` an integer in [0, 2147483647], got NaN",
      ]
    `);
  });
});
