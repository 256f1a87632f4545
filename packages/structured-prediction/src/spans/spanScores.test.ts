import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readSpans, spanScores } from "./spanScores.ts";

/** Posts of the test set of WNUT-17: words, gold labels and those of the seven systems (data/wnut17, CC BY 4.0). */
function wnut(): { systems: string[]; posts: { words: string[]; labels: string[][] }[] } {
  const lines = gunzipSync(readFileSync(new URL("../../../../data/wnut17/test.tsv.gz", import.meta.url))).toString().split("\n");
  const posts: { words: string[]; labels: string[][] }[] = [{ words: [], labels: [] }];
  for (const line of lines.slice(1)) {
    const [word, ...labels] = line.split("\t");
    const post = posts.at(-1)!;
    if (line === "") posts.push({ words: [], labels: [] });
    else {
      post.words.push(word);
      post.labels.push(labels);
    }
  }
  return { systems: lines[0].split("\t").slice(2), posts: posts.filter(({ words }) => words.length > 0) };
}

describe("spanScores on the submissions to WNUT-17", () => {
  const { systems, posts } = wnut();
  const column = (k: number) => posts.map(({ labels }) => readSpans(labels.map((row) => row[k]), { scheme: "BIO" }));
  const gold = column(0), tokens = posts.map(({ words }) => words);

  it("reads 1,287 posts with 1,079 spans", () => {
    expect(posts).toHaveLength(1287);
    const { byType } = spanScores(gold, gold, { tokens });
    expect(Object.fromEntries(Object.entries(byType).map(([type, { gold: count }]) => [type, count]))).toEqual({ corporation: 66, "creative-work": 142, group: 165, location: 150, person: 429, product: 127 });
  });

  // Table 5 of Derczynski et al. 2017: F1 of entities, and of surface forms.
  it.each([
    ["uh_ritual", 41.86, 40.24], ["spinningbytes", 40.78, 39.33], ["sjtu_adapt", 40.42, 37.62], ["arcada", 39.98, 37.77], ["flytxt", 38.35, 36.31], ["mic-cis", 37.06, 34.25], ["drexel_cci", 26.3, 25.26],
  ])("%s: %f, surface %f", (system, entity, surface) => {
    const scores = spanScores(column(1 + systems.indexOf(system)), gold, { tokens });
    expect([scores.f1, scores.surface!.f1].map((v) => Math.round(10000 * v) / 100)).toEqual([entity, surface]);
  });
});

describe("readSpans", () => {
  const spans = (labels: string, options = {}): string => readSpans(labels.split(" "), options).map(({ type, from, to }) => `${type} ${from}-${to}`).join(", ");

  it("reads every scheme", () => {
    expect(spans("B-a I-a B-a O B-b")).toBe("a 0-2, a 2-3, b 4-5");
    expect(spans("I-a I-a B-a I-b", { scheme: "IOB1" })).toBe("a 0-2, a 2-3, b 3-4");
    expect(spans("B-a I-a E-a S-a S-b O")).toBe("a 0-3, a 3-4, b 4-5");
    expect(spans("B-a L-a U-a O", { scheme: "BIOUL" })).toBe("a 0-2, a 2-3");
    expect(spans("B-a M-a E-a S-b")).toBe("a 0-3, b 3-4");
    expect(spans("a a b O a", { scheme: "IO" })).toBe("a 0-2, b 2-3, a 4-5");
    expect(spans("none bad bad none", { outside: "none" })).toBe("bad 1-3");
    expect(spans("bad bad", { outside: "none" })).toBe("bad 0-2");
    expect(readSpans([])).toEqual([]);
  });

  it("reads labels that break their scheme", () => {
    expect(spans("O I-a I-b B-b")).toBe("a 1-2, b 2-3, b 3-4");
    expect(spans("E-a I-a S-b B-b O", { scheme: "BIOES" })).toBe("a 0-1, a 1-2, b 2-3, b 3-4");
  });
});

describe("spanScores", () => {
  const span = (type: string, from: number, to: number) => ({ type, from, to });

  it("counts type and both ends, and forms once", () => {
    const gold = [[span("a", 0, 2), span("b", 3, 4)], [span("a", 0, 2)]], tokens = [["x", "y", "z", "w"], ["x", "y"]];
    const scores = spanScores([[span("a", 0, 2), span("a", 3, 4), span("a", 0, 2)], []], gold, { tokens });
    expect(scores).toEqual({
      correct: 1, predicted: 2, gold: 3, precision: 0.5, recall: 1 / 3, f1: 0.4,
      byType: { a: { correct: 1, predicted: 2, gold: 2, precision: 0.5, recall: 0.5, f1: 0.5 }, b: { correct: 0, predicted: 0, gold: 1, precision: 0, recall: 0, f1: 0 } },
      surface: { correct: 1, predicted: 2, gold: 2, precision: 0.5, recall: 0.5, f1: 0.5 },
    });
    expect(spanScores([], [])).toEqual({ correct: 0, predicted: 0, gold: 0, precision: 0, recall: 0, f1: 0, byType: {} });
  });

  it("says what is wrong", () => {
    expect(() => readSpans("B-PER" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: readSpans: expected \`labels\` an array of names, got String]`);
    expect(() => readSpans(["B-a", "I-a", "odd"], { scheme: "BIO" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: readSpans: expected \`labels\` of the scheme BIO: O or B-, I- and a type, got "odd". Name the label outside of spans with \`outside\`, or the \`scheme\`]`);
    expect(() => readSpans(["B-a"], { scheme: "BIOE" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: readSpans: expected \`scheme\` one of IO, IOB1, BIO, BIOES, BIOUL, BMES, got "BIOE"]`);
    expect(() => spanScores([[]], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: spanScores: expected \`gold\` of 1 texts, as predicted, got 0]`);
    expect(() => spanScores([[]], [[]], { tokens: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: spanScores: expected \`tokens\` of 1 texts, got 0]`);
    expect(() => spanScores([[span("a", 0, 2)]], [[]], { tokens: [["x"]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: spanScores: expected \`predicted\` spans within the 1 tokens of text 0, got [0, 2)]`);
  });
});
