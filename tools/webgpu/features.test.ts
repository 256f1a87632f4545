import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linearCrossEntropy as cpuLoss } from "@logits/losses/large-vocabulary";
import { expectClose, expectExact, featureChecks, testRandom, type BackendLike } from "@logits/testkit";
import { attention, linearCrossEntropy, mahalanobis, nearestNeighbors, webgpu, type Gpu, type GpuTensor, type WebGpuOptions } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, expected, missing } from "./adapter.ts";
import { asBackend } from "./backend.ts";
import { batteryPage, inChromium, ran, type PageAnswer } from "./chromium.ts";
import { cpu } from "./cpu.ts";

// Nearest neighbours, Mahalanobis scores, linear cross-entropy and attention: one battery for the packages in WebAssembly and for WebGPU.

const made: Gpu[] = [];
const faults: string[] = [];
afterAll(() => made.forEach((gpu) => gpu.dispose()));

async function backend(options: WebGpuOptions = {}): Promise<Gpu> {
  const gpu = await webgpu({ gpu: dawn, ...options });
  (gpu.device as unknown as { onuncapturederror: unknown }).onuncapturederror = (event: { error: Error }): void => void faults.push(event.error.message);
  made.push(gpu);
  return gpu;
}

describe("in WebAssembly", () => {
  for (const { name, run } of featureChecks(cpu)) it(name, run);
});

