import { SpanDecoder } from "@logits/structured-prediction/spans";
import { describe, expect, it } from "vitest";
import { FakeOnnxTensor } from "./fixtures/runtimes.ts";
import { guardSpans, type SpanDecision } from "./guardSpans.ts";
import type { Pipeline } from "./pipeline.ts";

const LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];
/** How strongly each word speaks for each label. */
const WORDS: Readonly<Record<string, readonly number[]>> = { ada: [0, 9, 0, 0, 0], lovelace: [0, 0, 9, 0, 0], london: [0, 0, 0, 9, 0], maybe: [0, 0, 0, 1.5, 0], turing: [0, 2.5, 0, 0, 0] };

/** As Transformers.js makes token-classification pipelines: words in lower case, with [CLS] and [SEP], at most 8 tokens. */
class FakeTokens {
  declare readonly tokenizer: { tokenize(text: string, options: object): string[] };
  declare readonly model: (inputs: unknown) => Promise<{ logits: FakeOnnxTensor }>;

  constructor(parts: { task: string; model: unknown; tokenizer?: unknown }) {
    const closure = ((texts: unknown) => closure.call(texts)) as unknown as FakeTokens & Record<string, unknown>;
    Object.setPrototypeOf(closure, FakeTokens.prototype as object);
    return Object.assign(closure, parts) as FakeTokens;
  }

  async call(texts: unknown): Promise<unknown> {
    return this.model(this.tokenizer.tokenize(String(texts), { add_special_tokens: true }).slice(0, 8));
  }
}

const made: FakeOnnxTensor[] = [];
function fake(options: { task?: string; id2label?: object; shape?: readonly number[]; tokenizer?: unknown } = {}): Pipeline {
  const { task = "token-classification", id2label = Object.fromEntries(LABELS.entries()), shape } = options;
  const model = Object.assign(async (tokens: string[]) => {
    const logits = new FakeOnnxTensor(tokens.flatMap((token) => WORDS[token] ?? [4, 0, 0, 0, 0]), shape ?? [1, tokens.length, 5]);
    made.push(logits);
    return { logits };
  }, { config: { id2label } });
  const tokenizer = "tokenizer" in options ? options.tokenizer : { all_special_tokens: ["[CLS]", "[SEP]", "[UNK]"], tokenize: (text: string) => ["[CLS]", ...(text.toLowerCase().match(/[a-z]+|[^\sa-z]/gu) ?? []), "[SEP]"] };
  return new FakeTokens({ task, model, tokenizer }) as unknown as Pipeline;
}

const decoder = new SpanDecoder(LABELS);
const short = (pieces: readonly SpanDecision[]) => pieces.map((piece) => [piece.kind, piece.text, piece.start, piece.end, ...("type" in piece ? [piece.type, Number(piece.probability.toFixed(3))] : [])]);

