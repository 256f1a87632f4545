import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alignTokens, type AlignTokensOptions } from "./alignTokens.ts";
import { normalise, normalisedText, type Normalization } from "./normalisedText.ts";

const slices = (text: string, tokens: readonly string[], options: AlignTokensOptions = {}): string[] => {
  const { start, end } = alignTokens(text, tokens, options);
  return tokens.map((_, t) => text.slice(start[t], end[t]));
};

describe("alignTokens", () => {
  it("gives back what was written", () => {
    const bert = { lowercase: true, stripAccents: true };
    expect(slices("Zoë's CAFÉ", ["[CLS]", "zoe", "'", "s", "ca", "##fe", "[SEP]"], bert)).toEqual(["", "Zoë", "'", "s", "CA", "FÉ", ""]);
    expect(slices("e\u0301te\u0301!", ["ete", "!"], bert)).toEqual(["e\u0301te\u0301", "!"]);
    expect(slices("ΟΔΟΣ", ["οδος"], bert)).toEqual(["ΟΔΟΣ"]);
    expect(slices("ΟΔΟΣ", ["οδοσ"], bert)).toEqual(["ΟΔΟΣ"]);
    expect(slices("ﬁne ½", ["▁fin", "e", "▁1⁄2"], { form: "NFKC" })).toEqual(["ﬁn", "e", "½"]);
    expect(slices("ﬁne", ["▁f", "ine"], { form: "NFKC" })).toEqual(["ﬁ", "ﬁne"]); // half of a ligature has all of it
    expect(slices(" a  b", ["▁a", "▁b"])).toEqual(["a", "b"]);
    expect(slices("a   b", ["▁a", "▁▁", "▁b"])).toEqual(["a", "  ", "b"]);
    expect(slices("hi\n there", ["hi", "Ċ", "Ġthere"])).toEqual(["hi", "\n", "there"]);
  });

  it("shares a character among its bytes", () => {
    expect(slices("a😀b", ["a", "ðŁĺ", "Ģ", "b"], { kind: "byte-level" })).toEqual(["a", "😀", "😀", "b"]);
    expect(slices("x☃y", ["▁x", "<0xE2>", "<0x98>", "<0x83>", "y"])).toEqual(["x", "☃", "☃", "☃", "y"]);
    const { codePointStart, codePointEnd, start } = alignTokens("😀 b", ["ðŁĺĢ", "Ġb"]);
    expect([Array.from(codePointStart), Array.from(codePointEnd), Array.from(start)]).toEqual([[0, 2], [1, 3], [0, 3]]);
  });

  it("gives unknown tokens what the others leave", () => {
    expect(slices("a ☃☃ b!", ["a", "[UNK]", "b", "!"])).toEqual(["a", "☃☃", "b", "!"]);
    expect(slices("☃!", ["[UNK]", "!"])).toEqual(["☃", "!"]);
    expect(slices("x☃☃y", ["▁x", "<unk>", "y"])).toEqual(["x", "☃☃", "y"]);
    expect(slices("☃x☃", ["<unk>", "x", "<unk>", "</s>"], { kind: "sentencepiece" })).toEqual(["☃", "x", "☃", ""]);
    expect(slices("[SEP] a", ["[CLS]", "[SEP]", "a", "[SEP]"])).toEqual(["", "[SEP]", "a", ""]);
    expect(slices("a ? b", ["a", "¿", "b"], { unknown: ["¿"] })).toEqual(["a", "?", "b"]);
  });

  it("knows words, and which tokens stand for text", () => {
    const { words, where } = alignTokens("Ada's cat", ["[CLS]", "Ada", "'", "s", "ca", "##t", "[SEP]", "[PAD]"]);
    expect([Array.from(words), Array.from(where)]).toEqual([[-1, 0, 0, 0, 1, 1, -1, -1], [0, 1, 1, 1, 1, 1, 0, 0]]);
    expect(Array.from(alignTokens("a b", ["Ġa", "Ġb"]).words)).toEqual([0, 1]);
    expect(Array.from(alignTokens("", ["[CLS]", "[SEP]"]).where)).toEqual([0, 0]);
    expect(alignTokens("", []).start).toHaveLength(0);
  });

  it("takes the tokenizer's own offsets, in its unit", () => {
    const text = "a😀é", tokens = ["[CLS]", "a", "😀", "é", "[SEP]"];
    const of = (offsets: number[][], unit?: "codePoint" | "byte"): string[] => slices(text, tokens, { offsets, ...(unit && { unit }) });
    expect(of([[0, 0], [0, 1], [1, 3], [3, 4], [0, 0]])).toEqual(["", "a", "😀", "é", ""]);
    expect(of([[0, 0], [0, 1], [1, 2], [2, 3], [0, 0]], "codePoint")).toEqual(["", "a", "😀", "é", ""]);
    expect(of([[0, 0], [0, 1], [1, 3], [3, 7], [0, 0]], "byte")).toEqual(["", "a", "😀", "😀é", ""]);
    expect(Array.from(alignTokens(text, tokens, { offsets: [[0, 0], [0, 1], [1, 3], [3, 4], [0, 0]] }).where)).toEqual([0, 1, 1, 1, 0]);
  });

  it("normalises piece by piece what the whole text normalises to", () => {
    const characters = fc.constantFrom(..."aÉéßİΣςãą ﬁ½ｶﾞ가각ᄀ", "\u0301", "\u0323", "\u093c", "\u1161", "\u11a8", "\uff9e", "क", "\u094d", "😀", "\u200d", "\u0f73", "\u0344", "Å", "\u3099", "か");
    fc.assert(fc.property(fc.array(characters, { maxLength: 12 }), fc.record({ form: fc.constantFrom(undefined, "NFC", "NFD", "NFKC", "NFKD"), lowercase: fc.boolean(), stripAccents: fc.boolean() }), (list, normalization) => {
      const text = list.join(""), { bytes, pieceOf, start, end, pieces } = normalisedText(text, normalization as Normalization);
      expect(new TextDecoder().decode(bytes)).toBe(normalise(text, normalization as Normalization));
      for (let p = 0; p < pieces; p++) {
        expect(end[p]).toBeGreaterThan(start[p]);
        if (p > 0) expect(start[p]).toBeGreaterThanOrEqual(end[p - 1]);
      }
      expect(pieceOf.every((p, k) => k === 0 || p === pieceOf[k - 1] || p === pieceOf[k - 1] + 1)).toBe(true);
    }), { seed: 7, numRuns: 500 });
  });

  it("covers the text by the slices of bytes, in order", () => {
    const keep = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    let next = 256;
    const alphabet = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(keep(byte) ? byte : next++));
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), (points, cuts) => {
      const text = String.fromCodePoint(...points);
      const bytes = [...new TextEncoder().encode(text)].map((byte) => alphabet[byte]), tokens: string[] = [];
      for (let at = 0, k = 0; at < bytes.length; k++) tokens.push(bytes.slice(at, (at += cuts[k % cuts.length])).join(""));
      const { start, end } = alignTokens(text, tokens, { kind: "byte-level" });
      let covered = 0;
      let rest = "";
      for (let t = 0; t < tokens.length; t++) {
        rest += text.slice(covered, start[t]);
        covered = Math.max(covered, end[t]);
      }
      // Only white space is left out.
      expect((rest + text.slice(covered)).trim()).toBe("");
      expect(start.every((at, t) => t === 0 || at >= start[t - 1])).toBe(true);
    }), { seed: 8, numRuns: 300 });
  });

  it("never hangs: what fits in too many ways is an error", () => {
    const text = "a".repeat(3000);
    expect(() => alignTokens(text, [...Array.from({ length: 1500 }, () => "<unk>"), "▁b"])).toThrow(/fit/);
    expect(() => alignTokens(text, [...Array.from({ length: 200 }, () => ["<unk>", "a", "<s>"]).flat(), "b"], { kind: "sentencepiece" })).toThrow(/fit/);
  });

  it("says what is wrong", () => {
    expect(() => alignTokens(3 as never, [])).toThrowErrorMatchingInlineSnapshot(`[TypeError: alignTokens: expected \`text\` a string, got Number]`);
    expect(() => alignTokens("a", "a" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: alignTokens: expected \`tokens\` an array of strings, got String]`);
    expect(() => alignTokens("a", [1 as never])).toThrowErrorMatchingInlineSnapshot(`[TypeError: alignTokens: expected \`tokens[0]\` a string, got Number]`);
    expect(() => alignTokens("Hello there", ["hello", "there"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`tokens\` that fit the text, got "hello" at index 0 where the text has "Hello there". Say how the tokenizer normalises: \`lowercase\`, \`stripAccents\`, \`form\`, \`kind\`]`);
    expect(() => alignTokens("hello there", ["hello"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`tokens\` that cover the text, got "there" after the last one. Pass \`truncated: true\` where the tokens were cut off]`);
    expect(() => alignTokens("hello", ["hello", "there"])).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`tokens\` that fit the text, got "there" at index 1 where the text has the end of the text. Say how the tokenizer normalises: \`lowercase\`, \`stripAccents\`, \`form\`, \`kind\`]`);
    expect(() => alignTokens("ab", ["a", "世"], { kind: "byte-level" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`tokens\` that fit the text, got "世" at index 1 where the text has "b". Say how the tokenizer normalises: \`lowercase\`, \`stripAccents\`, \`form\`, \`kind\`]`);
    expect(() => alignTokens("ab", ["ab"], { offsets: [[0, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`offsets[0, 1]\` an integer in [0, 2], got 3]`);
    expect(() => alignTokens("ab", ["a", "b"], { offsets: [[1, 2], [0, 1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`offsets\` in the order of the text, got [0, 1] after 2 at index 1]`);
    expect(() => alignTokens("ab", ["a", "b"], { offsets: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`offsets\` of shape [2, 2], got [1, 2]]`);
    expect(() => alignTokens("ab", ["ab"], { offsets: [[0, 1]], unit: "char" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`unit\` "utf16", "codePoint" or "byte", got "char"]`);
    expect(slices("hello there", ["hello"], { truncated: true })).toEqual(["hello"]);
  });
});