describe("a backend that is off by a ten-thousandth", () => {
  const off: BackendLike = { ...cpu, name: "off", read: async (y) => (({ shape, data }) => ({ shape, data: Float64Array.from(data, (v) => v * (1 + 1e-4)) }))(await cpu.read(y)) };
  // Those without numbers to be off have nothing to find.
  for (const { name, run } of featureChecks(off)) if (!/\[0, |,0,|\[1, 1\]|NaN|"sizes":\[0/.test(name)) it(`is found by: ${name}`, () => expect(run()).rejects.toThrow("off "));
});

it("there is an adapter, or the checks say that they did not run", () => {
  if (missing) console.log(`WebGPU in Node: did not run (${missing})`);
  if (expected) expect(missing).toBe("");
});

if (!missing) {
  const settings: Record<string, WebGpuOptions> = { "without subgroups": { subgroups: false }, "with subgroups, where the adapter has them, and bindings of 64 KiB": { bindingBytes: 65536 } };
  for (const [name, options] of Object.entries(settings)) {
    const gpu = await backend(options);
    describe(name, () => {
      for (const check of featureChecks(asBackend(gpu, name))) it(check.name, check.run);
    });
  }

  const gpu = await backend(), small = await backend({ bindingBytes: 65536 });
  const values = (seed: number, ...shape: number[]): { shape: number[]; data: Float32Array } => {
    const random = testRandom(seed);
    return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()) };
  };

  describe("blocks", () => {
    it("rows, words, queries and keys that no binding holds are cut, and what comes out is the same", async () => {
      // 1,100 rows are two blocks; 300 keys leave room for 54 queries, 300 neighbours for 27.
      const x = values(1, 1100, 3), w = values(2, 40, 3), labels = Int32Array.from({ length: 1100 }, (_, i) => i % 40), q = values(3, 2, 70, 4), k = values(4, 1, 300, 4), v = values(5, 1, 300, 60), up = values(6, 2, 70, 60);
      const results = await Promise.all([gpu, small].map(async (on) => {
        const a = linearCrossEntropy.withGrad(on.tensor(x), on.tensor(w), labels, { reduction: "sum" }), b = attention.withGrad(on.tensor(q), on.tensor(k), on.tensor(v), { upstream: up, causal: true, windowSize: 150, lengths: [290] });
        const c = nearestNeighbors(on.tensor(w), on.tensor(x), 300);
        return on.read([a.loss, a.grads.hidden, a.grads.weights, b.output, b.grads.query, b.grads.key, b.grads.value, c.distances, c.indices]);
      }));
      // Sums in another order: some roundings of a few hundred terms.
      results[0].slice(0, 7).forEach((y, i) => expectClose(results[1][i], y, { atol: 3e-5, rtol: 2e-6, label: `result ${i}` }));
      results[0].slice(7).forEach((y, i) => expectExact(results[1][7 + i], y));
    });

    it("logits, scores and distances are never held whole", async () => {
      const own = await backend({ poolBytes: 0, bindingBytes: 2 ** 20 }), x = own.tensor(values(1, 1024, 1)), w = own.tensor(values(2, 700, 1)), q = own.tensor(values(3, 700, 1)), bank = own.tensor(values(4, 6000, 1)), few = own.tensor(values(5, 60, 1));
      const most = async (run: () => GpuTensor[]): Promise<number> => {
        let bytes = 0;
        const { createBuffer } = own.device, { bytes: before } = own.memory;
        (own.device as { createBuffer: unknown }).createBuffer = (descriptor: { size: number }): unknown => ((bytes += descriptor.size), createBuffer.call(own.device, descriptor as never));
        const made = run();
        (own.device as { createBuffer: unknown }).createBuffer = createBuffer;
        await own.finish();
        for (const y of made) y.dispose();
        expect(own.memory.bytes).toBe(before);
        return bytes;
      };
      // 2.7 MiB of logits, 1.4 MiB of distances, 1.9 MiB of scores: one binding of 1 MiB, and what is small.
      expect(await most(() => [linearCrossEntropy(x, w, new Int32Array(1024))])).toBeLessThan(1.2 * 2 ** 20);
      expect(await most(() => Object.values(nearestNeighbors(few, bank, 2)))).toBeLessThan(1.2 * 2 ** 20);
      expect(await most(() => Object.values(attention(q, q, q)))).toBeLessThan(1.2 * 2 ** 20);
    });

    it("nothing is left behind where an argument is refused", async () => {
      const own = await backend({ bindingBytes: 65536 }), x = own.tensor(values(1, 2, 3)), square = own.tensor(values(2, 3, 3)), gone = own.tensor(values(3, 2, 3)), goneRow = own.tensor(values(3, 3)), wide = own.tensor(values(4, 1, 20000)), many = own.tensor(values(5, 20000, 1));
      for (const y of [gone, goneRow]) y.dispose();
      const { bytes, idleBytes } = own.memory, { softmax, softmaxGrad, topK, argmax, matmul, logitStatistics, sampleTokens } = own.operations;
      const refused: (() => unknown)[] = [
        () => softmax(gone), () => softmaxGrad(x, gone), () => topK(gone, 1), () => matmul(gone, square), () => logitStatistics(gone), () => sampleTokens(gone, { temperature: 0 }), () => nearestNeighbors(x, gone, 1),
        () => mahalanobis(x, { mean: goneRow, whitening: square, means: x }), () => linearCrossEntropy(x, square, [0, 1], { bias: goneRow }), () => attention(x, x, gone), () => attention.withGrad(x, x, x, { upstream: gone }),
      ];
      for (const run of refused) expect(run).toThrow("GpuTensor: expected a live tensor, got one after dispose()");
      for (const run of [() => softmax(wide), () => softmax(wide, { axis: 0 }), () => topK(wide, 1), () => argmax(wide), () => sampleTokens(wide, { temperature: 0 }), () => logitStatistics(many), () => sampleTokens(many, { temperature: 0 })]) expect(run).toThrow("bindingBytes of this backend");
      const { createBuffer } = own.device, sizes: number[] = [];
      (own.device as { createBuffer: unknown }).createBuffer = (descriptor: { size: number }): unknown => (sizes.push(descriptor.size), createBuffer.call(own.device, descriptor as never));
      await expect(own.read([x, gone])).rejects.toThrow("GpuTensor: expected a live tensor, got one after dispose()");
      expect(sizes).toEqual([]);
      expect(own.memory.bytes - own.memory.idleBytes).toBe(bytes - idleBytes);
    });

    it("an impossible word that is the label has no gradient under a soft cap, as in WebAssembly", async () => {
      const x = values(1, 2, 3), w = values(2, 4, 3), bias = [0, -Infinity, 0, 0], labels = [1, 0];
      for (const softCap of [undefined, 3]) {
        const options = { bias, reduction: "sum", ...(softCap && { softCap }) } as const, want = cpuLoss.withGrad(x, w, labels, options), got = linearCrossEntropy.withGrad(gpu.tensor(x), gpu.tensor(w), labels, options);
        // Sums of 4 terms, each within 10 units of 2^-24.
        for (const name of ["hidden", "weights", "bias"] as const) expectClose(await got.grads[name]!.read(), want.grads[name] as never, { atol: 3e-6, label: `${name}, cap ${softCap}` });
        expect(await got.loss.read().then((y) => y.data[0])).toBe(Infinity);
      }
    });

    it("nothing is left behind, and arguments stay the caller's", async () => {
      const own = await backend(), x = own.tensor(values(1, 6, 4)), w = own.tensor(values(2, 9, 4)), bias = own.tensor(values(3, 9)), sinks = own.tensor([1]), zero = own.tensor(values(4, 4)), whitening = own.tensor(values(5, 4, 4));
      const step = (): void => {
        const a = linearCrossEntropy.withGrad(x, w, [0, 1, 2, 3, 4, 5], { bias, where: [1, 1, 0, 1, 0, 1] }), b = attention.withGrad(x, w, w, { upstream: x, sinks, upstreamLogSumExp: new Float32Array(6) }), c = nearestNeighbors(x, w, 3);
        for (const y of [a.loss, ...Object.values(a.grads), a.statistics.logSumExp, b.output, b.logSumExp, ...Object.values(b.grads), c.distances, c.indices, mahalanobis(x, { mean: zero, whitening, means: w }), linearCrossEntropy(x, w, [0, 1, 2, 3, 4, 5])]) y.dispose();
      };
      step();
      const { buffers, bytes, idleBytes } = own.memory;
      for (let i = 0; i < 20; i++) step();
      expect(own.memory).toEqual({ buffers, bytes, idleBytes });
      for (const y of [x, w, bias, sinks, zero, whitening]) y.dispose();
      own.trim();
      expect(own.memory).toEqual({ buffers: 0, bytes: 0, idleBytes: 0 });
    });
  });

  it("names what does not fit", () => {
    const said: string[] = [], of = (...shape: number[]): GpuTensor => gpu.tensor({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
    const say = (run: () => unknown): void => {
      try {
        run();
        said.push("no error");
      } catch (error) {
        said.push(`${(error as Error).name}: ${(error as Error).message}`);
      }
    };
    for (const [queries, bank, k] of [[of(3), of(5, 2), 1], [of(2, 3), of(5, 2), 1], [of(2, 0), of(5, 0), 1], [of(2, 3), of(5, 3), 6], [of(2, 1), of(5000, 1), 4097], [[[1, 2]], of(5, 2), 1], [of(2, 3), small.tensor([[1, 2, 3]]), 1]] as const) say(() => nearestNeighbors(queries as GpuTensor, bank, k));
    for (const [x, mean, whitening, means] of [[of(), of(1), of(1, 1), of(1, 1)], [of(2, 3), of(2), of(3, 3), of(1, 3)], [of(2, 3), of(3), of(6), of(1, 3)], [of(2, 3), of(3), of(3, 3), of(0, 3)], [of(2, 3), [1, 2, 3], of(3, 3), of(1, 3)]]) say(() => mahalanobis(x as GpuTensor, { mean: mean as GpuTensor, whitening: whitening as GpuTensor, means: means as GpuTensor }));
    const x = of(2, 3), w = of(4, 3);
    for (const [a, b, labels] of [[of(3), of(4, 3), [0]], [of(2, 2), w, [0, 1]], [x, of(0, 3), [0, 1]], [x, of(4), [0, 1]], [x, w, [0]], [x, w, [0, 4]], [x, w, gpu.tensor([0, 1], "int32")]] as const) say(() => linearCrossEntropy(a, b, labels as never));
    for (const options of [{ labelSmoothing: 1 }, { labelSmoothing: 0.1, classWeight: [1, 1, 1, 1] }, { skip: 0.1 }, { topK: 1 }, { upstream: [1] }, { reduction: "max" }, { zLoss: -1 }, { softCap: 0 }, { bias: [1] }, { classWeight: [1, 1, -1, 1] }, { weight: [1, NaN] }, 3]) say(() => linearCrossEntropy(x, w, [0, 1], options as never));
    say(() => linearCrossEntropy.withGrad(x, w, [0, 1], { upstream: [1, 2] }));
    for (const [q, k, v] of [[of(3), of(5, 8), of(5, 8)], [of(3, 0), of(5, 0), of(5, 8)], [of(4, 3, 8), of(3, 5, 8), of(3, 5, 8)], [of(3, 8), of(5, 8), of(4, 8)], [[[1]], of(5, 8), of(5, 8)]]) say(() => attention(q as GpuTensor, k as GpuTensor, v as GpuTensor));
    for (const options of [{ mask: [[1]] }, { bias: [[0]] }, { normalizer: "sigmoid" }, { documents: [1] }, { ranges: {} }, { positionBias: {} }, { scale: NaN }, { softCap: 0 }, { windowSize: 0 }, { queryOffset: 0.5 }, { lengths: [1, 2] }, { lengths: [6] }, { sinks: [1, 2] }, { sinks: [1], softmaxOne: true }, { upstream: x }]) say(() => attention(of(2, 3), of(5, 3), of(5, 3), options as never));
    for (const options of [{}, { upstream: of(2, 2) }, { upstream: of(2, 3), upstreamLogSumExp: [1] }]) say(() => attention.withGrad(of(2, 3), of(5, 3), of(5, 3), options as never));
    say(() => attention(small.tensor(values(1, 2, 1)), small.tensor(values(1, 17000, 1)), small.tensor(values(1, 17000, 1))));
    expect(said.join("\n")).toMatchInlineSnapshot(`
      "RangeError: nearestNeighbors: expected \`queries\` of shape [N, F], got [3]
      RangeError: nearestNeighbors: expected \`bank\` of shape [M, 3] as the queries have it, got [5, 2]
      RangeError: nearestNeighbors: expected \`bank\` of shape [M, F], F >= 1, got [5, 0]
      RangeError: nearestNeighbors: expected \`k\` an integer in [1, 5], got 6
      UnsupportedKernelError: nearestNeighbors: expected \`k\` of at most 4096 on the GPU, got 4097. Use nearestNeighbors of @logits/core-wasm on what read() gives
      TypeError: nearestNeighbors: expected \`queries\` a tensor of the WebGPU backend, got Array outside the GPU. Pass gpu.tensor(x)
      RangeError: nearestNeighbors: expected \`bank\` of the same GPU device as the other argument, got a tensor of another device. Make both with one backend: gpu.tensor(await y.read()) copies
      RangeError: mahalanobis: expected \`features\` of shape [..., F], F >= 1, got []
      RangeError: mahalanobis: expected \`mean\` of shape [3], got [2]
      RangeError: mahalanobis: expected \`whitening\` of shape [3, 3], got [6]
      RangeError: mahalanobis: expected \`means\` of shape [K, 3], K >= 1, got [0, 3]
      TypeError: mahalanobis: expected \`mean\` a tensor of the WebGPU backend, got Array outside the GPU. Pass gpu.tensor(x)
      RangeError: linearCrossEntropy: expected \`hidden\` of shape [..., 3], got [3]
      RangeError: linearCrossEntropy: expected \`hidden\` of shape [..., 3], got [2, 2]
      RangeError: linearCrossEntropy: expected \`weights\` of shape [V, D], V >= 1, D >= 1, got [0, 3]
      RangeError: linearCrossEntropy: expected \`weights\` of shape [V, D], V >= 1, D >= 1, got [4]
      RangeError: linearCrossEntropy: expected \`labels\` of shape [2], got [1]
      RangeError: linearCrossEntropy: expected \`labels\` in [0, 4), got 4 at index 1
      TypeError: linearCrossEntropy: expected \`labels\` a tensor, typed array, { data, dims } or nested number arrays, got a tensor at location gpu-buffer. Pass { data: await tensor.getData(), dims: tensor.dims }
      RangeError: linearCrossEntropy: expected \`labelSmoothing\` in [0, 1), got 1
      RangeError: linearCrossEntropy: expected \`labelSmoothing\` or \`classWeight\` on the GPU, got both. Use linearCrossEntropy of @logits/losses on what read() gives
      TypeError: linearCrossEntropy: expected \`options\` with names among [bias, classWeight, ignoreIndex, labelSmoothing, reduction, softCap, weight, where, zLoss], got skip
      TypeError: linearCrossEntropy: expected \`options\` with names among [bias, classWeight, ignoreIndex, labelSmoothing, reduction, softCap, weight, where, zLoss], got topK
      TypeError: linearCrossEntropy: expected \`options\` with names among [bias, classWeight, ignoreIndex, labelSmoothing, reduction, softCap, weight, where, zLoss], got upstream
      RangeError: linearCrossEntropy: expected \`reduction\` "mean", "sum" or "none", got max
      RangeError: linearCrossEntropy: expected \`zLoss\` a finite number >= 0, got -1
      RangeError: linearCrossEntropy: expected \`softCap\` a finite number > 0, got 0
      RangeError: linearCrossEntropy: expected \`bias\` of shape [4], got [1]
      RangeError: linearCrossEntropy: expected \`classWeight\` of shape [4], finite and not negative, got Tensor
      RangeError: linearCrossEntropy: expected \`weight\` finite and not negative, got NaN at index 1
      TypeError: linearCrossEntropy: expected \`options\` an object such as { reduction }, got Number
      RangeError: linearCrossEntropy.withGrad: expected \`upstream\` of shape [], got [2]
      RangeError: attention: expected \`query\` of shape [T, D], [H, T, D] or [B, H, T, D], got [3]
      RangeError: attention: expected \`query\` with D >= 1, got [3, 0]
      RangeError: attention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 4, got [3, 5, 8]
      RangeError: attention: expected \`value\` of shape [1, 1, 5, E] ([B, Hkv, S, E]), got [4, 8]
      TypeError: attention: expected \`query\` a tensor of the WebGPU backend, got Array outside the GPU. Pass gpu.tensor(x)
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got mask
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got bias
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got normalizer
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got documents
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got ranges
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got positionBias
      RangeError: attention: expected \`scale\` finite, got NaN
      RangeError: attention: expected \`softCap\` a finite number > 0, got 0
      RangeError: attention: expected \`windowSize\` an integer in [1, 2147483647], got 0
      RangeError: attention: expected \`queryOffset\` an integer in [-2147483648, 2147483647], got 0.5
      RangeError: attention: expected \`lengths\` of shape [1], got [2]
      RangeError: attention: expected \`lengths\` in [0, 5], got 6 at index 0
      RangeError: attention: expected \`sinks\` of shape [1], got [2]
      RangeError: attention: expected \`softmaxOne\` or \`sinks\`, got both
      TypeError: attention: expected \`options\` with names among [causal, lengths, queryOffset, scale, sinks, softCap, softmaxOne, windowSize], got upstream
      TypeError: attention.withGrad: expected \`upstream\` a tensor, typed array, { data, dims } or nested number arrays, got undefined
      RangeError: attention.withGrad: expected \`upstream\` of shape [2, 3], got [2, 2]
      RangeError: attention.withGrad: expected \`upstreamLogSumExp\` of shape [2], got [1]
      RangeError: attention: expected \`key\` with at most 16320 keys (bindingBytes of this backend), got 17000"
    `);
  });

  it("no call left an error that nobody caught", () => expect(faults).toEqual([]));
}

it("the battery passes in Chromium, or says that it did not run", async () => {
  const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-features-"));
  try {
    const answer = (await inChromium(folder, "features", batteryPage("featureChecks"))) as PageAnswer & { readonly checks?: number };
    if (ran("WebGPU in Chromium", answer)) expect(answer.checks).toBeGreaterThan(20);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
