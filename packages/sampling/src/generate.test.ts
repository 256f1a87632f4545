import { describe, expect, it } from "vitest";
import { Sampler, type ProcessorLogits, type SamplerOptions } from "./index.ts";

/** generate of Transformers.js, as far as a processor sees it; the real one is in tools/consumers. */
function generate(options: { readonly logits_processor: Iterable<(ids: readonly (readonly bigint[])[], logits: ProcessorLogits) => ProcessorLogits> }, prompt: readonly number[][], steps: number, row: (last: number) => number[], tamper = (id: number): number => id): number[][] {
  const ids = prompt.map((one) => one.map(BigInt));
  for (let t = 0; t < steps; t++) {
    const rows = ids.map((one) => row(Number(one.at(-1))));
    let logits: ProcessorLogits = { data: Float32Array.from(rows.flat()), dims: [rows.length, rows[0].length] };
    for (const processor of options.logits_processor) logits = processor(ids, logits);
    const data = logits.data as Float32Array, cols = rows[0].length;
    ids.forEach((one, b) => {
      const left = Array.from(data.subarray(b * cols, (b + 1) * cols).entries()).filter(([, v]) => v > -Infinity);
      expect(left.map(([, v]) => v)).toEqual([0]);
      one.push(BigInt(tamper(left[0][0])));
    });
  }
  return ids.map((one) => one.map(Number));
}

const row = (last: number): number[] => Array.from({ length: 6 }, (_, c) => (c === (last + 1) % 6 ? 2 : 0));
const sampler = (options: SamplerOptions = { seed: 4, topP: 0.9 }): Sampler => new Sampler(options);

describe("Sampler.generateOptions", () => {
  it("draws in the processor, leaves one finite logit, and tells afterwards what it drew", () => {
    const one = sampler(), text = generate(one.generateOptions({ max_new_tokens: 9 }), [[0, 1], [3, 2]], 9, row);
    const { tokens, logProbabilities, drawLogProbabilities, entropies, margins, candidates } = one.result;
    for (const numbers of [tokens, logProbabilities, drawLogProbabilities, entropies, margins, candidates]) expect(numbers.shape).toEqual([2, 9]);
    expect(tokens.toArray()).toEqual(text.map((ids) => ids.slice(2)));
    const loop = sampler(), own = [[0, 1], [3, 2]];
    for (let t = 0; t < 9; t++) loop.sample(own.map((ids) => row(ids.at(-1)!)), { tokens: own.map((ids) => ids.slice()), promptLength: 2 }).tokens.data.forEach((id, b) => own[b].push(id));
    expect(own).toEqual(text);
  });

  it("passes options on, and sets what makes it the only sampler", () => {
    const { logits_processor: list, ...options } = sampler().generateOptions({ max_new_tokens: 5, top_p: 1, do_sample: false, temperature: null });
    expect(options).toEqual({ max_new_tokens: 5, top_p: 1, do_sample: false, num_beams: 1, temperature: 1, top_k: 0, num_return_sequences: 1, repetition_penalty: 1, guidance_scale: 1 });
    expect([...list]).toEqual(list.processors);
    const logits = { data: Float32Array.of(1, 2), dims: [1, 2] };
    expect(list._call([[0n]], logits)).toBe(logits);
  });

  it("starts anew each time: the same text, the same mirostat", () => {
    const one = sampler({ seed: 4, mirostat: { surprise: 1 } }), first = generate(one.generateOptions(), [[0]], 12, row), { result } = one;
    expect(generate(one.generateOptions(), [[0]], 12, row)).toEqual(first);
    expect(one.result).toEqual(result);
  });

  it("says what is wrong", () => {
    const options = (given: object) => () => sampler().generateOptions(given);
    expect(options({ do_sample: true })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`do_sample\` left to the sampler, got true. It draws wherever its temperature is above 0]`);
    expect(options({ temperature: 0.7 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`temperature\` left to the sampler, got 0.7. Give it to \`new Sampler\`]`);
    expect(options({ num_beams: 3 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`num_beams\` left to the sampler, got 3. One token is drawn for each row: repeat the prompt for more]`);
    expect(options({ guidance_scale: 3 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`guidance_scale\` left to the sampler, got 3. Use \`guidance\` of the sampler, in a loop of your own]`);
    expect(options({ generation_config: {} })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`generation_config\` left to the sampler, got an object. Pass its other fields by themselves]`);
    expect(options({ logits_processor: [] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`logits_processor\` left to the sampler, got an object. Use \`logitBias\` and \`allowed\` of the sampler]`);
    expect(() => sampler({ seed: 1, guidance: { kind: "contrastive" } }).generateOptions()).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`guidance\` with \`sample\`, where the scores of two models meet, got a sampler with guidance. generate runs one model: call sample in a loop of your own]`);
    expect(() => sampler().generateOptions().logits_processor.push(() => {})).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`logits_processor\` left to the sampler, got a further processor. Use \`logitBias\` and \`allowed\` of the sampler]`);
    const one = sampler(), started = one.generateOptions();
    expect(() => one.result).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.result: expected \`generateOptions\` to be called and its options used, got no token]`);
    expect(() => started.logits_processor([[0n]], { data: new Float64Array(2), dims: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.generateOptions: expected \`logits\` float32, as generate hands them over, got Float64Array]`);
    generate(started, [[0]], 2, row);
    expect(() => generate(started, [[0]], 1, row)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.generateOptions: expected \`input_ids\` of 3 tokens, got 1. Call generateOptions anew for every generate]`);
    expect(() => generate(sampler({ temperature: 0 }).generateOptions(), [[0]], 2, row, (id) => id + 1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.generateOptions: expected \`input_ids\` that end with the token that was drawn, 1, got 2 in row 0. Another sampler acts beside this one]`);
  });
});
