import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DEFAULT_TEMPLATES, FeatureTemplates, SequenceTagger, formatConllu, labelledBy, parseConllu, scoreTags, type Columns, type LabelledSentence, type TaggerOptions } from "./index.ts";

const textOf = (path: string | URL): string => gunzipSync(readFileSync(path)).toString();
const tagged = (text: string): LabelledSentence[] => labelledBy(parseConllu(text), 3, [1]);
const accuracy = (tagger: SequenceTagger, sentences: readonly LabelledSentence[]): number => scoreTags(tagger.tagAll(sentences.map(({ tokens }) => tokens)), sentences.map(({ labels }) => labels)).accuracy;

describe("parts of speech of English web text, an extract", () => {
  const folder = new URL("../../../../data/ud-english-ewt/", import.meta.url);
  const train = tagged(textOf(new URL("train-extract.conllu.gz", folder))), test = tagged(textOf(new URL("test-extract.conllu.gz", folder)));

  it("is read and written to the same bytes", () => {
    const text = textOf(new URL("test-extract.conllu.gz", folder));
    expect(formatConllu(parseConllu(text))).toBe(text);
    expect([train.length, train.reduce((sum, { labels }) => sum + labels.length, 0), test.length, test.reduce((sum, { labels }) => sum + labels.length, 0)]).toEqual([1568, 26023, 416, 5113]);
  });

  it("is scored as by the definition: sums of the weights of the attributes", () => {
    const tagger = SequenceTagger.fit(train, { method: "averaged-perceptron", epochs: 1 }), templates = FeatureTemplates.parse(DEFAULT_TEMPLATES), known = new Map<string, { c: number; weight: number }[]>();
    for (const { attribute, label, weight } of tagger.weights()) known.set(attribute, [...(known.get(attribute) ?? []), { c: tagger.labels.indexOf(label), weight }]);
    const C = tagger.labels.length;
    for (const { tokens } of test) {
      const want = new Float64Array(tokens.length * C), columns = tokens as readonly Columns[];
      for (let t = 0; t < tokens.length; t++) for (const attribute of templates.attributes(columns, t)) for (const { c, weight } of known.get(attribute) ?? []) want[t * C + c] += weight;
      // One rounding to float32 of sums of up to some dozens.
      expectClose(tagger.emissions(tokens).data, want, { atol: 4e-6 });
    }
  });

  // The floors are two standard errors of 5,113 tokens (0.8 points) under the figures of the page: 92.16 % after 25 steps, 90.83 %.
  it.each([
    [{ maxIterations: 12 }, 0.913],
    [{ method: "averaged-perceptron", epochs: 6 }, 0.9],
  ] as const)("is tagged after %o", (options: TaggerOptions, floor) => {
    expect(accuracy(SequenceTagger.fit(train, options), test)).toBeGreaterThan(floor);
  });
});

const whole = process.env.LOGITS_EWT ?? "";
describe.skipIf(!process.env.LOGITS_SLOW || !existsSync(`${whole}/en_ewt-ud-train.conllu.gz`))("parts of speech of English web text, the whole treebank in the folder LOGITS_EWT", () => {
  it("is tagged with at least 94.88 % of the test tokens right", { timeout: 600_000 }, () => {
    const [train, dev, test] = ["train", "dev", "test"].map((part) => tagged(textOf(`${whole}/en_ewt-ud-${part}.conllu.gz`)));
    const before = process.cpuUsage(), tagger = SequenceTagger.fit(train), { user, system } = process.cpuUsage(before);
    const share = accuracy(tagger, test);
    console.log(`UD English EWT: ${(100 * share).toFixed(3)} %, ${((user + system) / 1e6).toFixed(1)} s of processor time`);
    expect(share).toBeGreaterThanOrEqual(0.9488);
    const bytes = tagger.toBytes(), speeds = { "new text": [] as number[], "words seen before": [] as number[] };
    for (let round = 0; round < 10; round++) {
      const read = SequenceTagger.fromBytes(bytes);
      for (const kind of ["new text", "words seen before"] as const) {
        const text = kind === "new text" ? [...test, ...dev] : test;
        const before = process.cpuUsage();
        read.tagAll(text.map(({ tokens }) => tokens));
        const { user, system } = process.cpuUsage(before);
        speeds[kind].push(text.reduce((sum, { labels }) => sum + labels.length, 0) / ((user + system) / 1e6));
      }
      read.dispose();
    }
    for (const [kind, list] of Object.entries(speeds)) console.log(`tagging, ${kind}: ${list.map((speed) => `${Math.round(speed / 1000)}`).join(", ")} thousand tokens a second of processor time`);
  });
});
