import { ruleRef, distancesRef } from "../../packages/core-wasm/src/sampling.ref.ts";
import { Sampler, type SamplerOptions } from "@logits/sampling";
import { randomSource, Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { sampleTokens, webgpu } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, missing } from "./adapter.ts";

// Tokens drawn on the GPU against the same sampler on the processor.

const INF = Infinity;

/** Scores of a model, sorted by nothing: some impossible, some equal. */
function scores(rows: number, cols: number, seed: number, spread = 3): Tensor<"float32"> {
  const random = testRandom(seed);
  return new Tensor("float32", [rows, cols], Float32Array.from({ length: rows * cols }, (_, i) => (i % cols > 0 && random.uniform() < 0.05 ? -INF : random.uniform() < 0.1 ? 1 : spread * random.normal())));
}

/** The scores that the rules see, as the sampler changes them. */
function changed(x: Float32Array, { logitBias, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, allowed }: SamplerOptions, text: readonly number[], row: number): Float32Array {
  const out = x.slice();
  for (const [id, bias] of Object.entries((logitBias ?? {}) as Record<string, number>)) out[Number(id)] += bias;
  for (const id of new Set(text)) {
    const count = text.filter((one) => one === id).length;
    if (repetitionPenalty !== 1) out[id] = out[id] > 0 ? out[id] / repetitionPenalty : out[id] * repetitionPenalty;
    out[id] -= (presencePenalty ? presencePenalty : 0) + frequencyPenalty * count;
  }
  const ids = allowed?.(text, row);
  return ids ? out.map((v, c) => (Array.from(ids).includes(c) ? v : -INF)) : out;
}

/** Whether a sum that decides lies within 1e-6 of the uniform number or of a rule's bound, or two tokens are within that equally near to the mean where `typicalP` cuts. */
function isNear(x: Float32Array, options: SamplerOptions, u: number): boolean {
  const { temperature = 1, typicalP } = options;
  let left = distancesRef(x, temperature);
  for (const [rule, value] of [["topK", options.topK], ["topP", options.topP], ["minP", options.minP], ["typicalP", typicalP], ["eta", options.eta], ["surprise", options.mirostat && 2 * options.mirostat.surprise]] as const) {
    if (value === undefined) continue;
    const { order, least, most } = ruleRef(x, left, rule, value);
    if (least !== most) return true;
    if (rule === "typicalP" && least < order.length) {
      const z = [...left.values()].reduce((total, d) => total + Math.exp(-d), 0), mean = [...left.values()].reduce((total, d) => total + (d * Math.exp(-d)) / z, 0);
      const far = (c: number): number => Math.abs(left.get(c)! - mean), [last, next] = [order[least - 1], order[least]];
      // Distances are rounded by 2^-23 of themselves.
      if (left.get(last) !== left.get(next) && far(next) - far(last) < 1e-6 * (1 + left.get(last)! + left.get(next)!)) return true;
    }
    const kept = new Set(order.slice(0, least));
    left = new Map([...left].filter(([c]) => kept.has(c)));
  }
  let sum = 0;
  const z = [...left.values()].reduce((total, d) => total + Math.exp(-d), 0);
  return [...left.keys()].sort((a, b) => a - b).some((c) => Math.abs((sum += Math.exp(-left.get(c)!) / z) - u) < 1e-6);
}

