import { expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromTopLogprobs } from "./topLogprobs.ts";

type Entry = readonly [token: string, p: number];
const entries = (...list: Entry[]) => list.map(([token, p]) => ({ token, logprob: Math.log(p), bytes: null }));
const chat = (list: readonly Entry[], said: Entry = list[0]) => ({ choices: [{ logprobs: { content: [{ token: said[0], logprob: Math.log(said[1]), bytes: null, top_logprobs: entries(...list) }] } }] });

describe("fromTopLogprobs", () => {
  it("adds the spellings of an option and leaves open what is not listed", () => {
    // Unlisted texts that begin B: " B"; C: "C", " C"; none of them above 0.02. " " begins all three.
    const scores = fromTopLogprobs(chat([["A", 0.5], [" A", 0.2], ["B", 0.1], ["The", 0.06], [" ", 0.04], ["I", 0.02]]), { options: ["A", "B", "C"] });
    expect(scores.classes).toEqual(["A", "B", "C"]);
    expectClose(scores.lower, [0.7, 0.1, 0], { atol: 1e-12 }); // sums of exponentials
    expectClose(scores.upper, [0.7 + 0.04, 0.1 + 0.04 + 0.02, 0.04 + 2 * 0.02], { atol: 1e-12 }); // as above
    expectClose(scores.unobserved, 0.08, { atol: 1e-12 }); // as above
    expectClose(scores.other, 0.08, { atol: 1e-12 }); // as above
    expectClose(scores.logits, { shape: [3], data: [0.72, 0.13, 0.04].map(Math.log) }, { atol: 1e-6 }); // float32
    expect(scores.settled).toBe(true);
  });

  it("an option that is not listed has at most the last listed probability for each text that begins it, and at most what is left", () => {
    const { lower, upper } = fromTopLogprobs(entries(["A", 0.6], ["x", 0.3]), { options: { A: ["A"], B: ["B"], yes: ["yes"] } });
    expectClose(lower, [0.6, 0, 0], { atol: 1e-12 }); // as above
    expectClose(upper, [0.6, 0.1, 0.1], { atol: 1e-12 }); // as above
    const near = fromTopLogprobs(entries(["A", 0.6], ["x", 0.05]), { options: { A: ["A"], B: ["B"], yes: ["yes"] } });
    expectClose(near.upper, [0.6, 0.05, 0.15], { atol: 1e-12 }); // y, ye, yes
  });

  it("a token that may become another option is certain for none", () => {
    const { lower, upper } = fromTopLogprobs(entries(["1", 0.5], ["10", 0.3], ["2", 0.2]), { options: { 1: ["1"], 10: ["10"], 2: ["2"] } });
    expectClose([...lower, ...upper], [0, 0.2, 0.3, 0.5, 0.2, 0.8], { atol: 1e-12 }); // object keys that are whole numbers come in their order: 1, 2, 10
  });

  it("holds the truth of every distribution whose top k it sees", () => {
    const random = testRandom(1);
    const texts = ["A", " A", "B", " B", "C", " C", " ", "Answer", "x", "y", "z", "w"];
    for (let round = 0; round < 500; round++) {
      const raw = texts.map(() => random.uniform() ** 4);
      const total = raw.reduce((a, b) => a + b, 0);
      const p = new Map(texts.map((text, i) => [text, raw[i] / total]));
      const listed = [...p].sort(([, a], [, b]) => b - a).slice(0, 1 + random.integer(12));
      const said = texts[random.integer(texts.length)];
      const { lower, upper, unobserved, other, settled } = fromTopLogprobs(chat(listed, [said, p.get(said)!]), { options: ["A", "B", "C"] });
      // A space is followed by one of the options, in shares that nobody sees.
      const shares = [random.uniform(), random.uniform(), random.uniform()];
      const sum = shares.reduce((a, b) => a + b, 0);
      const truth = ["A", "B", "C"].map((name, i) => p.get(name)! + p.get(` ${name}`)! + (p.get(" ")! * shares[i]) / sum);
      for (let c = 0; c < 3; c++) {
        expect(truth[c]).toBeGreaterThanOrEqual(lower[c] - 1e-12); // rounding of sums
        expect(truth[c]).toBeLessThanOrEqual(upper[c] + 1e-12); // as above
      }
      expect(unobserved).toBeGreaterThanOrEqual(0);
      expect(other).toBeLessThanOrEqual(1);
      if (settled) expect(truth.indexOf(Math.max(...truth))).toBe(lower.indexOf(Math.max(...lower)));
    }
  });

  it("rounding beyond 1 is no probability", () => {
    const { lower, upper, logits, unobserved } = fromTopLogprobs(entries(["A", 0.6004], [" A", 0.4002]), { options: ["A", "B"] });
    expect([lower[0], upper[0], logits.data[0], unobserved]).toEqual([1, 1, 0, 0]);
  });

  it("refuses a chosen token whose log-probability is none", () => {
    const response = (logprob: number) => ({ choices: [{ logprobs: { content: [{ token: "", logprob, top_logprobs: [{ token: "A", logprob: -1 }] }] } }] });
    expect(() => fromTopLogprobs(response(NaN), { options: ["A", "B"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`response\` of tokens with a log-probability of at most 0, got "" with NaN at index 0]`);
    expect(fromTopLogprobs(response(-9999), { options: ["A", "B"] }).lower[0]).toBeCloseTo(Math.exp(-1));
  });
  it("any other JSON is refused in words of its own, and what is read keeps its intervals in order", () => {
    const token = fc.oneof(fc.constantFrom("A", " A", "B", "", " "), fc.string({ unit: "binary" }));
    const logprob = fc.oneof(fc.double({ max: 0 }), fc.constantFrom(0, -0, -9999, -Infinity, NaN, 1), fc.jsonValue());
    const top = fc.oneof(fc.array(fc.oneof(fc.record({ token, logprob }), fc.jsonValue()), { maxLength: 4 }), fc.jsonValue());
    const content = fc.oneof(fc.array(fc.oneof(fc.record({ token, logprob, top_logprobs: top }), fc.jsonValue()), { maxLength: 2 }), fc.jsonValue());
    const response = fc.oneof(
      top,
      fc.record({ choices: fc.oneof(fc.array(fc.record({ logprobs: fc.oneof(fc.record({ content }), fc.record({ tokens: fc.jsonValue(), top_logprobs: fc.oneof(fc.array(fc.dictionary(token, logprob)), fc.jsonValue()) })) })), fc.jsonValue()) }),
      fc.record({ output: fc.oneof(fc.array(fc.record({ content: fc.oneof(fc.array(fc.record({ type: fc.constantFrom("output_text", "refusal"), logprobs: content })), fc.jsonValue()) })), fc.jsonValue()) }),
    );
    let read = 0;
    fc.assert(fc.property(response, (x) => {
      let scores;
      try {
        scores = fromTopLogprobs(x, { options: ["A", "B"] });
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith("fromTopLogprobs: expected `")) throw error;
        return;
      }
      read++;
      for (let c = 0; c < 2; c++) expect(0 <= scores.lower[c] && scores.lower[c] <= scores.upper[c] && scores.upper[c] <= 1).toBe(true);
      expect([...scores.logits.data].every((z) => z <= 0)).toBe(true);
    }), { seed: 5, numRuns: process.env.LOGITS_SLOW ? 100_000 : 2000 });
    expect(read).toBeGreaterThan(10);
  });

  it("reads chat completions, legacy completions, Responses and a list alike", () => {
    const list: Entry[] = [["A", 0.7], ["B", 0.2]];
    const options = { options: ["A", "B"] as const };
    const want = fromTopLogprobs(entries(...list), options);
    const top_logprobs = entries(...list);
    const legacy = { choices: [{ text: "A", logprobs: { tokens: ["A"], token_logprobs: [Math.log(0.7)], top_logprobs: [Object.fromEntries(list.map(([token, p]) => [token, Math.log(p)]))] } }] };
    const responses = { output: [{ type: "reasoning", summary: [] }, { type: "message", content: [{ type: "output_text", text: "A", logprobs: [{ token: "A", logprob: Math.log(0.7), top_logprobs }] }] }] };
    // A token that was said is no p_k: the last of the others is.
    expect(fromTopLogprobs(chat(list), options)).toEqual(want);
    expect(fromTopLogprobs(legacy, options)).toEqual(want);
    expect(fromTopLogprobs(responses, options)).toEqual(want);
  });

  it("reads another position and another choice", () => {
    const position = (token: string) => ({ token, logprob: 0, top_logprobs: entries([token, 1]) });
    const response = { choices: [{ logprobs: { content: [position("A")] } }, { logprobs: { content: [position("\n"), position("B")] } }] };
    expect(fromTopLogprobs(response, { options: ["A", "B"], choice: 1, position: 1 }).lower).toEqual([0, 1]);
    const parts = { output: [{ content: [{ type: "output_text", logprobs: [position("A")] }] }, { content: [{ type: "output_text", logprobs: [position("B")] }] }] };
    expect(fromTopLogprobs(parts, { options: ["A", "B"], choice: 1 }).lower).toEqual([0, 1]);
  });

  it("a token that was said beside the list is observed, and bounds nothing", () => {
    const { lower, upper } = fromTopLogprobs(chat([["A", 0.6], ["x", 0.2]], ["B", 0.01]), { options: { A: ["A"], B: ["B"], C: ["C"] } });
    expectClose(lower, [0.6, 0.01, 0], { atol: 1e-12 }); // as above
    expectClose(upper, [0.6, 0.01, 0.19], { atol: 1e-12 }); // as above
    const legacy = { choices: [{ logprobs: { tokens: ["B"], top_logprobs: [{ A: Math.log(0.6), x: Math.log(0.2), B: Math.log(0.01) }] } }] };
    expectClose(fromTopLogprobs(legacy, { options: { A: ["A"], B: ["B"], C: ["C"] } }).upper, [0.6, 0.01, 0.19], { atol: 1e-12 }); // as above
    const hidden = { choices: [{ logprobs: { content: [{ token: "B", logprob: -9999, top_logprobs: entries(["A", 0.6], ["x", 0.2]) }] } }] };
    expectClose(fromTopLogprobs(hidden, { options: { A: ["A"], B: ["B"] } }).upper, [0.6, 0.2], { atol: 1e-12 }); // as above
  });

  it("special values", () => {
    const sure = fromTopLogprobs(entries(["A", 1]), { options: ["A", "B"] });
    expect([sure.lower, sure.upper, sure.unobserved, [...sure.logits.data], sure.settled]).toEqual([[1, 0], [1, 0], 0, [0, -Infinity], true]);
    const none = fromTopLogprobs(entries(["x", 0.5]), { options: ["A", "B"] });
    expect([none.lower, none.upper, none.other, none.settled]).toEqual([[0, 0], [0.5, 0.5], 0.5, false]);
    expect(fromTopLogprobs(entries(["x", 0.5]), { options: ["A"] }).settled).toBe(true);
    expect(fromTopLogprobs([{ token: "A", logprob: 1e-5 }], { options: ["A"] }).lower).toEqual([1]);
    expect(fromTopLogprobs([{ token: "A", logprob: -9999 }, { token: "B", logprob: 0 }], { options: ["A", "B"] }).lower).toEqual([0, 1]);
    const tie = fromTopLogprobs(entries(["A", 0.5], ["B", 0.5]), { options: ["A", "B"] });
    expect(tie.settled).toBe(false);
    expect(fromTopLogprobs(entries(["é", 0.5]), { options: ["é"] }).lower[0]).toBeCloseTo(0.5, 12);
  });

  it("upper and lower case differ", () => {
    expect(fromTopLogprobs(entries(["a", 1]), { options: ["A"] }).lower).toEqual([0]);
    expect(fromTopLogprobs(entries(["a", 1]), { options: { A: ["A", "a"] } }).lower).toEqual([1]);
  });

  it("says what it refuses", () => {
    const options = ["A", "B"];
    const list = entries(["A", 0.5]);
    expect(() => fromTopLogprobs(undefined, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got undefined. Pass the response's JSON, or the tokens of one position: [{ token, logprob }]]`);
    expect(() => fromTopLogprobs({ choices: [{ message: {}, logprobs: null }] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got choices without logprobs. Ask for them: logprobs: true, top_logprobs: 20 (legacy completions: logprobs: 5)]`);
    expect(() => fromTopLogprobs({ output: [{ content: [{ type: "output_text", logprobs: [] }] }] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got text without logprobs. Ask for them: include: ["message.output_text.logprobs"], top_logprobs: 20]`);
    expect(() => fromTopLogprobs({ output: [] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got an output without text]`);
    expect(() => fromTopLogprobs({ choices: [] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got no choices. Pass the response's JSON, or the tokens of one position: [{ token, logprob }]]`);
    expect(() => fromTopLogprobs({ choices: [{ logprobs: { content: [] } }] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got choices without logprobs. Ask for them: logprobs: true, top_logprobs: 20 (legacy completions: logprobs: 5)]`);
    expect(() => fromTopLogprobs({ error: { message: "quota" } }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got an object of "error". Pass the response's JSON, or the tokens of one position: [{ token, logprob }]]`);
    expect(() => fromTopLogprobs('{"choices":[]}', { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got String. Parse it: JSON.parse(text)]`);
    expect(() => fromTopLogprobs(chat([["A", 1]]), { options, choice: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`choice\` below 1, the number of choices, got 1]`);
    expect(() => fromTopLogprobs(chat([["A", 1]]), { options, position: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`position\` below 1, the number of tokens, got 1]`);
    expect(() => fromTopLogprobs(chat([["A", 1]]), { options, position: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`position\` an integer in [0, 2147483647], got -1]`);
    expect(() => fromTopLogprobs({ choices: [{ logprobs: { content: [{ token: "A", logprob: 0, top_logprobs: [] }] } }] }, { options })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`response\` with the most probable tokens of a language model, got none at this position. Ask for them: top_logprobs: 20]`);
    expect(() => fromTopLogprobs([{ token: "A", logprob: 0.5 }], { options })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`response\` of tokens with a log-probability of at most 0, got "A" with 0.5 at index 0]`);
    expect(() => fromTopLogprobs([{ token: "A", logprob: null }], { options })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`response\` of tokens with a log-probability of at most 0, got "A" with null at index 0]`);
    expect(() => fromTopLogprobs(entries(["A", 0.7], ["B", 0.7]), { options })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`response\` of tokens whose probabilities sum to at most 1, got 1.4]`);
    expect(() => fromTopLogprobs(list, { options: "A" as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`options\` a list of answers, or an object of their spellings, got String]`);
    expect(() => fromTopLogprobs(list, { options: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`options\` with at least one answer, got none]`);
    expect(() => fromTopLogprobs(list, { options: [""] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`options\` of texts that are not empty, got Array for ""]`);
    expect(() => fromTopLogprobs(list, { options: ["A", " A"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`options\` without spaces around them, got " A". For spellings of your own pass an object]`);
    expect(() => fromTopLogprobs(list, { options: ["A", "A"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fromTopLogprobs: expected \`options\` that are spelled differently, got "A" for "A" and "A"]`);
    expect(() => fromTopLogprobs(list, { options: { A: [] } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: fromTopLogprobs: expected \`options\` of texts that are not empty, got Array for "A"]`);
  });
});
