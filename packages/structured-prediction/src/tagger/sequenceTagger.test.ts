import { finiteDifferenceGradient, expectClose, expectExact, testRandom } from "@logits/testkit";
import { randomSource, runSteps } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import crfsuite from "./fixtures/crfsuite.json" with { type: "json" };
import { encode } from "./dataset.ts";
import { crfObjective, parameterCount } from "./objective.ts";
import { FeatureTemplates, SequenceTagger, type FeatureFunction, type LabelledSentence, type TaggerProgress } from "./index.ts";

const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };

/** Sentences of a small grammar: a label depends on the word, and of "run" on the label before. */
function sample(count: number, seed: number): LabelledSentence[] {
  const random = randomSource(seed), words: Record<string, string[]> = { DET: ["the", "a", "This"], NOUN: ["dog", "run", "cats", "Rome"], VERB: ["run", "sees", "likes"], PUNCT: ["."] };
  const next: Record<string, string[]> = { "": ["DET", "NOUN"], DET: ["NOUN"], NOUN: ["VERB", "PUNCT"], VERB: ["DET", "PUNCT"], PUNCT: [] };
  return Array.from({ length: count }, () => {
    const tokens: string[] = [], labels: string[] = [];
    for (let label = ""; next[label].length > 0; ) {
      label = next[label][random.integer(next[label].length)];
      labels.push(label);
      tokens.push(words[label][random.integer(words[label].length)]);
    }
    return { tokens, labels };
  });
}

const TEMPLATES = "w=%x[0,0]\ns=%suffix[0,0,1]\nb=%brief[0,0]\n";
const training = sample(60, 1), held = sample(40, 2);
const accuracy = (tagger: SequenceTagger, sentences: readonly LabelledSentence[]): number => {
  let right = 0, all = 0;
  tagger.tagAll(sentences.map(({ tokens }) => tokens)).forEach((labels, b) => labels.forEach((label, t) => {
    all++;
    if (label === sentences[b].labels[t]) right++;
  }));
  return right / all;
};

describe("the objective of a CRF", () => {
  const data = runSteps(encode("test", [...sample(5, 3), { tokens: [], labels: [] }], { features: FeatureTemplates.parse(`${TEMPLATES}p=%x[-1,0]|%x[0,0]\nn=%x[1,0]\nnn=%x[2,0]`), minCount: 1, pairs: "observed" }));
  const C = data.labels.length, P = parameterCount(data), PAIRS = 2 * C + C * C;
  const random = testRandom(4), w = Float64Array.from({ length: P }, () => Math.fround(random.normal() / 2));
  const value = (x: Float64Array, l2 = 0.3): { value: number; gradient: Float64Array } => {
    const gradient = new Float64Array(P), steps = crfObjective(data, l2, 0)(x, gradient) as Generator<number, number, void>;
    for (;;) {
      const step = steps.next();
      if (step.done) return { value: step.value, gradient };
    }
  };
  /** By enumeration, in float64. */
  const byDefinition = (x: Float64Array): number => {
    let loss = 0;
    for (let b = 0; b + 1 < data.offsets.length; b++) {
      const from = data.offsets[b], T = data.offsets[b + 1] - from, gold = Array.from(data.gold.subarray(from, from + T));
      if (T === 0) continue;
      const emission = (t: number, c: number): number => {
        let sum = 0;
        for (let g = 0; g < data.groups; g++) {
          const bundle = data.bundles[g * data.gold.length + from + t];
          for (let k = data.bundleStarts[bundle]; k < data.bundleStarts[bundle + 1]; k++) for (let p = data.pairStarts[data.bundleAttributes[k]]; p < data.pairStarts[data.bundleAttributes[k] + 1]; p++) if (data.pairLabels[p] === c) sum += x[PAIRS + p];
        }
        return sum;
      };
      const score = (y: readonly number[]): number => y.reduce((sum, c, t) => sum + emission(t, c) + (t > 0 ? x[2 * C + y[t - 1] * C + c] : 0), x[y[0]] + x[C + y[T - 1]]);
      let rows = [[]] as number[][];
      for (let t = 0; t < T; t++) rows = rows.flatMap((row) => Array.from({ length: C }, (_, c) => [...row, c]));
      const scores = rows.map(score), top = Math.max(...scores);
      loss += top + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0)) - score(gold);
    }
    return loss + 0.15 * x.reduce((sum, v) => sum + v * v, 0);
  };

  it("agrees with the definition by enumeration", () => {
    expect(data.offsets.length).toBe(7);
    // Emissions and sums across a sequence are float32: 1e-7 of terms of a few nats.
    expectClose(value(w).value, byDefinition(w), { rtol: 2e-6 });
  });

  it("has the gradient of its definition, for every parameter", () => {
    // Marginals are float32, summed over a few dozen tokens; differences err by 1e-8.
    expectClose(value(w).gradient, finiteDifferenceGradient(byDefinition, w), { atol: 5e-6 });
  });
});

