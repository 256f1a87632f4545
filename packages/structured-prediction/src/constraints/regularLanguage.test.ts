import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds, sequencesUpTo } from "./enumerate.ref.ts";
import { countAccepted } from "./membership.ts";
import { regularLanguage } from "./regularLanguage.ts";

const LABELS = ["A", "B-x/y", "two \"words\" \\"], NAMES = ["A", "B-x/y", "\"two \\\"words\\\" \\\\\""], LETTERS = "abc";

interface Both { readonly ours: string; readonly theirs: string }
const some = fc.subarray([0, 1, 2]);
/** The same expression in both syntaxes. */
const { pattern } = fc.letrec<{ pattern: Both; atom: Both; part: Both; sequence: Both }>((tie) => ({
  atom: fc.oneof({ maxDepth: 4, withCrossShrink: true },
    fc.integer({ min: 0, max: 2 }).map((y) => ({ ours: NAMES[y], theirs: LETTERS[y] })),
    fc.constant({ ours: ".", theirs: "[abc]" }),
    some.map((set) => ({ ours: `[${set.map((y) => NAMES[y]).join(" ")}]`, theirs: `[${set.map((y) => LETTERS[y]).join("")}]` })),
    some.map((set) => ({ ours: `[^ ${set.map((y) => NAMES[y]).join(" ")}]`, theirs: `[^${set.map((y) => LETTERS[y]).join("")}]` })),
    tie("pattern").map(({ ours, theirs }) => ({ ours: `( ${ours})`, theirs: `(?:${theirs})` }))),
  part: fc.tuple(tie("atom"), fc.constantFrom("", "", "*", "+", "?", "{2}", "{0}", "{1,}", "{0,2}", "{1,3}")).map(([{ ours, theirs }, count]) => ({ ours: ours + count, theirs: theirs + count })),
  sequence: fc.array(tie("part"), { maxLength: 3 }).map((parts) => ({ ours: parts.map((p) => p.ours).join(" "), theirs: parts.map((p) => p.theirs).join("") })),
  pattern: fc.array(tie("sequence"), { minLength: 1, maxLength: 3 }).map((parts) => ({ ours: parts.map((p) => p.ours).join("|"), theirs: parts.map((p) => p.theirs).join("|") })),
}));

