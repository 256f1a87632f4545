import { core } from "@logits/core-wasm";
import { chiSquareSurvival } from "@logits/statistics";
import { Tensor, float32ToFloat16, randomSource, tensor, type TensorLike } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Sampler, type SampleContext, type SamplerOptions } from "./index.ts";

const INF = Infinity, V = 40, DRAWS = process.env.LOGITS_SLOW ? 200_000 : 10_000;
const random = testRandom(8), LOGITS = Float32Array.from({ length: V }, (_, c) => (c % 9 === 8 ? -INF : 2 * random.normal()));

/** Probabilities in float64. */
function softmax(x: ArrayLike<number>): number[] {
  const top = Math.max(...Array.from(x)), e = Array.from(x, (v) => Math.exp(v - top)), z = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / z);
}

/** What is left of p, made to sum to 1. */
function keep(p: readonly number[], which: (c: number) => boolean): number[] {
  const kept = p.map((q, c) => (which(c) ? q : 0)), z = kept.reduce((a, b) => a + b, 0);
  return kept.map((q) => q / z);
}

/** The smallest set of tokens with at least probability `mass`, in the order of a key. */
function first(p: readonly number[], mass: number, key: (c: number) => number): number[] {
  const order = Array.from(p.keys()).filter((c) => p[c] > 0).sort((a, b) => key(a) - key(b) || a - b);
  let sum = 0;
  const set = new Set(order.slice(0, order.findIndex((c) => (sum += p[c]) >= mass) + 1));
  return keep(p, (c) => set.has(c));
}

const entropyOf = (p: readonly number[]): number => -p.reduce((sum, q) => (q > 0 ? sum + q * Math.log(q) : sum), 0);

/** Each rule from its definition: options, context, the distribution in float64. */
const RULES: Record<string, { readonly options: Omit<SamplerOptions, "seed">; readonly context?: Omit<SampleContext, "position">; readonly want: () => number[] }> = {
  "no rule": { options: {}, want: () => softmax(LOGITS) },
  temperature: { options: { temperature: 1.7 }, want: () => softmax(LOGITS.map((x) => x / 1.7)) },
  topK: { options: { topK: 5 }, want: () => keep(softmax(LOGITS), (c) => LOGITS.toSorted((a, b) => b - a).subarray(0, 5).includes(LOGITS[c])) },
  topP: { options: { topP: 0.8 }, want: () => first(softmax(LOGITS), 0.8, (c) => -LOGITS[c]) },
  minP: { options: { minP: 0.1 }, want: () => { const p = softmax(LOGITS); return keep(p, (c) => p[c] >= 0.1 * Math.max(...p)); } },
  typicalP: { options: { typicalP: 0.6 }, want: () => { const p = softmax(LOGITS), h = entropyOf(p); return first(p, 0.6, (c) => Math.abs(-Math.log(p[c]) - h)); } },
  eta: { options: { eta: 0.1 }, want: () => { const p = softmax(LOGITS), bound = Math.min(0.1, Math.sqrt(0.1) * Math.exp(-entropyOf(p))); return keep(p, (c) => p[c] >= bound); } },
  "logit bias": { options: { logitBias: { 3: 2, 4: -INF } }, want: () => softmax(LOGITS.map((x, c) => (c === 3 ? x + 2 : c === 4 ? -INF : x))) },
  "repetition penalty": {
    options: { repetitionPenalty: 1.5 }, context: { tokens: [0, 1, 2, 2, 3], promptLength: 2 },
    want: () => softmax(LOGITS.map((x, c) => (c > 3 ? x : x > 0 ? x / 1.5 : x * 1.5))),
  },
  "presence and frequency penalties": {
    options: { presencePenalty: 0.7, frequencyPenalty: 0.4 }, context: { tokens: [0, 1, 2, 2, 3], promptLength: 2 },
    want: () => softmax(LOGITS.map((x, c) => x - (c === 2 ? 0.7 + 0.8 : c === 3 ? 0.7 + 0.4 : 0))),
  },
  "allowed tokens": { options: { allowed: () => [9, 5, 5, 8, 30] }, context: { tokens: [] }, want: () => keep(softmax(LOGITS), (c) => [5, 9, 30].includes(c)) },
  "classifier-free guidance": { options: { guidance: { kind: "classifier-free", scale: 1.5 } }, context: { references: [LOGITS.map((x, c) => (x === -INF ? x : Math.sin(c)))] }, want: () => softmax(LOGITS.map((x, c) => (x === -INF ? x : Math.sin(c) + 1.5 * (x - Math.sin(c))))) },
  mirostat: { options: { mirostat: { surprise: 1 } }, want: () => { const p = softmax(LOGITS); return keep(p, (c) => -Math.log(p[c]) <= 2); } },
  "all of them": {
    options: { temperature: 1.2, topK: 20, topP: 0.9, minP: 0.05, typicalP: 0.8, eta: 0.05 },
    want: () => {
      let p = softmax(LOGITS.map((x) => x / 1.2));
      const twenty = LOGITS.toSorted((a, b) => b - a)[19];
      p = first(keep(p, (c) => LOGITS[c] >= twenty), 0.9, (c) => -LOGITS[c]);
      const top = Math.max(...p), q = keep(p, (c) => p[c] >= 0.05 * top), h = entropyOf(q), r = first(q, 0.8, (c) => Math.abs(-Math.log(q[c]) - h));
      const bound = Math.min(0.05, Math.sqrt(0.05) * Math.exp(-entropyOf(r)));
      return keep(r, (c) => r[c] >= bound);
    },
  },
};

