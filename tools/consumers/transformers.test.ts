import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RawImage, env, pipeline } from "@huggingface/transformers";
import { DecisionHead, MultiLabelHead, type Decision } from "@logits/head";
import { collect, guard, guardSpans, outputs, tappedFetch } from "@logits/interop/transformers";
import { SpanDecoder } from "@logits/structured-prediction/spans";
import { softmax } from "@logits/core-wasm";
import { expectClose, expectExact } from "@logits/testkit";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { COLOURS, INTENTS, TAGS, intents, writeAudio, writeClip, writeImage, writeInference, writeText, writeTokens } from "./models.ts";

const folder = mkdtempSync(join(tmpdir(), "logits-transformers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(() => {
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  writeText(join(folder, "text"));
  writeText(join(folder, "tapped"), ["squashed", "hidden"]);
  writeText(join(folder, "tapped-once"), ["hidden"]);
  writeTokens(join(folder, "tokens"));
  writeInference(join(folder, "inference"));
  writeImage(join(folder, "image"));
  writeClip(join(folder, "clip"));
  writeAudio(join(folder, "audio"));
});

const dtype = "fp32" as const;

/** The pipeline's own scores, in the order of the classes. */
function inOrder(scores: readonly { readonly label: string; readonly score: number }[], classes: readonly string[]): number[] {
  return classes.map((name) => scores.find(({ label }) => label === name)!.score);
}

/** An image of 8 x 8 pixels, mostly of one colour. */
function image(colour: number, strength: number): RawImage {
  return new RawImage(Uint8ClampedArray.from({ length: 192 }, (_, i) => (i % 3 === colour ? strength : 40)), 8, 8, 3);
}

const images = Array.from({ length: 60 }, (_, i) => image(i % 3, 60 + 3 * i));
const colours = images.map((_, i) => COLOURS[i % 3]);
const sounds = Array.from({ length: 40 }, (_, i) => Float32Array.from({ length: 100 + i }, (_, t) => (i % 2 === 0 ? 0.1 : 0.5) * Math.sin(t + i)));

describe("text-classification", () => {
  const { texts, labels } = intents(200, 1);

  it("collects the logits behind the pipeline's scores", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const data = await collect(classifier, texts, labels);
    expect(data.classes).toEqual(INTENTS);
    expectExact(data.labels, labels.map((label) => INTENTS.indexOf(label)));
    const scores = await classifier(texts, { top_k: 3 });
    expectClose(softmax(data.logits), { shape: [200, 3], data: scores.flatMap((row) => inOrder(row, INTENTS)) }, { atol: 1e-6 }); // two float32 softmaxes
  });

  it("gives the same rows in batches, padded", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const [single, batched] = [await collect(classifier, texts, labels), await collect(classifier, texts, labels, { batchSize: 16 })];
    expectClose(batched.logits, single.logits, { atol: 1e-6 }); // sums of small integers: only the bias rounds
  });

  it("decides as the head does", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const data = await collect(classifier, texts, labels);
    const head = DecisionHead.fit(data);
    const decide = guard(classifier, head);
    expect(await decide(texts.slice(0, 20))).toEqual(head.decideAll(data.logits).slice(0, 20));
    expect(await decide(texts[0])).toEqual(head.decide(data.logits.row(0)));
    expect(await decide([])).toEqual([]);
    expectTypeOf(await decide(texts[0])).toEqualTypeOf<Decision>();
    expectTypeOf(await decide(texts)).toEqualTypeOf<Decision[]>();
  });

  it("finds a tapped output by its name, wherever the model's class puts it", async () => {
    const classifier = await pipeline("text-classification", "tapped", { dtype });
    const hidden = await collect(classifier, texts, labels, { features: "hidden" });
    const squashed = await collect(classifier, texts, labels, { features: "squashed" });
    expectClose(squashed.features!, { shape: [200, 8], data: [...hidden.features!.data].map(Math.tanh) }, { atol: 1e-6 }); // float32 tanh
    expectClose(hidden.logits, { shape: [200, 3], data: texts.flatMap((_, i) => [0, 0.1, 0.2].map((bias, c) => 2 * hidden.features!.at(i, c) + bias)) }, { atol: 1e-6 }); // float32
    await expect(collect(classifier, texts, labels, { features: true })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` the name of an output where there are several, got true. They are "squashed", "hidden"]`);
    await expect(collect(classifier, texts, labels, { features: "pooled" })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` the name of an output ("squashed", "hidden"), got "pooled". Tap the penultimate tensor of the model's file (logits tap) and load the result]`);
    const plain = await pipeline("text-classification", "text", { dtype });
    await expect(collect(plain, texts, labels, { features: true })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` that the model returns, got no output but the logits. Tap the penultimate tensor of the model's file (logits tap) and load the result]`);
  });

  it("asks for features by itself where the head needs them", async () => {
    const classifier = await pipeline("text-classification", "tapped-once", { dtype });
    const head = DecisionHead.fit(await collect(classifier, texts, labels, { features: true }), { detector: "mahalanobis", maxFalsePositiveRate: 0.1, confidence: "marginal" });
    expect(head.needs).toContain("features");
    expect(await guard(classifier, head)("how do i sail to the moon")).toMatchObject({ kind: "unknown" });
  });

  it("stops on abort and says how far it is", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const controller = new AbortController();
    const shares: number[] = [];
    const work = collect(classifier, texts, labels, { signal: controller.signal, onProgress: (share) => {
      shares.push(share);
      if (share >= 0.1) controller.abort(new Error("enough"));
    } });
    await expect(work).rejects.toThrow("enough");
    expect(shares.at(-1)).toBe(0.1);
  });

  it("puts a model of several classes at once under a head for them", async () => {
    const config = join(folder, "several", "config.json");
    writeText(join(folder, "several"));
    writeFileSync(config, JSON.stringify({ ...(JSON.parse(readFileSync(config, "utf8")) as object), problem_type: "multi_label_classification" }));
    const classifier = await pipeline("text-classification", "several", { dtype });
    const { logits } = await outputs(classifier, texts);
    const scores = await classifier(texts, { top_k: 3 });
    expectClose([...logits.data].map((x) => 1 / (1 + Math.exp(-x))), scores.flatMap((row) => inOrder(row, INTENTS)), { atol: 1e-6 }); // a float32 sigmoid
    const head = MultiLabelHead.fit({ logits, targets: labels.map((label) => INTENTS.map((name) => Number(name === label))), classes: INTENTS });
    expect(await guard(classifier, head)(texts)).toEqual(head.decideAll(logits));
    await expect(collect(classifier, texts, labels.map((label) => [label]) as never)).rejects.toThrow("MultiLabelHead");
  });

  it("passes on what a disposed pipeline says", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const decide = guard(classifier, DecisionHead.fit(await collect(classifier, texts, labels)));
    await classifier.dispose();
    await expect(decide("book a ticket")).rejects.toThrow("Session already disposed");
  });

  it("refuses a head of other classes", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype });
    const { logits, labels: indices } = await collect(classifier, texts, labels);
    const head = DecisionHead.fit({ logits, labels: indices, classes: ["flight", "alarm", "music"] });
    expect(() => guard(classifier, head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`head\` of the classes of the model, in their order, got "alarm" at index 1, where it has "music". For names of your own pass the same \`classes\` to collect and guard]`);
  });
});