if (!missing) {
  const gpu = await webgpu({ gpu: dawn }), plain = await webgpu({ gpu: dawn, subgroups: false });
  afterAll(() => [gpu, plain].forEach((one) => one.dispose()));

  const rules: readonly Omit<SamplerOptions, "seed">[] = [
    {}, { temperature: 0 }, { temperature: 0.7 }, { temperature: 3 }, { topK: 1 }, { topK: 5 }, { topK: 40, temperature: 0.8 }, { topP: 0.9 }, { topP: 0.3, temperature: 2 }, { minP: 0.1 }, { minP: 1 }, { topK: 50, topP: 0.9, minP: 0.05, temperature: 0.7 }, { topK: 30, topP: 0.95, minP: 0.01, temperature: 1.5 },
    { typicalP: 0.2 }, { typicalP: 0.9, temperature: 1.5 }, { typicalP: 0.01 }, { eta: 0.02 }, { eta: 0.9, temperature: 0.6 }, { typicalP: 0.3, eta: 0.95 }, { topK: 60, topP: 0.98, minP: 0.01, typicalP: 0.7, eta: 0.01 },
    { mirostat: { surprise: 1 } }, { mirostat: { surprise: 0.2 } },
    { logitBias: { 0: 2.5, 1: -INF, 3: -1 }, temperature: 0.8 }, { repetitionPenalty: 1.7, presencePenalty: 0.5, frequencyPenalty: 0.3, topP: 0.9 }, { allowed: (_, row) => (row % 2 ? [4, 0] : undefined), repetitionPenalty: 1.3 },
  ];
  describe("tokens drawn on the GPU", () => {
    for (const [name, backend] of [["with subgroups, where there are some", gpu], ["without subgroups", plain]] as const) {
      it(`are those of the processor, ${name}`, async () => {
        let near = 0, drawn = 0;
        const sizes = process.env.LOGITS_SLOW ? [[40, 1], [40, 2], [40, 7], [40, 16], [40, 17], [40, 100], [40, 256], [40, 257], [20, 1000], [8, 4099], [3, 32001]] : name.startsWith("with ") ? [[60, 7], [8, 100], [4, 257], [2, 4099]] : [[60, 5], [3, 1000]];
        for (const [rows, cols] of sizes) {
          const logits = scores(rows, cols, rows + cols), x = backend.tensor(logits);
          for (const options of rules) {
            // Their tokens are below 5.
            if (cols < 5 && (options.logitBias || options.allowed)) continue;
            const sampler = new Sampler({ ...options, seed: 5, stream: cols });
            const tokens = Array.from({ length: rows }, (_, r) => (cols === 1 ? [0] : [r % cols, 0, r % cols])), context = { position: 3, tokens };
            const want = new Sampler({ ...options, seed: 5, stream: cols }).sample(logits, context), got = await sampler.sampleAsync(x, context);
            const same: number[] = [];
            for (let r = 0; r < rows; r++) {
              drawn++;
              if (got.tokens.data[r] === want.tokens.data[r] && got.candidates.data[r] === want.candidates.data[r]) same.push(r);
              else {
                const source = randomSource(5, cols + r);
                const u = [0, 1, 2, 3].map(() => source.uniform())[3];
                expect(isNear(changed(logits.data.subarray(r * cols, (r + 1) * cols), options, tokens[r], r), options, u), `${rows} x ${cols} ${JSON.stringify(options)} row ${r}: ${got.tokens.data[r]} of ${got.candidates.data[r]}, not ${want.tokens.data[r]} of ${want.candidates.data[r]}`).toBe(true);
                near++;
              }
            }
            const of = (t: Tensor): number[] => same.map((r) => t.data[r]);
            // Logarithms of sums: 67 units of 2^-24 (30 + n / 4096, n to 32,001), and 3 of the largest score over T.
            expectClose(of(got.logProbabilities), of(want.logProbabilities), { atol: 8e-6, rtol: 3e-7 });
            expectClose(of(got.drawLogProbabilities), of(want.drawLogProbabilities), { atol: 8e-6, rtol: 1e-6 });
            expectClose(of(got.entropies), of(want.entropies), { rtol: 2e-5, atol: 1e-37 });
            expectExact(of(got.margins), of(want.margins));
          }
          x.dispose();
        }
        console.log(`sampled on the GPU (${name}): ${drawn} tokens, ${near} of them not compared: a sum within 1e-6 of its bound`);
        expect(near).toBeLessThan(drawn / 500);
      });
    }

    it("are drawn right where all scores are equal, and at the ends", async () => {
      const cols = 32000, x = gpu.tensor(new Float32Array(2 * cols)).reshape([2, cols]);
      const { tokens, candidates } = await gpu.read(sampleTokens(x, { uniforms: [0, 1 - 2 ** -53], topP: 0.5 }));
      expect([...candidates.data]).toEqual([cols / 2, cols / 2]);
      expect([...tokens.data]).toEqual([0, cols / 2 - 1]);
      const some = await gpu.read(sampleTokens(x, { uniforms: [0.2501, 0.7501], topK: 1000 }));
      expect([...some.tokens.data, ...some.candidates.data]).toEqual([250, 750, 1000, 1000]);
      x.dispose();
      const few = gpu.tensor([[-INF, 0, -INF, 0, -INF], [-INF, -3e38, -INF, -INF, -INF]]);
      for (const u of [0, 0.49, 0.51, 1 - 2 ** -53]) expect([...(await sampleTokens(few, { uniforms: [u, u] }).tokens.read()).data]).toEqual([u < 0.5 ? 1 : 3, 1]);
    });

    it("cost 28 bytes a row, 4 where only tokens are read, and leave no buffer", async () => {
      const sampler = new Sampler({ seed: 1, topP: 0.9 }), x = gpu.tensor(scores(1, 1000, 1));
      await sampler.sampleAsync(x, { position: 0 });
      const before = gpu.bytesRead, { bytes, idleBytes } = gpu.memory;
      await sampler.sampleAsync(x, { position: 1 });
      expect(gpu.bytesRead - before).toBe(28);
      const all = sampleTokens(x, { uniforms: [0.5] });
      await all.tokens.read();
      expect(gpu.bytesRead - before).toBe(32);
      for (const y of Object.values(all)) y.dispose();
      expect(gpu.memory).toMatchObject({ bytes, idleBytes });
      expect((await sampler.sampleAsync(gpu.tensor(scores(0, 7, 1)), { position: 0 })).tokens.shape).toEqual([0]);
    });

    it("leave no buffer where something is refused", async () => {
      const x = gpu.tensor([[1, 2, 3], [1, 2, 3]]), guidance = { references: [x], weights: [1, 1], margin: 1 }, none = { scores: new Map() }, uniforms = [0, 0], held = (): number => gpu.memory.bytes - gpu.memory.idleBytes, before = held();
      for (const options of [{ guidance, changes: [] }, { guidance, changes: [none, { scores: new Map([[9, {}]]) }] }, { changes: [none, {} as never] }, { guidance: { ...guidance, k: 0 } }]) {
        expect(() => sampleTokens(x, { uniforms, ...options })).toThrow();
        expect(held()).toBe(before);
      }
      const small = await webgpu({ gpu: dawn, bindingBytes: 65536 }), rows = 4000, many = small.tensor(new Float32Array(rows)).reshape([rows, 1]), { bytes, idleBytes } = small.memory;
      expect(() => sampleTokens(many, { uniforms: new Float32Array(rows), guidance: { references: [many], weights: [1, 1] }, changes: Array.from({ length: rows }, () => none) })).toThrow("with at most 3264 rows");
      expect(small.memory.bytes - small.memory.idleBytes).toBe(bytes - idleBytes);
      small.dispose();
    });

    it("are guided by scores that are on the GPU too", async () => {
      const [logits, ...others] = [1, 2, 3].map((seed) => scores(6, 500, 90 + seed).data.map((v) => (v === -INF ? -9 : v))).map((data) => new Tensor("float32", [6, 500], data)), [x, ...there] = [logits, ...others].map((one) => gpu.tensor(one));
      for (const [guidance, count] of [[{ kind: "classifier-free", scale: 1.5 }, 1], [{ kind: "contrastive", plausibility: 0.01 }, 1], [{ kind: "comparator", plausibility: 0.2, k: 3, beta: 0.5 }, 2], [{ kind: "contrastive", k: 501 }, 1]] as const) {
        const sampler = new Sampler({ seed: 2, guidance, presencePenalty: 1, topP: 0.95 }), told = { position: 1, tokens: Array.from({ length: 6 }, (_, r) => [r, 7]) };
        const want = sampler.sample(logits, { ...told, references: others.slice(0, count) }), got = await sampler.sampleAsync(x, { ...told, references: there.slice(0, count) });
        for (const name of ["tokens", "candidates"] as const) expectExact(got[name], want[name], `${guidance.kind} ${name}`);
        // Scores of up to 40, each rounded a few times.
        expectClose(got.drawLogProbabilities, want.drawLogProbabilities, { atol: 4e-5 });
        expectClose(got.logProbabilities, want.logProbabilities, { atol: 8e-6, rtol: 3e-7 });
      }
    });

    it("follow mirostat's bounds, which move with what was drawn", async () => {
      const options = { seed: 4, mirostat: { surprise: 1.5, rate: 0.5 } }, sampler = new Sampler(options), reference = new Sampler(options);
      for (let position = 0; position < 12; position++) {
        const logits = scores(2, 300, 50 + position), want = reference.sample(logits, { position }), before = gpu.bytesRead, got = await sampler.sampleAsync(gpu.tensor(logits), { position });
        expectExact(got.tokens, want.tokens);
        expectExact(got.candidates, want.candidates);
        expect(gpu.bytesRead - before).toBe(64);
      }
    });

    it("are those of the processor where mirostat's bound is beyond every float32", async () => {
      const logits = scores(3, 40, 8), options = { seed: 4, mirostat: { surprise: 50 } };
      expectExact((await new Sampler(options).sampleAsync(gpu.tensor(logits), { position: 0 })).candidates, new Sampler(options).sample(logits, { position: 0 }).candidates);
    });

    it("are drawn from scores with changes, whose own stay as they were", async () => {
      const x = gpu.tensor([[1, 2, -INF, 0], [5, -2, 3, 0]]), changes = [{ scores: new Map([[1, { bias: -INF }], [2, { bias: 9 }]]) }, { scores: new Map([[1, { bias: 4 }], [2, { penalty: 2, loss: 1 }]]), only: true }];
      const { tokens, scores: own, candidates, drawLogProbabilities: p } = await gpu.read(sampleTokens(x, { uniforms: [0.2, 0.9], changes, minP: 1e-9 }));
      expect([...tokens.data, ...own.data, ...candidates.data]).toEqual([0, 2, 1, 3, 2, 2]);
      expectClose([...p.data], [-Math.log1p(Math.exp(-1)), 0.5 - Math.log(Math.exp(2) + Math.exp(0.5))], { atol: 1e-6 });
      expectExact((await x.read()).data, [1, 2, -INF, 0, 5, -2, 3, 0]);
    });

    it("follow the number of tokens so far, and the row's stream", async () => {
      const sampler = new Sampler({ seed: 9, stream: 4 }), logits = scores(3, 50, 2);
      const tokens = [[1, 2], [3], []], want = sampler.sample(logits, { tokens });
      expectExact((await sampler.sampleAsync(gpu.tensor(logits), { tokens })).tokens, want.tokens);
    });

    it("are refused where there is no distribution, or a rule has no form there", async () => {
      const sampler = new Sampler({ seed: 1 });
      const draw = (rows: number[][], own = sampler): Promise<unknown> => own.sampleAsync(gpu.tensor(rows), { position: 0 });
      await expect(draw([[1, 2], [NaN, 1]])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`logits\` below +Infinity, with a possible token in every row, got NaN in row 1]`);
      await expect(draw([[1, 2], [INF, 1]])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`logits\` below +Infinity, with a possible token in every row, got +Infinity in row 1]`);
      await expect(draw([[1, 2], [-INF, -INF]])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`logits\` below +Infinity, with a possible token in every row, got only -Infinity in row 1]`);
      const guiding = new Sampler({ seed: 1, guidance: { kind: "contrastive" } }), ask = (reference: unknown): Promise<unknown> => guiding.sampleAsync(gpu.tensor([[1, 2, 9]]), { position: 0, references: [reference as never] });
      await expect(ask([[1, 2, 9]])).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: sampleTokens: expected \`references\` a tensor of the WebGPU backend, got Array outside the GPU. Pass gpu.tensor(x)]`);
      await expect(ask(gpu.tensor([[1, 2]]))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`references\` of shape [1, 3], got [1, 2]]`);
      await expect(ask(gpu.tensor([[1, 2, -INF]]))).rejects.toThrow("got NaN in row 0");
      expect((await ask(gpu.tensor([[1, -INF, 0]])))).toMatchObject({ tokens: { data: Int32Array.of(2) } });
      for (const guidance of [{ references: [], weights: [1] }, { references: [gpu.tensor([1, 2])], weights: [1] }, { references: [gpu.tensor([1, 2])], weights: [1, INF] }, { references: [gpu.tensor([1, 2])], weights: [1, 1], margin: -1 }]) expect(() => sampleTokens(gpu.tensor([1, 2]), { uniforms: [0.5], guidance })).toThrow("`guidance` of one or two references with one more finite weight, and a margin >= 0");
      await expect(sampler.sampleAsync(gpu.tensor([1]))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: Sampler.sampleAsync: expected \`position\` an integer from 0 up, or \`tokens\`, got neither. Pass { position: step }: two draws at one position are the same]`);
      await expect(sampler.sampleAsync({ location: "gpu-buffer", dims: [3], type: "float32", shape: [3] } as never, { position: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.sampleAsync: expected \`logits\` a tensor that brings its operations, got a GPU tensor of another library. Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu]`);
      expect(() => sampler.sample(gpu.tensor([1]) as never, { position: 0 })).toThrowErrorMatchingInlineSnapshot(`[TypeError: Sampler.sample: expected \`logits\` in memory, got a tensor on the GPU. Use await sampler.sampleAsync(logits, context), or read it: await logits.read()]`);
      const x = gpu.tensor([1, 2]);
      expect(() => sampleTokens(x, {})).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`uniforms\` in [0, 1), one for each row, got NaN for row 0]`);
      expect(() => sampleTokens(x, { uniforms: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`uniforms\` in [0, 1), one for each row, got 1 for row 0]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], topK: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`topK\` an integer in [1, 2147483647], got 0]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], topP: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`topP\` in (0, 1], got 0]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], minP: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`minP\` in [0, 1], got 2]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], typicalP: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`typicalP\` in (0, 1], got 0]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], eta: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`eta\` in [0, 1), got 1]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], epsilons: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`epsilons\` in [0, 1], one for each row, got undefined for row 0]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], tempreature: 2 } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: sampleTokens: expected \`options\` with names among [changes, epsilons, eta, guidance, minP, temperature, topK, topP, typicalP, uniforms], got tempreature. Did you mean temperature?]`);
      expect(() => sampleTokens(x, { uniforms: [0.5], changes: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`changes\` one for each of 1 rows, with at most 268435392 numbers in all, got 0 with 3]`);
      for (const [token, change] of [[2, {}], [0, { bias: INF }], [0, { penalty: 0 }], [1, { loss: NaN }]] as const) expect(() => sampleTokens(x, { uniforms: [0.5], changes: [{ scores: new Map([[token, change]]) }] })).toThrow("`changes` of tokens in [0, 2), with finite numbers and penalties above 0");
      expect(() => sampleTokens(x, { uniforms: [0.5], guidance: { references: [x], weights: [1, 1], margn: 1 } as never })).toThrow(/got margn\. Did you mean margin\?$/);
      expect(() => sampleTokens(x, { uniforms: [0.5], changes: [{ scores: new Map(), olny: true } as never] })).toThrow("with names among [only, scores], got olny");
      expect(() => sampleTokens(x, { uniforms: [0.5], changes: [{ scores: new Map([[1, { bais: 2 } as never]]) }] })).toThrow("sampleTokens: expected `changes` with bias, penalty and loss, got bais of token 1 in row 0");
      expect(() => sampleTokens(x, { uniforms: [0.5], temperature: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: sampleTokens: expected \`temperature\` in [2^-126, 2^126], got -1]`);
      expectExact((await sampler.sampleAsync([[1, 2]], { position: 0 })).tokens, sampler.sample([[1, 2]], { position: 0 }).tokens);
    });
  });
}