describe("SequenceTagger", () => {
  const tagger = SequenceTagger.fit(training, { features: TEMPLATES });

  it("learns what depends on the word, and what depends on the label before", () => {
    expect(accuracy(tagger, training)).toBe(1);
    expect(accuracy(tagger, held)).toBe(1);
    expect(tagger.tag(["the", "run", "run", "."])).toEqual(["DET", "NOUN", "VERB", "PUNCT"]);
    expect(tagger.kind).toBe("crf");
    expect(tagger.training!.method).toBe("lbfgs");
  });

  it("answers the queries of its distribution", () => {
    const tokens = ["a", "run", "sees", "This", "."], { labels } = tagger;
    const marginals = tagger.marginals(tokens), best = tagger.topK(tokens, 3);
    // float32 rows that are divided by their sum.
    for (let t = 0; t < tokens.length; t++) expectClose(Array.from(marginals.row(t).data).reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
    expect(best[0].labels).toEqual(tagger.tag(tokens));
    expect(best.map(({ score }) => score)).toEqual(best.map(({ score }) => score).sort((a, b) => b - a));
    const { score, logProb } = tagger.score(tokens, best[1].labels);
    expectClose(score, best[1].score, { rtol: 1e-6 });
    // All sequences of one token: probabilities sum to 1.
    const one = tagger.topK(["dog"], 9);
    expect(one.length).toBe(labels.length);
    expectClose(one.reduce((sum, y) => sum + Math.exp(tagger.score(["dog"], y.labels).logProb), 0), 1, { atol: 1e-6 });
    expect(logProb).toBeLessThan(0);
    expect(tagger.score(["dog"], ["XYZ"])).toEqual({ score: -Infinity, logProb: -Infinity });
    expect(tagger.distribution(tokens).entropy()[0]).toBeGreaterThan(0);
  });

  it("has labels for words it has never seen, and none for a sentence without tokens", () => {
    expect(tagger.tag(["zyx", "Qrst"]).length).toBe(2);
    expectExact(tagger.emissions(["€"]).row(0), tagger.emissions(["¥"]).row(0));
    expect(tagger.tag([])).toEqual([]);
    expect(tagger.tagAll([])).toEqual([]);
    expect(tagger.tagAll([[], ["dog"], []])).toEqual([[], tagger.tag(["dog"]), []]);
    expect(tagger.marginals([]).shape).toEqual([0, 4]);
    expect(tagger.topK([], 2)).toEqual([{ labels: [], score: 0 }]);
    expect(tagger.score([], [])).toEqual({ score: 0, logProb: 0 });
  });

  it("is the same on every run and in pieces, and reports progress", async () => {
    const progress: TaggerProgress[] = [], again = await SequenceTagger.fitAsync(training, { features: FeatureTemplates.parse(TEMPLATES), onProgress: (p) => progress.push(p) });
    expectExact(again.toBytes(), tagger.toBytes());
    expect(progress.at(-1)).toMatchObject({ iterations: tagger.training!.iterations, loss: tagger.training!.loss });
    for (let i = 1; i < progress.length; i++) {
      expect(progress[i].share).toBeGreaterThanOrEqual(progress[i - 1].share);
      expect(progress[i].loss!).toBeLessThanOrEqual(progress[i - 1].loss! * (1 + 1e-7));
    }
  });

  it("stops on abort", async () => {
    const controller = new AbortController();
    await expect(SequenceTagger.fitAsync(training, { signal: controller.signal, onProgress: ({ iterations }) => iterations === 2 && controller.abort(new Error("enough")) })).rejects.toThrow("enough");
    expect(() => SequenceTagger.fit(training, { signal: AbortSignal.abort(new Error("before")) })).toThrow("before");
  });

  it("reaches the optimum: the gradient is small there, and squared weights shrink with their penalty", () => {
    const tight = SequenceTagger.fit(training, { features: TEMPLATES, tolerance: 0, maxIterations: 500 });
    expect(["gradient", "precision"]).toContain(tight.training!.reason);
    expect(tight.training!.loss!).toBeLessThanOrEqual(tagger.training!.loss!);
    const square = (t: SequenceTagger): number => [...t.weights()].reduce((sum, { weight }) => sum + weight * weight, 0);
    expect(square(SequenceTagger.fit(training, { features: TEMPLATES, l2: 10 }))).toBeLessThan(square(tight) / 2);
  });

  it("owlqn leaves few weights that are not 0, and labels as well", () => {
    const sparse = SequenceTagger.fit(training, { features: TEMPLATES, l1: 1, l2: 0 }), count = (t: SequenceTagger): number => [...t.weights()].length;
    expect(sparse.training!.method).toBe("owlqn");
    expect(count(sparse)).toBeLessThan(count(tagger) / 1.5);
    expect(accuracy(sparse, held)).toBe(1);
    expect([...sparse.weights()].every(({ weight }) => weight !== 0)).toBe(true);
    expect(SequenceTagger.fit(training, { features: TEMPLATES, l1: 1000 }).training).toMatchObject({ method: "owlqn" });
  });

  it("the averaged perceptron labels as well, depends on its seed alone, and stops without mistakes", () => {
    const options = { features: TEMPLATES, method: "averaged-perceptron", epochs: 20 } as const, perceptron = SequenceTagger.fit(training, options);
    expect(accuracy(perceptron, held)).toBe(1);
    expect([perceptron.kind, perceptron.training!.reason, perceptron.training!.mistakes]).toEqual(["perceptron", "separated", 0]);
    expectExact(SequenceTagger.fit(training, options).toBytes(), perceptron.toBytes());
    expect(SequenceTagger.fit(training, { ...options, epochs: 1 }).training).toMatchObject({ reason: "iterations", iterations: 1 });
  });

  it("leaves out attributes that are seen less often than asked for, and can have weights for all labels", () => {
    const names = (t: SequenceTagger): Set<string> => new Set([...t.weights()].map(({ attribute }) => attribute));
    const once: LabelledSentence[] = [...training, { tokens: ["hapax"], labels: ["NOUN"] }];
    expect(names(SequenceTagger.fit(once, { features: TEMPLATES })).has("w=hapax")).toBe(true);
    expect(names(SequenceTagger.fit(once, { features: TEMPLATES, minCount: 2 })).has("w=hapax")).toBe(false);
    const all = SequenceTagger.fit(training, { features: TEMPLATES, pairs: "all" });
    expect([...all.weights()].filter(({ attribute }) => attribute === "w=dog").length).toBe(4);
    expect([...tagger.weights()].filter(({ attribute }) => attribute === "w=dog").map(({ label }) => label)).toEqual(["NOUN"]);
  });

  it("takes attributes from a function, and columns beside the word", () => {
    const features: FeatureFunction = (tokens, t) => [`w ${tokens[t][0]}`, `c ${tokens[t][1]}`];
    const rows = training.map(({ tokens, labels }) => ({ tokens: tokens.map((word, t) => [word as string, labels[t][0]]), labels }));
    const custom = SequenceTagger.fit(rows, { features });
    expect(custom.tag([["dog", "N"], ["unseen", "V"], [".", "P"]])).toEqual(["NOUN", "VERB", "PUNCT"]);
    expectExact(SequenceTagger.fromBytes(custom.toBytes(), { features }).emissions([["dog", "N"]]), custom.emissions([["dog", "N"]]));
    expect(message(() => SequenceTagger.fromBytes(custom.toBytes()))).toMatchInlineSnapshot(`"TypeError: SequenceTagger.fromBytes: expected \`features\` templates or a function, got undefined"`);
    expect(message(() => SequenceTagger.fromBytes(tagger.toBytes(), { features }))).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fromBytes: expected \`features\` only for a model without templates, got a model with templates"`);
  });

  it("adds up the weights of the attributes, made by templates or by a function", () => {
    const templates = FeatureTemplates.parse("bias\n%x[0,0]\ns=%suffix[0,0,2]\np=%prefix[-1,0,1]~\nn=%lower[1,0]\nc=%x[0,1]\nc2=%x[2,1]\nw-1,0=%x[-1,0]|%lower[0,0]\ncw=%x[0,1]|%suffix[0,0,2]\nccc=%x[-2,1]/%x[0,1]/%x[1,1]!\nsame=%x[0,0]%x[0,0]");
    const words = ["Ab", "b", "ÉT", "東京", "😀x", "a\nb", "_B-1", "", "abcdefgh", "Ab|b"], random = randomSource(11);
    const rows = (count: number, T: number) => Array.from({ length: count }, () => Array.from({ length: T }, () => [words[random.integer(words.length)], `c${random.integer(3)}`]));
    const sentences = rows(20, 6).map((tokens) => ({ tokens, labels: tokens.map(([, c]) => (c === "c0" ? "X" : random.integer(2) === 0 ? "Y" : "Z")) }));
    for (const features of [templates, (tokens, t) => templates.attributes(tokens, t)] as (FeatureTemplates | FeatureFunction)[]) {
      const local = SequenceTagger.fit(sentences, { features, maxIterations: 4 }), known = new Map<string, number[]>();
      for (const { attribute, label, weight } of local.weights()) {
        if (!known.has(attribute)) known.set(attribute, [0, 0, 0]);
        known.get(attribute)![local.labels.indexOf(label)] = weight;
      }
      // 300 tokens: more than are looked up together.
      for (const tokens of [...rows(30, 1), ...rows(30, 5), ...rows(2, 300)]) {
        const want = tokens.flatMap((_, t) => [0, 1, 2].map((c) => templates.attributes(tokens, t).reduce((sum, attribute) => sum + (known.get(attribute)?.[c] ?? 0), 0)));
        // One rounding to float32 of sums of a few nats.
        expectClose(local.emissions(tokens).data, want, { atol: 1e-6 });
      }
    }
  });

  it("tells attributes apart whose hashes are equal", () => {
    // FNV-1a of 32 bits is the same of both, and the length too.
    for (const features of ["%x[0,0]", (tokens, t) => [tokens[t][0]]] as (string | FeatureFunction)[]) {
      const both = SequenceTagger.fit([{ tokens: ["declinate"], labels: ["X"] }, { tokens: ["macallums"], labels: ["Y"] }], { features, l2: 0.01 });
      expect([both.tag(["declinate"]), both.tag(["macallums"])]).toEqual([["X"], ["Y"]]);
      const one = SequenceTagger.fit([{ tokens: ["macallums"], labels: ["X"] }, { tokens: ["other"], labels: ["Y"] }], { features, l2: 0.01 });
      expectExact(one.emissions(["declinate"]).data, new Float32Array(2));
    }
  });

  it("labels the same after it has forgotten words, which it does from time to time", () => {
    const local = SequenceTagger.fit(training, { features: "w=%x[0,0]\np=%x[-1,0]" }), tokens = ["the", "run", "sees", "Rome", "."], before = local.emissions(tokens);
    // 20 MB of text; 16 are remembered.
    for (let k = 0; k < 20; k++) local.tag([String.fromCharCode(97 + k).repeat(1 << 20)]);
    expectExact(local.emissions(tokens), before);
  });

  it("knows the scores of labels after one another, and gives its memory back", () => {
    const local = SequenceTagger.fit(training, { features: TEMPLATES });
    expect(local.transition("DET", "NOUN")).toBeGreaterThan(local.transition("DET", "DET"));
    expect(local.transition("DET", "none")).toBe(0);
    local.dispose();
    local.dispose();
    expect(message(() => local.tag(["dog"]))).toMatch(/DisposedError/);
  });

  it("names what is wrong", () => {
    const fit = (sentences: unknown, options = {}): string => message(() => SequenceTagger.fit(sentences as never, { features: TEMPLATES, ...options }));
    expect(fit([])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences\` of at least one token, got no sentence"`);
    expect(fit([{ tokens: [], labels: [] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences\` of at least one token, got none"`);
    expect(fit([{ tokens: ["a", "b"], labels: ["X", "X"] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences\` with at least two different labels, got "X" alone. Is that the right column?"`);
    expect(fit([{ tokens: ["a", "b"], labels: ["X"] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences[0]\` with one label for each token, got 1 labels of 2 tokens"`);
    expect(fit([{ tokens: ["a", 3], labels: ["X", "Y"] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences[0].tokens[1]\` a word or an array of at least 1 strings, got 3"`);
    expect(fit([{ tokens: ["a", []], labels: ["X", "Y"] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences[0].tokens[1]\` a word or an array of at least 1 strings, got []"`);
    expect(fit([{ tokens: ["a"], labels: [""] }])).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`sentences[0].labels[0]\` a string of at least one character, got """`);
    expect(fit("text")).toMatchInlineSnapshot(`"TypeError: SequenceTagger.fit: expected \`sentences\` an array, got string"`);
    expect(fit(training, { method: "sgd" })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`method\` "lbfgs" or "owlqn" or "averaged-perceptron", got "sgd""`);
    expect(fit(training, { method: "lbfgs", l1: 1 })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`l1\` not with method "lbfgs", got 1"`);
    expect(fit(training, { method: "averaged-perceptron", l2: 1 })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`l2\` not with method "averaged-perceptron", got 1"`);
    expect(fit(training, { l2: -1 })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`l2\` a finite number >= 0, got -1"`);
    expect(fit(training, { minCount: 0 })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`minCount\` an integer in [1, 2147483647], got 0"`);
    expect(fit(training, { pairs: "some" })).toMatchInlineSnapshot(`"RangeError: SequenceTagger.fit: expected \`pairs\` "observed" or "all", got "some""`);
    expect(fit(training, { features: 3 })).toMatchInlineSnapshot(`"TypeError: SequenceTagger.fit: expected \`features\` templates or a function, got Number"`);
    expect(message(() => tagger.tag("dog" as never))).toMatchInlineSnapshot(`"TypeError: SequenceTagger.tagAll: expected \`tokens\` an array of tokens, got string"`);
    expect(message(() => tagger.tag(["dog", null as never]))).toMatchInlineSnapshot(`"RangeError: SequenceTagger.tagAll: expected \`tokens[1]\` a word or an array of at least 1 strings, got null"`);
    const numbers = SequenceTagger.fromBytes(SequenceTagger.fit(training, { features: (tokens, t) => [tokens[t][0]], maxIterations: 2 }).toBytes(), { features: (() => [3]) as never });
    expect(message(() => numbers.tag(["dog"]))).toMatchInlineSnapshot(`"TypeError: SequenceTagger.tagAll: expected \`features\` a function whose attributes are strings, got Number"`);
    expect(message(() => tagger.score(["dog"], []))).toMatchInlineSnapshot(`"RangeError: SequenceTagger.score: expected \`labels\` one for each of 1 tokens, got 0"`);
  });
});

describe("the model file", () => {
  const tagger = SequenceTagger.fit(training, { features: TEMPLATES }), bytes = tagger.toBytes();

  it("is read without copying, to the same bits", () => {
    const read = SequenceTagger.fromBytes(bytes);
    for (const { tokens } of held) expectExact(read.emissions(tokens), tagger.emissions(tokens));
    expect([...read.weights()]).toEqual([...tagger.weights()]);
    expectExact(read.toBytes(), bytes);
    // At an address that is no multiple of 4 it is copied.
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(SequenceTagger.fromBytes(shifted.subarray(1)).tag(["dog"])).toEqual(["NOUN"]);
  });

  it("of version 1, which held no hashes, is read too", () => {
    const old = bytes.slice(), words = new Uint32Array(old.buffer), [C, A, P, H] = words.subarray(4), slots = words.subarray(16 + 2 * C + C * C + 2 * P + 2 * A + 1 + C).subarray(0, H);
    for (let i = 0; i < H; i++) slots[i] &= 2 ** (32 - Math.clz32(A)) - 1;
    expect(new Set(slots)).toEqual(new Set(Array.from({ length: A + 1 }, (_, a) => a)));
    words[1] = 1;
    let checksum = 0x811c9dc5;
    for (let i = 4; i < words.length; i++) {
      checksum = Math.imul(checksum ^ words[i], 0x9e3779b1);
      checksum ^= checksum >>> 15;
    }
    words[3] = checksum;
    const read = SequenceTagger.fromBytes(old);
    expect([...read.weights()]).toEqual([...tagger.weights()]);
    for (const { tokens } of held) expectExact(read.emissions(tokens), tagger.emissions(tokens));
  });

  it("finds attributes of any script", () => {
    const words = ["naïve", "東京", "😀", "a", "", "\u{10ffff}"].filter((word) => word !== "");
    const read = SequenceTagger.fromBytes(SequenceTagger.fit(words.map((word, i) => ({ tokens: [word], labels: [i % 2 === 0 ? "X" : "Y"] })), { features: "%x[0,0]", l2: 0.01 }).toBytes());
    expect(words.flatMap((word) => read.tag([word]))).toEqual(words.map((_, i) => (i % 2 === 0 ? "X" : "Y")));
    expect([...read.weights()].map(({ attribute }) => attribute)).toEqual(words);
  });

  it("is refused where any byte has changed or is missing", () => {
    const step = Math.max(1, Math.floor(bytes.length / 400));
    for (let at = 0; at < bytes.length; at += at < 64 ? 1 : step) {
      const changed = bytes.slice();
      changed[at] ^= 1 << at % 8;
      expect(message(() => SequenceTagger.fromBytes(changed)), `byte ${at}`).toMatch(/^FormatError/);
    }
    for (const size of [0, 1, 63, 64, 100, bytes.length - 4, bytes.length - 1]) expect(message(() => SequenceTagger.fromBytes(bytes.subarray(0, size)))).toMatch(/^FormatError/);
  });

  it("names what is wrong", () => {
    const changed = (at: number, value: number): Uint8Array => {
      const copy = bytes.slice();
      copy[at] = value;
      return copy;
    };
    expect(message(() => SequenceTagger.fromBytes(new Uint8Array(3)))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromBytes: expected \`bytes\` of at least 64 bytes, got 3"`);
    expect(message(() => SequenceTagger.fromBytes(changed(0, 65)))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromBytes: expected \`bytes\` to begin with "LGTG", got "AGTG""`);
    expect(message(() => SequenceTagger.fromBytes(changed(4, 3)))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromBytes: expected \`bytes\` of version 2, got 3. Upgrade @logits/structured-prediction to read it"`);
    expect(message(() => SequenceTagger.fromBytes(bytes.subarray(0, 400)))).toMatch(/^FormatError: SequenceTagger.fromBytes: expected `bytes` of \d+ bytes, got 400$/);
    expect(message(() => SequenceTagger.fromBytes(changed(400, bytes[400] ^ 1)))).toMatch(/^FormatError: SequenceTagger.fromBytes: expected `bytes` whose checksum is \d+, got \d+: the file is damaged$/);
  });
});

describe("models of CRFsuite", () => {
  const [fixture, ...cases] = crfsuite.cases as unknown as [
    { model: string; labels: string[]; states: [string, string, number][]; transitions: [string, string, number][] },
    ...{ tokens: string[]; tags: string[]; probability: number; marginals: Record<string, number>[] }[],
  ];
  const model = Uint8Array.from(atob(fixture.model), (c) => c.charCodeAt(0));
  const features: FeatureFunction = (tokens, t) => {
    const [word] = tokens[t];
    return ["bias", `w=${word}`, `suffix=${word.slice(-2)}`, `cap=${word[0] !== word[0].toLowerCase() ? "True" : "False"}`, t > 0 ? `previous=${tokens[t - 1][0]}` : "first", t + 1 < tokens.length ? `next=${tokens[t + 1][0]}` : "last"];
  };
  const tagger = SequenceTagger.fromCrfSuite(model, { features });

  it("hold what CRFsuite's dump says", () => {
    expect([...tagger.labels].sort()).toEqual([...fixture.labels].sort());
    const read = new Map([...tagger.weights()].map(({ attribute, label, weight }) => [`${attribute}\n${label}`, weight]));
    expect(read.size).toBe(fixture.states.length);
    // The dump has six digits after the point.
    for (const [attribute, label, weight] of fixture.states) expectClose(read.get(`${attribute}\n${label}`)!, weight, { atol: 1e-6 });
    for (const [from, to, weight] of fixture.transitions) expectClose(tagger.transition(from, to), weight, { atol: 1e-6 });
  });

  it("label as CRFsuite labels, with its probabilities", () => {
    for (const { tokens, tags, probability, marginals } of cases) {
      expect(tagger.tag(tokens)).toEqual(tags);
      // Weights and marginals are float32 here.
      expectClose(Math.exp(tagger.score(tokens, tags).logProb), probability, { rtol: 1e-5 });
      const got = tagger.marginals(tokens);
      marginals.forEach((row, t) => tagger.labels.forEach((label, c) => expectClose(got.at(t, c), row[label], { atol: 2e-6 })));
    }
  });

  it("can be written as our own model", () => {
    const own = SequenceTagger.fromBytes(tagger.toBytes(), { features });
    for (const { tokens } of cases) expectExact(own.emissions(tokens), tagger.emissions(tokens));
  });

  it("are refused where they are damaged, and never hang", () => {
    expect(message(() => SequenceTagger.fromCrfSuite(new Uint8Array(0), { features }))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` with "lCRF" at 0, got """`);
    const changed = (edit: (view: DataView) => void): string => {
      const copy = model.slice();
      edit(new DataView(copy.buffer));
      return message(() => SequenceTagger.fromCrfSuite(copy, { features }));
    };
    expect(changed((v) => v.setUint32(12, 101, true))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` of version 100, got 101"`);
    expect(changed((v) => v.setUint32(28, 8, true))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` with "FEAT" at 8, got "FOMC""`);
    expect(changed((v) => v.setUint32(20, 0, true))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` with counts that fit into the file, got 0 labels, 80 attributes"`);
    expect(changed((v) => v.setUint32(24, 4000, true))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` with counts that fit into the file, got 5 labels, 4000 attributes"`);
    expect(changed((v) => v.setFloat64(v.getUint32(28, true) + 24, NaN, true))).toMatchInlineSnapshot(`"FormatError: SequenceTagger.fromCrfSuite: expected \`bytes\` of features of attributes and labels that are there, with finite weights, got feature 0: type 0, 0, 0, weight NaN"`);
    const random = randomSource(9);
    for (let k = 0; k < 2000; k++) {
      const copy = model.slice(0, k % 4 === 0 ? random.integer(model.length) : model.length);
      for (let n = 0; n < 3 && copy.length > 0; n++) copy[random.integer(copy.length)] = random.integer(256);
      // Names and weights may be others; nothing else than a FormatError may come.
      expect(message(() => SequenceTagger.fromCrfSuite(copy, { features }).dispose())).toMatch(/^(FormatError|no error)/);
    }
    expect(message(() => SequenceTagger.fromCrfSuite(model, {}))).toMatchInlineSnapshot(`"TypeError: SequenceTagger.fromCrfSuite: expected \`features\` templates or a function, got undefined"`);
  });
});
