import { describe, expect, it } from "vitest";
import { DEFAULT_TEMPLATES, FeatureTemplates, wordShape } from "./index.ts";

const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
const tokens = [["The", "DT"], ["10-year", "JJ"], ["Öl", "NN"]];

describe("FeatureTemplates", () => {
  it("replaces macros by cells of the window", () => {
    const of = (text: string, t: number) => FeatureTemplates.parse(text).attributes(tokens, t);
    expect(of("U0:%x[0,0]", 1)).toEqual(["U0:10-year"]);
    expect(of("U1:%x[-1,0]/%x[0,1]", 1)).toEqual(["U1:The/JJ"]);
    expect(of("a=%lower[0,0] b=%shape[0,0] c=%brief[0,0]", 2)).toEqual(["a=öl b=Xx c=Xx"]);
    expect(of("%prefix[0,0,2]~%suffix[ +1 , 0 , 1 ]", 1)).toEqual(["10~l"]);
    expect(of("bias", 0)).toEqual(["bias"]);
    expect(of("100 % of [%x[0,0]]", 0)).toEqual(["100 % of [The]"]);
  });

  it("has names for cells outside the sentence, whatever the macro, and no affix of a shorter word", () => {
    const of = (text: string, t: number) => FeatureTemplates.parse(text).attributes(tokens, t);
    expect(of("%x[-1,0]|%lower[-2,1]", 0)).toEqual(["_B-1|_B-2"]);
    expect(of("%suffix[2,0,3]", 2)).toEqual(["_B+2"]);
    expect(of("%prefix[0,0,3]\n%prefix[0,0,2]", 2)).toEqual(["Öl"]);
  });

  it("keeps one attribute for each template, group by group of the cells they read, and reads CRF++'s own files", () => {
    const features = FeatureTemplates.parse("# Unigram\nU00:%x[-1,0]\n\nU01:%x[0,0]\nU02:%x[-1,0]/%x[0,0]\nU03:%x[-1,0]!\n# Bigram\nB\n");
    expect([features.groups, features.columns]).toEqual([3, 1]);
    expect(features.attributes(tokens, 1)).toEqual(["U00:The", "U03:The!", "U01:10-year", "U02:The/10-year"]);
    expect(FeatureTemplates.parse("%x[0,3]").columns).toBe(4);
    expect(FeatureTemplates.parse(DEFAULT_TEMPLATES).columns).toBe(1);
  });

  it("makes the same attributes wherever the cells are the same", () => {
    const features = FeatureTemplates.parse(DEFAULT_TEMPLATES), seen = new Map<string, string>();
    // Words that look like the names of cells outside, and ones that could run together.
    const words = ["_B-1", ..."a b a b c a b _B+1 a a b c".split(" "), "a\nb", "a", "b\na", "1 =a", "_B+1", "_B-1"].map((word) => [word]);
    for (let t = 0; t < words.length; t++) {
      for (let g = 0; g < features.groups; g++) {
        const key = `${g} ${features.key(words, t, g)}`, made = features.attributesOf(words, t, g).join("\n");
        expect(seen.get(key) ?? made).toBe(made);
        seen.set(key, made);
      }
    }
  });

  it("names what is wrong, with the line", () => {
    expect(message(() => FeatureTemplates.parse("# nothing\n"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`text\` to hold at least one template, got none"`);
    expect(message(() => FeatureTemplates.parse("a\nb=%y[0,0]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 2\` to have macros among %x, %lower, %shape, %brief, %prefix, %suffix, got %y"`);
    expect(message(() => FeatureTemplates.parse("b=%x[0]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to have %x[row,column], got "%x[0]""`);
    expect(message(() => FeatureTemplates.parse("b=%x[0,0"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to have %x[row,column], got "%x[0,0""`);
    expect(message(() => FeatureTemplates.parse("b=%prefix[0,0]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to have %prefix[row,column,n], got "%prefix[0,0]""`);
    expect(message(() => FeatureTemplates.parse("b=%suffix[0,0,0]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to have %suffix[row,column,n], got "%suffix[0,0,0]""`);
    expect(message(() => FeatureTemplates.parse("b=%x[0,-1]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to have %x[row,column], got "%x[0,-1]""`);
    expect(message(() => FeatureTemplates.parse("B01:%x[0,0]"))).toMatchInlineSnapshot(`"FormatError: FeatureTemplates.parse: expected \`line 1\` to be a template of one label, got "B01:%x[0,0]": conjunctions of pairs of labels with words are not there"`);
  });
});

describe("wordShape", () => {
  it("tells cases, digits and the rest apart, in any script", () => {
    expect(["McDonald's", "3.50€", "ÉTÉ", "東京", "Δx", "😀", ""].map(wordShape)).toEqual(["XxXxxxxx'x", "d.dd€", "XXX", "xx", "Xx", "😀", ""]);
  });
});