describe("Sampler", () => {
  for (const [name, { options, context, want }] of Object.entries(RULES)) {
    it(`draws from what the definition leaves: ${name}, chi-square of ${DRAWS} draws`, () => {
      const sampler = new Sampler({ seed: 12, ...options }), draws = DRAWS, p = want(), counts = new Float64Array(V);
      expectClose(sampler.distribution(LOGITS, context), p, { rtol: 3e-6 }); // float32 weights, at distances up to 10
      for (let position = 0; position < draws; position++) {
        sampler.reset();
        counts[sampler.sample(LOGITS, { ...context, position }).tokens.item()]++;
      }
      let chi2 = 0, cells = 0, rest = 0, restCount = 0;
      p.forEach((q, c) => {
        if (q === 0) expect(counts[c], `token ${c}`).toBe(0);
        else if (q * draws < 10) { rest += q; restCount += counts[c]; } // too rare for a cell of its own
        else { chi2 += (counts[c] - draws * q) ** 2 / (draws * q); cells++; }
      });
      if (rest * draws > 5) { chi2 += (restCount - draws * rest) ** 2 / (draws * rest); cells++; }
      if (cells > 1) expect(chiSquareSurvival(chi2, cells - 1)).toBeGreaterThan(0.001);
    });
  }

  it("takes uniform number `position` of randomSource(seed, stream + row)", () => {
    const seed = 2 ** 40 + 5, source = [0, 1, 2].map((row) => randomSource(seed, 2 ** 33 + row)), p = softmax(LOGITS), sampler = new Sampler({ seed, stream: 2 ** 33 });
    const logits = new Tensor("float32", [3, V], Float32Array.from([...LOGITS, ...LOGITS, ...LOGITS]));
    for (let position = 0; position < 50; position++) {
      const { tokens } = sampler.sample(logits, { position });
      source.forEach((one, row) => {
        const u = one.uniform(), token = tokens.at(row), before = p.slice(0, token).reduce((a, b) => a + b, 0);
        expect(before - 1e-6).toBeLessThan(u); // float32 weights
        expect(before + p[token] + 1e-6).toBeGreaterThan(u);
      });
    }
  });

  it("gives the same tokens and numbers for any dtype, batch and way to say the position", () => {
    const sampler = new Sampler({ seed: 3, topP: 0.9, temperature: 0.7 }), half = float32ToFloat16(LOGITS), context = { position: 5 };
    const bits = { data: half, dims: [V], type: "float16" }, want = sampler.sample(bits, context);
    const Half = (globalThis as { Float16Array?: new (buffer: ArrayBufferLike) => unknown }).Float16Array;
    if (Half) expect(sampler.sample({ data: new Half(half.slice().buffer), dims: [V], type: "float16" }, context)).toEqual(want);
    const wide = { data: Float64Array.from(tensor(bits).data), shape: [V] };
    expect(sampler.sample(wide, context)).toEqual(want);
    expect(sampler.sample(bits, { tokens: [1, 2, 3, 4, 5] })).toEqual(want);
    expect(sampler.sample(bits, { tokens: BigInt64Array.of(1n, 2n, 3n, 4n, 5n) })).toEqual(want);
    const resident = core.alloc([2, V]);
    resident.data.set([...tensor(bits).data, ...LOGITS]);
    const batch = sampler.sample(resident, context);
    expectExact(batch.tokens.at(0), want.tokens.item());
    expectExact(batch.entropies.at(0), want.entropies.item());
    expectExact(batch.tokens.at(1), new Sampler({ seed: 3, stream: 1, topP: 0.9, temperature: 0.7 }).sample(LOGITS, context).tokens.item());
    expect(sampler.sample(resident, { tokens: [[1, 2, 3, 4, 5], [7, 7, 7, 7, 7]] })).toEqual(batch);
    resident.dispose();
  });

  it("keeps the leading shape and takes no rows", () => {
    const sampler = new Sampler({ temperature: 0 });
    expect(sampler.sample([[[1, 2], [3, 1]]]).tokens.shape).toEqual([1, 2]);
    expect([...sampler.sample([[[1, 2], [3, 1]]]).tokens.data]).toEqual([1, 0]);
    expect(sampler.sample([1, 2]).tokens.shape).toEqual([]);
    expect(sampler.sample(new Tensor("float32", [0, 3], new Float32Array(0))).tokens.shape).toEqual([0]);
    expect(sampler.distribution([[1, 2], [3, 1]]).toArray()).toEqual([[0, 1], [1, 0]]);
  });

  it("says what the numbers are of: the logits themselves, not what the rules made of them", () => {
    const { logProbabilities, drawLogProbabilities, entropies, margins, candidates, tokens } = new Sampler({ seed: 1, temperature: 3, topK: 2, logitBias: { 5: 100 } }).sample(LOGITS, { position: 0 });
    const p = softmax(LOGITS), sorted = LOGITS.toSorted((a, b) => b - a);
    expect([tokens.item(), candidates.item()]).toEqual([5, 2]);
    expectClose([logProbabilities.item(), entropies.item()], [Math.log(p[5]), entropyOf(p)], { atol: 1e-6 }); // float32
    expectExact(margins.item(), sorted[0] - sorted[1]);
    expectClose(drawLogProbabilities.item(), 0, { atol: 1e-6 });
  });

  it("counts every token where no rule leaves one out, and behind a rule the possible ones", () => {
    const counts = (options: SamplerOptions): number => new Sampler({ seed: 1, ...options }).sample([0, 1, -Infinity], { tokens: [], position: 0 }).candidates.item();
    expect([{}, { topK: 3 }, { topK: 2 }, { topP: 0.9999999 }, { minP: 1e-30 }, { allowed: () => [0, 2] }].map(counts)).toEqual([3, 3, 2, 2, 2, 1]);
  });

  it("mirostat keeps the mean surprise at its target, on text that varies", () => {
    for (const surprise of [1.7, 1.9, 2.1]) {
      const source = testRandom(4), sampler = new Sampler({ seed: 9, mirostat: { surprise } }), steps = 3000;
      let sum = 0;
      for (let position = 0; position < steps; position++) sum -= sampler.sample(Float32Array.from({ length: 200 }, () => 2.5 * source.normal()), { position }).logProbabilities.item();
      // The most probable token alone is below these targets and the entropy above, on average. The bound moves by rate * (surprise - target) and stays bounded, so that the mean error is of the order of 1 / (rate * steps), whatever is drawn.
      expect(Math.abs(sum / steps - surprise)).toBeLessThan(0.05);
    }
    const one = new Sampler({ seed: 9, mirostat: { surprise: 1 } }), other = new Sampler({ seed: 9, mirostat: { surprise: 1 } });
    for (let position = 0; position < 20; position++) one.sample(LOGITS, { position });
    one.reset();
    for (let position = 0; position < 20; position++) expect(one.sample(LOGITS, { position })).toEqual(other.sample(LOGITS, { position }));
  });

  it("all rules at their limits change nothing, or leave one token", () => {
    const p = new Sampler({ seed: 1 }).distribution(LOGITS), best = LOGITS.indexOf(Math.max(...LOGITS)), one = new Float32Array(V);
    one[best] = 1;
    for (const options of [{ topK: V }, { topK: 10 * V }, { topP: 1 }, { minP: 0 }, { minP: 1e-320 }, { typicalP: 1 }, { eta: 0 }, { eta: 1e-320 }, { repetitionPenalty: 1 }]) expectExact(new Sampler({ seed: 1, ...options }).distribution(LOGITS).data, p.data);
    for (const options of [{ topK: 1 }, { topP: 1e-9 }, { minP: 1 }, { temperature: 2 ** -126 }, { temperature: 0, seed: undefined }, { mirostat: { surprise: 1e-9 } }]) expectExact(new Sampler({ seed: 1, ...options }).distribution(LOGITS).data, one);
    expect(new Sampler({ seed: 1, eta: 0.999 }).sample(LOGITS, { position: 0 }).candidates.item()).toBeGreaterThan(0);
  });

  it("takes the smaller of equal tokens at every limit", () => {
    const equal = new Float32Array(V);
    for (const [options, size] of [[{ topK: 3 }, 3], [{ topP: 0.5 }, 20], [{ topP: 0.51 }, 21], [{ typicalP: 0.25 }, 10], [{ minP: 1 }, V], [{ temperature: 0 }, 1]] as const) {
      const p = new Sampler({ seed: 1, ...options }).distribution(equal).data;
      expect(Array.from(p.keys()).filter((c) => p[c] > 0), JSON.stringify(options)).toEqual(Array.from({ length: size }, (_, c) => c));
    }
  });

  it("leaves arguments unchanged", () => {
    const logits = LOGITS.slice(), tokens = [1, 2, 3];
    new Sampler({ seed: 1, topK: 3, repetitionPenalty: 2, logitBias: new Map([[2, 5]]) }).sample(logits, { tokens });
    expectExact(logits, LOGITS);
    expect(tokens).toEqual([1, 2, 3]);
  });

  it("says what is wrong", () => {
    const make = (options: object) => () => new Sampler(options as SamplerOptions), draw = (logits: TensorLike, context: SampleContext = { position: 0 }, options: object = {}) => () => new Sampler({ seed: 1, ...options }).sample(logits, context);
    expect(make({})).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`seed\` an integer in [0, 2^53), got undefined. Randomness is an argument: the same seed gives the same tokens]`);
    expect(make({ seed: 1.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`seed\` an integer in [0, 2^53), got 1.5]`);
    expect(make({ seed: 1, stream: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`stream\` an integer in [0, 2^53), got -1]`);
    expect(make({ seed: 1, temperature: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`temperature\` 0 or in [2^-126, 2^126], got -1]`);
    expect(make({ seed: 1, topK: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`topK\` an integer in [1, 2147483647], got 0]`);
    expect(make({ seed: 1, topP: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`topP\` in (0, 1], got 0]`);
    expect(make({ seed: 1, minP: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`minP\` in [0, 1], got 2]`);
    expect(make({ seed: 1, typicalP: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`typicalP\` in (0, 1], got NaN]`);
    expect(make({ seed: 1, eta: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`eta\` in [0, 1), got 1]`);
    expect(make({ seed: 1, repetitionPenalty: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`repetitionPenalty\` a finite number > 0, got 0]`);
    expect(make({ seed: 1, presencePenalty: INF })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`presencePenalty\` finite, got Infinity]`);
    expect(make({ seed: 1, logitBias: { a: 1 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`logitBias\` of tokens, integers from 0 up, got NaN]`);
    expect(make({ seed: 1, logitBias: { 1: INF } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`logitBias\` finite or -Infinity, got Infinity for token 1]`);
    expect(make({ seed: 1, allowed: [1] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler: expected \`allowed\` a function of the tokens so far, got object]`);
    expect(make({ seed: 1, mirostat: { surprise: 0 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`mirostat.surprise\` a finite number > 0, got 0]`);
    expect(make({ seed: 1, mirostat: { surprise: 1, rate: 0 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`mirostat.rate\` a finite number > 0, got 0]`);
    expect(make({ seed: 1, mirostat: { surprise: 1 }, topP: 0.9, topK: 5 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler: expected \`mirostat\` in place of the other rules, got \`topK\`, \`topP\` beside it]`);
    expect(make({ temperature: 0, mirostat: { surprise: 1 } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler: expected \`mirostat\` with a temperature above 0, got temperature 0]`);
    expect(make({ seed: 1, guidance: { kind: "other" } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`guidance.kind\` "classifier-free" or "contrastive" or "comparator", got "other"]`);
    expect(make({ seed: 1, guidance: { kind: "classifier-free" } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler: expected \`scale\` finite, got undefined]`);
    expect(draw([1, 2], {})).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`position\` an integer from 0 up, or \`tokens\`, got neither. Pass { position: step }: two draws at one position are the same]`);
    expect(draw([1, 2], { position: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`position\` an integer in [0, 9007199254740991], got -1]`);
    expect(draw([1, 2], undefined, { repetitionPenalty: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`tokens\` the text so far, which repetitionPenalty looks at, got nothing]`);
    expect(draw([1, 2], undefined, { presencePenalty: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`tokens\` the text so far, which presencePenalty and frequencyPenalty looks at, got nothing]`);
    expect(draw([1, 2], undefined, { allowed: () => [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`tokens\` the text so far, which allowed looks at, got nothing]`);
    expect(draw([1, 2], { tokens: [] }, { allowed: () => [2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`allowed\` of tokens in [0, 2), got 2]`);
    expect(draw([1, 2], { tokens: [] }, { allowed: () => [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`allowed\` with a possible token, got none in row 0]`);
    expect(draw([1, 2], { tokens: [5] }, { repetitionPenalty: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`tokens\` of tokens in [0, 2), got 5]`);
    expect(draw([1, 2], { position: 0 }, { logitBias: { 2: 1 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logitBias\` of tokens in [0, 2), got 2]`);
    expect(draw([[1, 2], [3, 4]], { tokens: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`tokens\` a list for each of 2 rows, got 1]`);
    expect(draw([[1, 2], [NaN, 4]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` without NaN, got NaN in row 1, column 0]`);
    expect(draw([[1, 2], [INF, 4]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` below +Infinity, got +Infinity in row 1, column 0]`);
    expect(draw([[1, 2], [-INF, -INF]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` with a possible token in every row, got only -Infinity in row 1]`);
    expect(draw([1, 2], { position: 0 }, { logitBias: { 0: -INF, 1: -INF } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` with a possible token in every row, got only -Infinity in row 0]`);
    expect(draw([1, 2], { position: 0, references: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`references\` 0 tensors, as \`guidance\` says, got 1]`);
    expect(draw([1, 2], { position: 0, references: [[1, 2, 3]] }, { guidance: { kind: "contrastive" } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`references\` of shape [2], got [3]]`);
    expect(draw([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` of shape [..., V], V >= 1, got [0]]`);
    expect(draw(tensor([1], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sample: expected \`logits\` of shape [..., V], V >= 1, got []]`);
    expect(() => new Sampler({ seed: 1 }).result).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.result: expected \`generateOptions\` to be called and its options used, got no call]`);
  });
});

it("mirostat's bounds stay where they were when a row of the batch is refused", () => {
  const make = (): Sampler => new Sampler({ seed: 3, mirostat: { surprise: 1, rate: 5 } }), [one, other] = [make(), make()], row = [0, 0, 0, 0, 0];
  expect(() => one.sample([row, [NaN, 0, 0, 0, 0]], { position: 0 })).toThrow(RangeError);
  expect(one.distribution([row]).toArray()).toEqual(other.distribution([row]).toArray());
});