describe("regularLanguage", () => {
  it("holds what JavaScript's RegExp matches whole, and counts it once", () => {
    const words = sequencesUpTo(5, 3).map((y) => ({ y, text: y.map((label) => LETTERS[label]).join("") }));
    let nontrivial = 0;
    fc.assert(fc.property(pattern, ({ ours, theirs }) => {
      const language = regularLanguage(ours, LABELS), expression = new RegExp(`^(?:${theirs})$`);
      const counts = new Array<number>(6).fill(0);
      const wrong = words.filter(({ y, text }) => {
        const matches = expression.test(text);
        if (matches) counts[y.length]++;
        return holds(language, y) !== matches;
      });
      expect(wrong, ours).toEqual([]);
      expect(counts.map((_, T) => countAccepted(language, T))).toEqual(counts.map(BigInt));
      if (counts.filter((n) => n > 0).length >= 2) nontrivial++;
    }), { seed: 5, numRuns: 400 });
    expect(nontrivial).toBeGreaterThan(100);
  });

  it("does not count ambiguous readings twice", () => {
    // Paths of the expression itself: 2^T and more.
    for (const text of ["(A | A)*", "(A* A*)*", "(A | A A | A A A)*", "A* | A* | (A A)* A?"]) expect(countAccepted(regularLanguage(text, ["A", "B"]), 30)).toBe(1n);
    expect(countAccepted(regularLanguage(".* A .* | .* B .*", ["A", "B"]), 40)).toBe(2n ** 40n);
  });

  it("is the same value for expressions of the same language", () => {
    const labels = ["A", "B", "C"], same = [["A*", "() | A+"], ["(A B)* A", "A (B A)*"], ["(A* B*)*", "[A B]*"], ["A{2,4}", "A A (A A?)?"], ["[^A]", "B|C"], [".{0}", ""], ["(A|B)* [^A B]{0,0}", "[^C]*"]];
    for (const [a, b] of same) expect(regularLanguage(a, labels)).toEqual(regularLanguage(b, labels));
  });

  it("stops where states explode, and where a pattern asks for too many", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    // The 13th label from the end: 2^13 sets of states.
    expect(regularLanguage(".* A .{11}", ["A", "B"]).states).toBe(4096);
    expect([
      refused(() => regularLanguage(".* A .{12}", ["A", "B"], { maxStates: 8000 })),
      refused(() => regularLanguage("((A{1000}){1000}){1000}", ["A", "B"])),
      refused(() => regularLanguage("(){999999999}", ["A", "B"])),
    ]).toMatchInlineSnapshot(`
      [
        "regularLanguage: expected \`pattern\` with at most 8000 states, got more. Smaller counts, or fewer of them at once, need fewer states",
        "regularLanguage: expected \`pattern\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
        "regularLanguage: expected \`pattern\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
      ]
    `);
  });

  it("has messages that say where a pattern goes wrong", () => {
    const refused = (pattern: string, labels = ["O", "B-PER", "I-PER"]): string => { try { regularLanguage(pattern, labels); } catch (error) { return (error as Error).message; } throw new Error(`${pattern} was accepted`); };
    expect([
      ...["O B-PRE", "O* (B-PER", "O )", "* O", "O**", "O{2}?", "O{3,2}", "O{,2}", "O{", "[O", "[O *]", "[O [O]]", "O ^", "\"O", "O \"", "O |* O", "{2}", "]", "\"*\""].map((pattern) => refused(pattern)),
      refused("A", []), refused("A", ["A", "B", "A"]),
    ]).toMatchInlineSnapshot(`
      [
        "regularLanguage: expected \`pattern\` over the labels O, B-PER, I-PER, got "B-PRE" at 2",
        "regularLanguage: expected \`pattern\` with ) at the end of a group, got its end",
        "regularLanguage: expected \`pattern\` with a ( for each ), got ")" at 2",
        "regularLanguage: expected \`pattern\` with a label, a set or a group here, got "*" at 0",
        "regularLanguage: expected \`pattern\` with one count after a part; put ( ) around what is counted twice, got "*" at 2",
        "regularLanguage: expected \`pattern\` with one count after a part; put ( ) around what is counted twice, got "?" at 4",
        "regularLanguage: expected \`pattern\` with {m,n} where m <= n, got "{3,2}" at 1",
        "regularLanguage: expected \`pattern\` of names, "names", | * + ? {m,n} . [ ] [^ ] ( ), got "{,2}" at 1",
        "regularLanguage: expected \`pattern\` of names, "names", | * + ? {m,n} . [ ] [^ ] ( ), got "{" at 1",
        "regularLanguage: expected \`pattern\` with names and then ] in a set, got its end",
        "regularLanguage: expected \`pattern\` with names and then ] in a set, got "*" at 3",
        "regularLanguage: expected \`pattern\` with names and then ] in a set, got "[" at 3",
        "regularLanguage: expected \`pattern\` of names, "names", | * + ? {m,n} . [ ] [^ ] ( ), got "^" at 2",
        "regularLanguage: expected \`pattern\` of names, "names", | * + ? {m,n} . [ ] [^ ] ( ), got "\\"O" at 0",
        "regularLanguage: expected \`pattern\` of names, "names", | * + ? {m,n} . [ ] [^ ] ( ), got "\\"" at 2",
        "regularLanguage: expected \`pattern\` with a label, a set or a group here, got "*" at 3",
        "regularLanguage: expected \`pattern\` with a label, a set or a group here, got "{2}" at 0",
        "regularLanguage: expected \`pattern\` with a label, a set or a group here, got "]" at 0",
        "regularLanguage: expected \`pattern\` over the labels O, B-PER, I-PER, got "*" at 0",
        "regularLanguage: expected \`labels\` of at least one name, got none",
        "regularLanguage: expected \`labels\` with each name once, got "A" at index 0 and 2",
      ]
    `);
    expect(() => regularLanguage("A", ["A"], { maxStates: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: regularLanguage: expected \`maxStates\` an integer in [1, 16777216], got 0]`);
  });
});