describe("guardSpans", () => {
  it("gives spans of the text as it was written, with the decoder's exact probability", async () => {
    const pieces = await guardSpans(fake(), decoder)("Ada LOVELACE, London!");
    const logits = [WORDS.ada, WORDS.lovelace, [4, 0, 0, 0, 0], WORDS.london, [4, 0, 0, 0, 0]].map((row) => [...row]);
    const { probability } = decoder.decode(logits);
    expect(short(pieces)).toEqual([["span", "Ada LOVELACE", 0, 12, "PER", Number(probability[0].toFixed(3))], ["span", "London", 14, 20, "LOC", Number(probability[1].toFixed(3))]]);
    expect(made.every(({ location }) => location === "none")).toBe(true);
  });

  it("refuses what is not sure, and tells of it", async () => {
    const decide = guardSpans(fake(), decoder, { threshold: 0.9, least: 0.3 });
    const outside = [4, 0, 0, 0, 0], exact = decoder.decode([outside, [...WORDS.maybe], [...WORDS.ada], outside, [...WORDS.turing], outside], { where: Uint8Array.of(0, 1, 1, 1, 1, 0) });
    const p = (type: string, from: number): number => Number(exact.probabilityOf({ type, from, to: from + 1 }).toFixed(3));
    expect(short(await decide("maybe Ada or Turing"))).toEqual([["unsure", "maybe", 0, 5, "LOC", p("LOC", 1)], ["span", "Ada", 6, 9, "PER", p("PER", 2)], ["unsure", "Turing", 13, 19, "PER", p("PER", 4)]]);
    expect(short(await guardSpans(fake(), decoder, { threshold: 0.7 })("maybe"))[0].slice(0, 2)).toEqual(["unsure", "maybe"]);
    expect(await decide(["", "London"])).toHaveLength(2);
    expect((await decide(["", "London"]))[0]).toEqual([]);
  });

  it("takes a calibrator: thresholds are of what it gives", async () => {
    const halved = { at: (p: number) => p / 2 };
    expect(short(await guardSpans(fake(), decoder, { calibrator: halved })("Ada"))).toEqual([["unsure", "Ada", 0, 3, "PER", 0.5]]);
    expect(short(await guardSpans(fake(), decoder, { calibrator: halved, threshold: 0.4 })("Ada"))[0][0]).toBe("span");
  });

  it("says what the model did not see", async () => {
    const pieces = await guardSpans(fake(), decoder)("one two three four five six Ada  seven eight");
    expect(pieces.map(({ kind, text, start, end }) => [kind, text, start, end])).toEqual([["span", "Ada", 28, 31], ["unread", "seven eight", 33, 44]]);
  });

  it("says what it refuses", async () => {
    expect(() => guardSpans({} as never, decoder)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guardSpans: expected \`pipeline\` a Transformers.js pipeline, got Object. Await it: await pipeline(task, model)]`);
    expect(() => guardSpans(fake({ task: "text-classification" }), decoder)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guardSpans: expected \`pipeline\` of the task token-classification, got text-classification]`);
    expect(() => guardSpans(fake(), {} as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guardSpans: expected \`decoder\` a SpanDecoder, got Object]`);
    expect(() => guardSpans(fake({ id2label: { 0: "O" } }), decoder)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guardSpans: expected \`decoder\` of the 1 labels of the model, got 5]`);
    expect(() => guardSpans(fake({ id2label: Object.fromEntries([...LABELS].reverse().entries()) }), decoder)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guardSpans: expected \`decoder\` of the labels of the model, in their order, got "O" at index 0, where it has "I-LOC"]`);
    expect(() => guardSpans(fake(), decoder, { threshold: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guardSpans: expected \`threshold\` in (0, 1], got 0]`);
    expect(() => guardSpans(fake(), decoder, { least: 0.8 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guardSpans: expected \`least\` in (0, threshold], got 0.8]`);
    expect(() => guardSpans(fake({ tokenizer: undefined }), decoder)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guardSpans: expected \`pipeline\` with a tokenizer that has tokenize() and all_special_tokens, got undefined]`);
    await expect(guardSpans(fake(), decoder)(3 as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guardSpans: expected \`input\` a text, or an array of texts, got Number]`);
    await expect(guardSpans(fake({ shape: [3, 5] }), decoder)("Ada")).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guardSpans: expected \`logits\` of shape [1, T, 5], got [3, 5]]`);
    await expect(guardSpans(fake({ shape: [1, 3, 5], tokenizer: { all_special_tokens: [], tokenize: (text: string) => text.split("") } }), decoder)("Ada")).resolves.toEqual([]);
    await expect(guardSpans(fake(), decoder, { lowercase: false })("Ada")).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: alignTokens: expected \`tokens\` that fit the text, got "ada" at index 1 where the text has "Ada". Say how the tokenizer normalises: \`lowercase\`, \`stripAccents\`, \`form\`, \`kind\`]`);
  });
});
