import { describe, expect, it } from "vitest";
import type { Automaton } from "../automaton.ts";
import { intersect } from "./algebra.ts";
import { cardinality } from "./counts.ts";
import { holds, sequences } from "./enumerate.ref.ts";
import { countAccepted } from "./membership.ts";
import { spanCount, spanLength, tagScheme, type TagScheme } from "./tagScheme.ts";

const SCHEMES = ["BIO", "IOB1", "BIOES", "BIOUL", "BMES"] as const;
interface Span { readonly from: number; readonly to: number; readonly type: string }

/** Every way to lay spans, or single rows outside, over T rows. */
function segmentations(T: number, types: readonly string[], outside: boolean, from = 0): Span[][] {
  if (from === T) return [[]];
  const out = outside ? segmentations(T, types, outside, from + 1) : [];
  for (let to = from + 1; to <= T; to++) for (const rest of segmentations(T, types, outside, to)) for (const type of types) out.push([{ from, to, type }, ...rest]);
  return out;
}

/** The definition of a scheme: how spans are written. */
function written(T: number, spans: readonly Span[], scheme: TagScheme): string[] {
  const tags = new Array<string>(T).fill("O"), [begin, inside, end, single] = { BIO: "BIIB", IOB1: "IIII", BIOES: "BIES", BIOUL: "BILU", BMES: "BMES" }[scheme];
  for (const [k, { from, to, type }] of spans.entries()) {
    const name = (prefix: string): string => (type === "" ? prefix : `${prefix}-${type}`);
    for (let t = from; t < to; t++) tags[t] = name(to - from === 1 ? single : t === from ? begin : t === to - 1 ? end : inside);
    if (scheme === "IOB1" && k > 0 && spans[k - 1].to === from && spans[k - 1].type === type) tags[from] = name("B");
  }
  return tags;
}

function labelsOf(scheme: TagScheme, types: readonly string[], outside: boolean): string[] {
  const prefixes = { BIO: "BI", IOB1: "BI", BIOES: "BIES", BIOUL: "BILU", BMES: "BMES" }[scheme];
  return [...(outside ? ["O"] : []), ...types.flatMap((type) => [...prefixes].map((prefix) => (type === "" ? prefix : `${prefix}-${type}`)))];
}

function same(language: Automaton, labels: readonly string[], T: number, want: readonly string[][]): void {
  const got = sequences(T, labels.length).filter((y) => holds(language, y)).map((y) => y.map((label) => labels[label]).join(" "));
  expect(got.toSorted()).toEqual([...new Set(want.map((tags) => tags.join(" ")))].toSorted());
  expect(countAccepted(language, T)).toBe(BigInt(got.length));
}

const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };

describe("tag schemes", () => {
  it.each(SCHEMES)("%s holds what its spans are written as, each tagging once, with and without O", (scheme) => {
    for (const [types, outside] of [[["X", "Y-Z"], true], [["X"], true], [["X", "Y-Z"], false], [[""], false], [[""], true]] as const) {
      const labels = labelsOf(scheme, types, outside);
      for (let T = 0; T <= (labels.length > 5 ? 4 : 5); T++) same(tagScheme(labels, scheme), labels, T, segmentations(T, types, outside).map((spans) => written(T, spans, scheme)));
    }
  });

  it.each(SCHEMES)("%s counts spans, and bounds their lengths", (scheme) => {
    const types = ["X", "Y"], labels = labelsOf(scheme, types, true);
    for (const T of [0, 1, 4]) {
      const all = segmentations(T, types, true);
      for (const [wanted, atLeast, atMost] of [[["X"], 1, 1], [["X"], 0, 2], [undefined, 2, 3], [["X", "Y"], 1, Infinity], [["Y"], 0, 0]] as const) {
        const meant = ({ type }: Span): boolean => wanted === undefined || (wanted as readonly string[]).includes(type), options = { ...(wanted && { types: wanted }), atLeast, atMost };
        same(spanCount(labels, scheme, options), labels, T, all.filter((spans) => spans.filter(meant).length >= atLeast && spans.filter(meant).length <= atMost).map((spans) => written(T, spans, scheme)));
        same(spanLength(labels, scheme, options), labels, T, all.filter((spans) => spans.filter(meant).every(({ from, to }) => to - from >= atLeast && to - from <= atMost)).map((spans) => written(T, spans, scheme)));
      }
    }
  });

  it.each(SCHEMES)("%s with open edges holds the windows of longer taggings", (scheme) => {
    const types = ["X"], labels = labelsOf(scheme, types, true), T = 3;
    const windows = (before: number, after: number, keep: (spans: readonly Span[]) => boolean): string[][] => segmentations(before + T + after, types, true).filter(keep).map((spans) => written(before + T + after, spans, scheme).slice(before, before + T));
    for (const [openStart, openEnd] of [[true, false], [false, true], [true, true]]) {
      same(tagScheme(labels, scheme, { openStart, openEnd }), labels, T, windows(openStart ? 2 : 0, openEnd ? 2 : 0, () => true));
      for (const [atLeast, atMost] of [[2, 2], [2, 3], [3, Infinity], [1, 1], [0, 0]]) {
        const language = spanLength(labels, scheme, { atLeast, atMost, openStart, openEnd });
        same(language, labels, T, windows(openStart ? 3 : 0, openEnd ? 3 : 0, (spans) => spans.every(({ from, to }) => to - from >= atLeast && to - from <= atMost)));
      }
      // The parts of spans that lie in the rows.
      const [before, after] = [openStart ? 2 : 0, openEnd ? 2 : 0];
      same(spanCount(labels, scheme, { atMost: 1, openStart, openEnd }), labels, T, windows(before, after, () => true).filter((tags) => countIn(tags, scheme) <= 1));
    }
  });

  it("has closed counts: compositions in BMES, a recurrence in BIO", () => {
    // A text of T letters in words: 2^(T - 1).
    expect(countAccepted(tagScheme(["B", "M", "E", "S"], "BMES"), 100)).toBe(2n ** 99n);
    // Ways to lay spans of k types: a(T) = a(T - 1) + k (a(0) + ... + a(T - 1)), so a(T) = (k + 2) a(T - 1) - a(T - 2).
    const k = 3n, types = ["A", "B", "C"], counts = [1n, k + 1n];
    for (let T = 2; T <= 60; T++) counts.push((k + 2n) * counts[T - 1] - counts[T - 2]);
    expect(countAccepted(tagScheme(labelsOf("BIO", types, true), "BIO"), 60)).toBe(counts[60]);
    // BIOES writes the same spans: the same count.
    for (const scheme of ["IOB1", "BIOES", "BIOUL"] as const) expect(countAccepted(tagScheme(labelsOf(scheme, types, true), scheme), 60)).toBe(counts[60]);
  });

  it("has as many states as its rules need", () => {
    const types = Array.from({ length: 8 }, (_, k) => `T${k}`);
    // Outside, and inside one of 8 types.
    expect(tagScheme(labelsOf("BIOES", types, true), "BIOES").states).toBe(9);
    expect(tagScheme(labelsOf("BIO", types, true), "BIO").states).toBe(9);
    expect(tagScheme(labelsOf("IOB1", types, true), "IOB1").states).toBe(9);
  });

  it("takes other separators, other names for outside, and labels that are never there", () => {
    const names = ["[PAD]", "B_PER", "I_PER", "X", "O"];
    const language = tagScheme(names, "BIO", { separator: "_", outside: ["O", "X"], never: ["[PAD]"] });
    same(language, names, 3, sequences(3, 5).map((y) => y.map((label) => names[label])).filter((tags) => !tags.includes("[PAD]") && tags.every((tag, t) => tag !== "I_PER" || (t > 0 && /_PER/.test(tags[t - 1])))));
    // Spans that cover exactly: at least one span and its labels.
    const both = intersect(spanCount(names, "BIO", { separator: "_", outside: ["O", "X"], never: ["[PAD]"], atLeast: 1 }), cardinality(names, { of: ["X"], atMost: 0 }));
    expect(countAccepted(both, 2)).toBe(4n);
  });

  it("names the label that does not fit", () => {
    expect([
      refused(() => tagScheme(["O", "B-PER", "PER"], "BIO")), refused(() => tagScheme(["O", "B-PER", "I-PER", "E-PER"], "BIO")), refused(() => tagScheme(["O", "B-"], "BIO")), refused(() => tagScheme(["B_PER"], "BIO")),
      refused(() => tagScheme(["O", "B-PER", "I-PER"], "BIOES")), refused(() => tagScheme(["O", "B-PER", "I-LOC"], "BIO")), refused(() => tagScheme(["O", "B-PER"], "IOB1")), refused(() => tagScheme(["B-PER", "I-PER"], "BMES")),
      refused(() => tagScheme([], "BIO")), refused(() => tagScheme(["O", "O"], "BIO")), refused(() => tagScheme(["O"], "IOBES" as TagScheme)), refused(() => tagScheme(["O"], "BIO", { never: ["X"] })), refused(() => tagScheme(["O"], "BIO", { separator: "" })),
      refused(() => spanCount(["O", "B-PER", "I-PER"], "BIO", { types: ["LOC"] })), refused(() => spanLength(["O", "B-PER", "I-PER"], "BIO", { atLeast: 2, atMost: 1 })), refused(() => spanCount(["O", "B-PER", "I-PER"], "BIO", { atMost: 70000 })),
    ]).toMatchInlineSnapshot(`
      [
        "tagScheme: expected \`labels\` of BIO: O, B-TYPE, I-TYPE, got "PER" at index 2. Name it in \`outside\` or \`never\`, or give its scheme",
        "tagScheme: expected \`labels\` of BIO: O, B-TYPE, I-TYPE, got "E-PER" at index 3. Name it in \`outside\` or \`never\`, or give its scheme",
        "tagScheme: expected \`labels\` of BIO: O, B-TYPE, I-TYPE, got "B-" at index 1. Name it in \`outside\` or \`never\`, or give its scheme",
        "tagScheme: expected \`labels\` of BIO: O, B-TYPE, I-TYPE, got "B_PER" at index 0. Name it in \`outside\` or \`never\`, or give its scheme",
        "tagScheme: expected \`labels\` that can all stand in sequences of BIOES, got "B-PER" at index 1, which cannot with these others. Name it in \`never\`, or give another scheme",
        "tagScheme: expected \`labels\` that can all stand in sequences of BIO, got "I-LOC" at index 2, which cannot with these others. Name it in \`never\`, or give another scheme",
        "tagScheme: expected \`labels\` that can all stand in sequences of IOB1, got "B-PER" at index 1, which cannot with these others. Name it in \`never\`, or give another scheme",
        "tagScheme: expected \`labels\` of BMES: O, B-TYPE, M-TYPE, E-TYPE, S-TYPE, got "I-PER" at index 1. Name it in \`outside\` or \`never\`, or give its scheme",
        "tagScheme: expected \`labels\` of at least one name, got none",
        "tagScheme: expected \`labels\` with each name once, got "O" at index 0 and 1",
        "tagScheme: expected \`scheme\` one of BIO, IOB1, BIOES, BIOUL, BMES, got "IOBES"",
        "tagScheme: expected \`never[0]\` one of the labels, got "X"",
        "tagScheme: expected \`separator\` of at least one character, got none",
        "spanCount: expected \`types[0]\` one of PER, got "LOC"",
        "spanLength: expected \`atMost\` an integer in [2, 2147483647], got 1",
        "spanCount: expected \`atMost\` with at most 65536 states, got more. Smaller counts, or fewer of them at once, need fewer states",
      ]
    `);
  });
});

/** Spans that can be seen in tags, those that an edge cuts too. */
function countIn(tags: readonly string[], scheme: TagScheme): number {
  return tags.filter((tag, t) => tag !== "O" && (/^[BSU]/.test(tag) || t === 0 || (scheme === "IOB1" && tags[t - 1] === "O"))).length;
}