describe("tappedFetch", () => {
  it("taps what Transformers.js downloads, and what is cached", async () => {
    const { texts, labels } = intents(30, 3);
    const before = { fetch: env.fetch, allowRemoteModels: env.allowRemoteModels, allowLocalModels: env.allowLocalModels, remoteHost: env.remoteHost, cacheDir: env.cacheDir };
    const fetched: string[] = [];
    const host = async (url: string | URL): Promise<Response> => {
      const file = join(folder, `${url}`.replace(/^.*\/my\/(text)\/resolve\/main\//, "$1/"));
      fetched.push(`${url}`);
      return existsSync(file) ? new Response(readFileSync(file)) : new Response(null, { status: 404 });
    };
    Object.assign(env, { fetch: tappedFetch({ fetch: host }), allowRemoteModels: true, allowLocalModels: false, remoteHost: "http://models.test/", cacheDir: join(folder, "cache") });
    try {
      const first = await collect(await pipeline("text-classification", "my/text", { dtype }), texts, labels, { features: true });
      const downloads = fetched.filter((url) => url.endsWith(".onnx")).length;
      const again = await collect(await pipeline("text-classification", "my/text", { dtype }), texts, labels, { features: true });
      expect(downloads).toBeGreaterThan(0);
      expect(fetched.filter((url) => url.endsWith(".onnx"))).toHaveLength(downloads);
      expect(again).toEqual(first);
      expect(first.features!.shape).toEqual([30, 8]);
    } finally {
      Object.assign(env, before);
    }
  });
});

describe("zero-shot-classification", () => {
  const { texts, labels } = intents(12, 2);

  it("collects the entailment logits behind the pipeline's scores", async () => {
    const classifier = await pipeline("zero-shot-classification", "inference", { dtype });
    for (const multiLabel of [false, true]) {
      const data = await collect(classifier, texts, labels, { classes: INTENTS, multiLabel });
      const scores = await classifier(texts, [...INTENTS], { multi_label: multiLabel });
      const want = scores.flatMap((row) => INTENTS.map((name) => row.scores[row.labels.indexOf(name)]));
      const got = multiLabel ? [...data.logits.data].map((x) => 1 / (1 + Math.exp(-x))) : softmax(data.logits).data;
      expectClose(got, want, { atol: 1e-6 }); // a float32 softmax
    }
  });

  it("asks about the head's classes, in the template that it is given", async () => {
    const classifier = await pipeline("zero-shot-classification", "inference", { dtype });
    const options = { classes: INTENTS, hypothesisTemplate: "{} {}" };
    const data = await collect(classifier, texts, labels, options);
    const head = DecisionHead.fit(data, { split: 0.5 });
    expect(await guard(classifier, head, { hypothesisTemplate: "{} {}" })(texts)).toEqual(head.decideAll(data.logits));
  });
});

describe("image-classification", () => {
  it("collects the logits behind the pipeline's scores, and features", async () => {
    const classifier = await pipeline("image-classification", "image", { dtype });
    const data = await collect(classifier, images, colours, { features: true, batchSize: 4 });
    const scores = (await classifier(images)) as { label: string; score: number }[][];
    expectClose(softmax(data.logits), { shape: [60, 3], data: scores.flatMap((row) => inOrder(row, COLOURS)) }, { atol: 1e-6 }); // two float32 softmaxes
    expectClose(data.logits, { shape: [60, 3], data: [...data.features!.data].map((x) => 4 * x) }, { rtol: 1e-6 }); // one float32 product
  });

  it("takes whatever the pipeline takes", async () => {
    const classifier = await pipeline("image-classification", "image", { dtype });
    const head = DecisionHead.fit(await collect(classifier, images, colours));
    const decide = guard(classifier, head);
    const path = join(folder, "blue.png");
    await image(2, 255).save(path);
    expect(await decide(path)).toEqual(await decide(image(2, 255)));
    expect(await decide(path)).toMatchObject({ kind: "label", label: "blue" });
  });
});

describe("audio-classification", () => {
  it("collects the logits behind the pipeline's scores, and features, of sounds of any length", async () => {
    const classifier = await pipeline("audio-classification", "audio", { dtype });
    const labels = sounds.map((_, i) => i % 2);
    const data = await collect(classifier, sounds, labels, { features: true, batchSize: 3 });
    const scores = (await classifier(sounds)) as { label: string; score: number }[][];
    expectClose(softmax(data.logits), { shape: [40, 2], data: scores.flatMap((row) => inOrder(row, ["quiet", "loud"])) }, { atol: 1e-6 }); // two float32 softmaxes
    expect(data.features!.shape).toEqual([40, 1]);
    const head = DecisionHead.fit(data);
    expect(await guard(classifier, head)(sounds[1])).toEqual(head.decide(data.logits.row(1)));
  });
});

describe("zero-shot-image-classification", () => {
  it("collects the logits behind the pipeline's scores, and the image's embedding", async () => {
    const classifier = await pipeline("zero-shot-image-classification", "clip", { dtype });
    const data = await collect(classifier, images, colours, { classes: COLOURS, features: "image_embeds" });
    const scores = (await classifier(images, [...COLOURS])) as { label: string; score: number }[][];
    expectClose(softmax(data.logits), { shape: [60, 3], data: scores.flatMap((row) => inOrder(row, COLOURS)) }, { atol: 1e-6 }); // two float32 softmaxes
    expect(data.features!.shape).toEqual([60, 3]);
    const head = DecisionHead.fit(data);
    expect(await guard(classifier, head)(images.slice(0, 5))).toEqual(head.decideAll(data.logits).slice(0, 5));
    await expect(collect(classifier, images, colours, { classes: COLOURS, features: true })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` the name of an output where there are several, got true. They are "image_embeds", "text_embeds"]`);
  });
});

it("refuses pipelines of other tasks", async () => {
  const embed = await pipeline("feature-extraction", "text", { dtype });
  await expect(collect(embed, ["a"], [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`pipeline\` of one of the tasks text-classification, image-classification, audio-classification, zero-shot-classification, zero-shot-image-classification, got feature-extraction]`);
});

describe("token-classification", () => {
  const decoder = new SpanDecoder(TAGS);

  it("gives spans of the text with exact probabilities, where the pipeline gives tokens without offsets", async () => {
    const tagger = await pipeline("token-classification", "tokens", { dtype });
    const text = "Please FLY ticket, now play the unheard!", pieces = await guardSpans(tagger, decoder, { least: 0.2 })(text);
    const outside = [4, 0, 0, 0, 0], flight = [0, 5, 4, 0, 0];
    const exact = decoder.decode([outside, flight, flight, outside, outside, [0, 0, 0, 1.5, 2], outside, outside, outside]);
    const want = [["span", "ROUTE", "FLY", 7, 1, 2], ["unsure", "ROUTE", "FLY ticket", 7, 1, 3], ["span", "ROUTE", "ticket", 11, 2, 3], ["span", "SONG", "play", 23, 5, 6]] as const;
    expect(pieces.map((piece) => [piece.kind, "type" in piece && piece.type, piece.text, piece.start])).toEqual(want.map((row) => row.slice(0, 4)));
    // Float32 logits of the same values.
    expectClose(pieces.map((piece) => ("probability" in piece ? piece.probability : NaN)), want.map(([, type, , , from, to]) => exact.probabilityOf({ type, from, to })), { atol: 1e-6 });
    const raw = await tagger(text);
    expect(raw[0]).not.toHaveProperty("start");
  });

  it("says what the tokenizer cut off", async () => {
    const tagger = await pipeline("token-classification", "tokens", { dtype });
    const text = `${"please ".repeat(40)}fly`;
    expect((await guardSpans(tagger, decoder)(text)).map(({ kind, end }) => [kind, end])).toEqual([["unread", text.length]]);
  });
});
