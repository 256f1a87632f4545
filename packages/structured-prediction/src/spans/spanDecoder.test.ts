import { chainForwardBackward, chainViterbi, compileChain } from "@logits/core-wasm/chains";
import { expectClose, expectExact } from "@logits/testkit";
import { randomSource, type RandomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { automaton } from "../automaton.ts";
import { readViterbiCalibration } from "./biases.ts";
import { enumerateLabellings } from "./chainOfSpans.ref.ts";
import type { Span } from "./span.ts";
import { SpanDecoder, mergeWindows, type SpanDecoderOptions } from "./spanDecoder.ts";
import { readSpans } from "./spanScores.ts";
import type { SpanScheme } from "./tags.ts";

const SCHEMES: readonly (readonly [SpanScheme, readonly string[]])[] = [
  ["IO", ["O", "a", "b"]], ["IOB1", ["O", "B-a", "I-a", "I-b", "B-b"]], ["BIO", ["O", "B-a", "I-a", "B-b", "I-b"]],
  ["BIOES", ["O", "B-a", "I-a", "E-a", "S-a", "S-b"]], ["BIOUL", ["U-a", "O", "B-a", "I-a", "L-a"]], ["BMES", ["O", "B-a", "M-a", "E-a", "S-a"]],
];
const random = randomSource(7, 0);
const scores = (source: RandomSource, T: number, C: number, spread = 4): number[][] => Array.from({ length: T }, () => Array.from({ length: C }, () => Math.fround(spread * (source.uniform() - 0.5))));
const key = ({ type, from, to }: Span): string => `${type} ${from} ${to}`;

/** Probability of every span by enumeration: read from the labels as the shared tasks do. */
function spansByEnumeration(decoder: SpanDecoder, logits: readonly (readonly number[])[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { labels, probability } of enumerateLabellings(decoder.model, logits)) {
    for (const span of readSpans(labels.map((y) => decoder.labels[y]), { scheme: decoder.scheme })) found.set(key(span), (found.get(key(span)) ?? 0) + probability);
  }
  return found;
}

function check(labels: readonly string[], options: SpanDecoderOptions, T: number, spread = 4): void {
  const decoder = new SpanDecoder(labels, options), logits = scores(random, T, labels.length, spread);
  const decoded = decoder.decode(logits), truth = spansByEnumeration(decoder, logits), [best, second] = enumerateLabellings(decoder.model, logits);
  // Float32 weights in scaled linear space; probabilities differ from float64 by their rounding.
  const atol = 3e-6;
  expectExact(decoded.labels, best.labels);
  expectClose(decoded.labellingProbability, best.probability, { atol });
  for (const span of decoded) expectClose(span.probability, truth.get(key(span))!, { atol, label: key(span) });
  for (const type of decoder.types) for (let from = 0; from < T; from++) for (let to = from + 1; to <= T; to++) expectClose(decoded.probabilityOf({ type, from, to }), truth.get(`${type} ${from} ${to}`) ?? 0, { atol, label: `${type} ${from} ${to}` });
  const above = decoded.above(0.05);
  expect(above.map(key).sort()).toEqual([...truth].filter(([, p]) => p >= 0.05).map(([name]) => name).sort());
  for (const span of above) expectClose(span.probability, truth.get(key(span))!, { atol });
  const [one, two] = decoded.alternatives(2);
  expect(one.spans.map(key)).toEqual([...decoded].map(key));
  expectClose(one.probability, best.probability, { atol });
  if (second) {
    expectClose(two.probability, second.probability, { atol });
    expect(two.spans.map(key)).toEqual(readSpans(second.labels.map((y) => labels[y]), { scheme: decoder.scheme }).map(key));
  }
  decoder.dispose();
}

describe("SpanDecoder against enumeration", () => {
  it.each(SCHEMES)("%s: best labels, every span's probability, all spans above a threshold, two best labellings", (scheme, labels) => {
    for (const T of [1, 2, 3, 4]) for (let repeat = 0; repeat < 4; repeat++) check(labels, { scheme }, T);
  });

  it("with transitions, start, end, biases and a temperature", () => {
    for (const [scheme, labels] of SCHEMES) {
      const C = labels.length, biases = { backgroundStay: 0.3, backgroundToStart: -0.2, endToBackground: 0.7, endToStart: -1, insideToContinue: 0.4, insideToEnd: -0.6 };
      check(labels, { scheme, transitions: scores(random, C, C), start: scores(random, 1, C)[0], end: scores(random, 1, C)[0], biases }, 4);
    }
    const cold = new SpanDecoder(["O", "B-a", "I-a"], { temperature: 0.5 }), logits = scores(random, 3, 3), doubled = logits.map((row) => row.map((v) => 2 * v));
    const plain = new SpanDecoder(["O", "B-a", "I-a"]);
    expectExact(cold.decode(logits).probability, plain.decode(doubled).probability);
  });

  it("with a constraint beside the scheme: at most one span", () => {
    // States: before a span, in it, after it.
    const one = automaton(3, [0, 1, -1, 2, -1, 1, 2, -1, -1], [1, 1, 1]);
    for (let repeat = 0; repeat < 4; repeat++) check(["O", "B-a", "I-a"], { constraint: one }, 4);
  });

  it("where weights leave float32", () => {
    let far = 0;
    for (const [scheme, labels] of SCHEMES) {
      check(labels, { scheme }, 4, 400);
      const { model } = new SpanDecoder(labels, { scheme });
      far += chainForwardBackward(model.states.chain, scores(random, 4, labels.length, 400), { marginals: true }).extended;
    }
    expect(far).toBeGreaterThan(0);
  });

  it.each([["BIOES", "BIES", 3], ["BIOES", "BIES", 4], ["BIOES", "BIES", 8], ["BIO", "BI", 5], ["BMES", "BMES", 6]] as const)("runs %s (%s) of %i types in blocks, without biases too, as over every pair", (scheme, marks, count) => {
    const labels = ["O", ...Array.from({ length: count }, (_, k) => [...marks].map((mark) => `${mark}-${k}`)).flat()], C = labels.length, T = 300;
    for (const biases of [{}, { backgroundStay: 0.5, insideToContinue: -0.25 }]) {
      const decoder = new SpanDecoder(labels, { scheme, biases }), { model } = decoder, logits = { data: Float32Array.from({ length: T * C }, () => 6 * (random.uniform() - 0.5)), shape: [T, C] };
      expect(model.structure).toBe("blocks");
      const dense = compileChain({ data: model.transitions, shape: [C, C] }, { structure: "dense", start: model.start, end: model.end });
      const decoded = decoder.decode(logits), { marginals, logPartition } = chainForwardBackward(dense, logits, { marginals: true }), path = chainViterbi(dense, logits);
      expectExact(decoded.labels, path.states);
      expectClose(decoded.labellingProbability, Math.exp(path.scores[0] - logPartition[0]), { rtol: 1e-4 }); // of a logarithm near 600 in float32 sums
      // A span of one token that nothing goes on from: the marginal of its label.
      const single = labels.findIndex((label) => label.startsWith("S-"));
      if (single >= 0) for (let t = 0; t < T; t++) expectClose(decoded.probabilityOf({ type: labels[single].slice(2), from: t, to: t + 1 }), marginals![t * C + single], { atol: 1e-6 });
      dense.dispose();
      decoder.dispose();
    }
  });

  it("gives probabilities that sum to the marginals, over 2,000 tokens", () => {
    const labels = ["O", "B-a", "I-a", "E-a", "S-a", "B-b", "I-b", "E-b", "S-b"], decoder = new SpanDecoder(labels), T = 2000;
    const decoded = decoder.decode(scores(random, T, labels.length, 8)), starts = new Float64Array(T);
    // Every span that starts at a token, however long: the probability of B- and S- there. What is left out has less than 1e-7 each.
    for (const { from, probability } of decoded.above(1e-7)) starts[from] += probability;
    const ends = decoded.above(0.5);
    for (let k = 1; k < ends.length; k++) expect(ends[k].from).toBeGreaterThanOrEqual(ends[k - 1].to);
    expect(Math.max(...starts)).toBeLessThanOrEqual(1 + 1e-5); // sums of float32 marginals
    expect(ends.length).toBeGreaterThan(50);
  });
});

describe("SpanDecoder", () => {
  const labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], decoder = new SpanDecoder(labels);
  const one = (y: number): number[] => labels.map((_, c) => (c === y ? 6 : 0));

  it("knows its labels", () => {
    expect([decoder.scheme, decoder.types, decoder.temperature]).toEqual(["BIO", ["PER", "LOC"], 1]);
    const guess = (names: string[]): string => new SpanDecoder(names).scheme;
    expect([["O", "PER"], ["O", "I-PER"], ["O", "B-x", "I-x", "E-x", "S-x"], ["B-x", "I-x", "L-x", "U-x", "O"], ["B", "M", "E", "S"].map((m) => `${m}-w`), ["O", "B-x", "X-y"]].map(guess)).toEqual(["IO", "IO", "BIOES", "BIOUL", "BMES", "IO"]);
    expect(new SpanDecoder(["supported", "unsupported"], { outside: "supported" }).types).toEqual(["unsupported"]);
    expect(new SpanDecoder(["O", ...["p", "q", "r", "s"].flatMap((type) => ["B", "I", "E", "S"].map((m) => `${m}-${type}`))]).model.structure).toBe("blocks");
  });

  it("leaves out special tokens, takes words as one, and gives offsets", () => {
    // [CLS] Ada Love ##lace in London [SEP]: the rows of special tokens say nothing.
    const logits = [one(3), one(1), one(2), one(0), one(0), one(3), one(4)], offsets = [[0, 0], [0, 3], [4, 8], [8, 12], [13, 15], [16, 22], [22, 22]], where = [0, 1, 1, 1, 1, 1, 0];
    const tokens = decoder.decode(logits, { offsets, where: Uint8Array.from(where) });
    expect([...tokens].map(({ type, from, to, start, end }) => [type, from, to, start, end])).toEqual([["PER", 1, 3, 0, 8], ["LOC", 5, 6, 16, 22]]);
    expectExact(tokens.labels, [-1, 1, 2, 0, 0, 3, -1]);
    const words = decoder.decode(logits, { offsets, where: Uint8Array.from(where), words: Int32Array.of(-1, 0, 1, 1, 2, 3, -1) });
    expect([...words].map(({ type, from, to, start, end }) => [type, from, to, start, end])).toEqual([["PER", 1, 4, 0, 12], ["LOC", 5, 6, 16, 22]]);
    expectExact(words.labels, [-1, 1, 2, -1, 0, 3, -1]);
    expectExact(words.probabilityOf({ type: "PER", from: 1, to: 3 }), 0);
    expectExact(words.probabilityOf({ type: "PER", from: 1, to: 4 }), words.probability[0]);
    expectExact([words.from, words.to, words.type].flatMap((x) => Array.from(x)), [1, 5, 4, 6, 0, 1]);
  });

  it("breaks no span at the edge of a window: merged rows give what one window gives", () => {
    const T = 40, logits = scores(random, T, 5), whole = decoder.decode(logits);
    const windows = [0, 12, 24].map((from) => ({ from, logits: logits.slice(from, from + 16) }));
    for (const rule of ["centre", "mean"] as const) {
      const merged = decoder.decode(mergeWindows(windows, { rule }));
      expectExact(merged.labels, whole.labels);
      expectClose(merged.probability, whole.probability, { atol: 1e-6 }); // rows differ by a constant, which rounds
    }
    // A token near an edge has the row of the other window.
    const marked = (value: number, rows: number) => Array.from({ length: rows }, () => [value]);
    expectExact(mergeWindows([{ from: 0, logits: marked(1, 6) }, { from: 2, logits: marked(2, 6) }]).data, [1, 1, 1, 1, 2, 2, 2, 2]);
    expectExact(mergeWindows([{ from: 0, logits: [[0, -Infinity], [0, 1]] }, { from: 1, logits: [[4, 2]] }], { rule: "mean" }).data, [0, -Infinity, -0.5, -1]);
  });

  it("answers for no tokens", () => {
    const empty = decoder.decode({ data: new Float32Array(0), shape: [0, 5] });
    expect([empty.size, empty.labellingProbability, [...empty], empty.above(0.5), empty.alternatives(3)]).toEqual([0, 1, [], [], [{ spans: [], probability: 1 }]]);
    expect(decoder.decode([one(1)], { where: Uint8Array.of(0) }).size).toBe(0);
  });

  it("reads the calibration of privacy-filter", () => {
    const biases = { transition_bias_background_stay: 0.5, transition_bias_background_to_start: -0.25, transition_bias_end_to_background: 0, transition_bias_end_to_start: -1, transition_bias_inside_to_continue: 0.75, transition_bias_inside_to_end: -0.5 };
    const read = readViterbiCalibration({ operating_points: { default: { biases } } });
    expect(read).toEqual({ backgroundStay: 0.5, backgroundToStart: -0.25, endToBackground: 0, endToStart: -1, insideToContinue: 0.75, insideToEnd: -0.5 });
    // O, B, I, E, S: each legal transition has the bias of its kind.
    const forbidden = -Infinity;
    expectExact(new SpanDecoder(["O", "B-x", "I-x", "E-x", "S-x"], { biases: read }).model.transitions, [
      0.5, -0.25, forbidden, forbidden, -0.25, forbidden, forbidden, 0.75, -0.5, forbidden, forbidden, forbidden, 0.75, -0.5, forbidden, 0, -1, forbidden, forbidden, -1, 0, -1, forbidden, forbidden, -1,
    ]);
  });

  it("says what is wrong", () => {
    const message = (f: () => unknown): string => {
      try {
        f();
      } catch (error) {
        return String(error);
      }
      return "nothing";
    };
    expect([
      message(() => new SpanDecoder("O" as never)), message(() => new SpanDecoder([])), message(() => new SpanDecoder(["O", "O"])), message(() => new SpanDecoder(["O", 3 as never])),
      message(() => new SpanDecoder(["O", "B-a", "X-a"], { scheme: "BIO" })), message(() => new SpanDecoder(["a", "b"], { outside: "c" })), message(() => new SpanDecoder(["O", "a"], { temperature: 0 })),
      message(() => new SpanDecoder(["O", "a"], { transitions: [[0]] })), message(() => new SpanDecoder(["O", "a"], { biases: { stay: 1 } as never })), message(() => new SpanDecoder(["O", "a"], { biases: { endToStart: NaN } })),
    ]).toMatchInlineSnapshot(`
      [
        "TypeError: SpanDecoder: expected \`labels\` an array of names, got String",
        "RangeError: SpanDecoder: expected \`labels\` with at least one name, got none",
        "RangeError: SpanDecoder: expected \`labels\` different names, got "O" twice",
        "TypeError: SpanDecoder: expected \`labels[1]\` a string, got Number",
        "RangeError: SpanDecoder: expected \`labels\` of the scheme BIO: O or B-, I- and a type, got "X-a". Name the label outside of spans with \`outside\`, or the \`scheme\`",
        "RangeError: SpanDecoder: expected \`outside\` one of the labels, got "c"",
        "RangeError: SpanDecoder: expected \`temperature\` a finite number > 0, got 0",
        "RangeError: SpanDecoder: expected \`transitions\` of 4 scores, got shape [1, 1]",
        "RangeError: SpanDecoder: expected \`biases\` of the names backgroundStay, backgroundToStart, endToBackground, endToStart, insideToContinue, insideToEnd, got "stay"",
        "RangeError: SpanDecoder: expected \`biases.endToStart\` finite, got NaN",
      ]
    `);
    expect([
      message(() => decoder.decode([[1, 2]])), message(() => decoder.decode({ data: new Float32Array(10), shape: [1, 2, 5] })), message(() => decoder.decode([one(0), [0, NaN, 0, 0, 0]])),
      message(() => decoder.decode([[-Infinity, -Infinity, 0, -Infinity, 0]])), message(() => decoder.decode([one(0)], { offsets: [[0, 1], [1, 2]] })), message(() => decoder.decode([one(0)], { where: Uint8Array.of(1, 1) })),
      message(() => decoder.decode([one(0), one(0)], { words: Int32Array.of(1, 0) })), message(() => decoder.decode([one(0)]).above(0)), message(() => decoder.decode([one(0)]).probabilityOf({ type: "X", from: 0, to: 1 })),
      message(() => decoder.decode([one(0)]).probabilityOf({ type: "PER", from: 0, to: 2 })), message(() => decoder.decode([one(0)]).alternatives(0)),
    ]).toMatchInlineSnapshot(`
      [
        "RangeError: SpanDecoder.decode: expected \`logits\` of shape [T, 5], got [1, 2]",
        "RangeError: SpanDecoder.decode: expected \`logits\` of shape [T, 5], got [1, 2, 5]. Take one text: logits.row(b)",
        "RangeError: SpanDecoder.decode: expected \`logits\` finite or -Infinity, got NaN in row 1",
        "RangeError: SpanDecoder.decode: expected \`logits\` with a labelling that BIO allows, got none with a finite score",
        "RangeError: SpanDecoder.decode: expected \`offsets\` of shape [1, 2], got [2, 2]",
        "RangeError: SpanDecoder.decode: expected \`where\` for 1 tokens, got 2",
        "RangeError: SpanDecoder.decode: expected \`words\` not decreasing, got 0 after 1 at index 1",
        "RangeError: DecodedSpans.above: expected \`threshold\` in (0, 1], got 0",
        "RangeError: DecodedSpans.probabilityOf: expected \`span.type\` one of PER, LOC, got "X"",
        "RangeError: DecodedSpans.probabilityOf: expected \`span.to\` an integer in [1, 1], got 2",
        "RangeError: DecodedSpans.alternatives: expected \`k\` an integer in [1, 2147483647], got 0",
      ]
    `);
    expect([
      message(() => mergeWindows([])), message(() => mergeWindows([{ from: 1, logits: [[0]] }])), message(() => mergeWindows([{ from: 0, logits: [[0]] }, { from: 1, logits: [[0, 1]] }])),
      message(() => mergeWindows([{ from: 0, logits: [[0]] }], { rule: "best" as never })), message(() => mergeWindows([{ from: -1, logits: [[0]] }])),
    ]).toMatchInlineSnapshot(`
      [
        "RangeError: mergeWindows: expected \`windows\` with at least one window, got none",
        "RangeError: mergeWindows: expected \`windows\` that cover tokens 0 to 1, got none over token 0",
        "RangeError: mergeWindows: expected \`windows[1].logits\` of shape [W, 1], as the first window, got [1, 2]",
        "RangeError: mergeWindows: expected \`rule\` "centre" or "mean", got "best"",
        "RangeError: mergeWindows: expected \`windows[0].from\` an integer in [0, 2147483647], got -1",
      ]
    `);
    expect([
      message(() => readViterbiCalibration(null)), message(() => readViterbiCalibration({ operating_points: { high_recall: {} } })),
      message(() => readViterbiCalibration({ operating_points: { default: { biases: { transition_bias_background_stay: "0" } } } })),
    ]).toMatchInlineSnapshot(`
      [
        "FormatError: readViterbiCalibration: expected operating_points.default.biases, got none",
        "FormatError: readViterbiCalibration: expected operating_points.default.biases, got the operating points high_recall",
        "FormatError: readViterbiCalibration: expected transition_bias_background_stay a finite number, got String",
      ]
    `);
  });
});
