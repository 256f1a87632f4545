import { float16ToFloat32, float32ToFloat16 } from "@logits/tensor";
import { backendChecks, expectClose, expectExact, testRandom } from "@logits/testkit";
import { argmax, attention, chainForwardBackward, chainViterbi, compileChain, entropy, entropyGrad, linearCrossEntropy, logitStatistics, logSoftmax, logSoftmaxGrad, logSumExp, logSumExpGrad, mahalanobis, matmul, max, nearestNeighbors, sampleTokens, segmentSums, softmax, softmaxGrad, topK, webgpu, type Gpu, type GpuTensor, type WebGpuOptions } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, expected, missing } from "./adapter.ts";
import { asBackend } from "./backend.ts";

const made: Gpu[] = [];
const faults: string[] = [];
afterAll(() => made.forEach((gpu) => gpu.dispose()));

/** A backend whose errors that nobody catches are kept. */
async function backend(options: WebGpuOptions = {}): Promise<Gpu> {
  const gpu = await webgpu({ gpu: dawn, ...options });
  (gpu.device as unknown as { onuncapturederror: unknown }).onuncapturederror = (event: { error: Error }): void => void faults.push(event.error.message);
  made.push(gpu);
  return gpu;
}

const settings: Record<string, WebGpuOptions> = { "without subgroups": { subgroups: false }, "with subgroups, where the adapter has them": {} };

it("there is an adapter, or the checks say that they did not run", () => {
  if (missing) console.log(`WebGPU in Node: did not run (${missing})`);
  if (expected) expect(missing).toBe("");
});

if (!missing) {
  const gpu = await backend();
  console.log(`WebGPU in Node: ${gpu.adapter}, subgroups ${gpu.subgroups}`);
  for (const [name, options] of Object.entries(settings)) {
    const own = await backend(options);
    describe(`operations ${name}`, () => {
      for (const check of backendChecks(asBackend(own, name))) it(check.name, check.run);
    });
  }

  describe("tensors", () => {
    it("come back as they were put, in both dtypes and any shape", async () => {
      const data = Float32Array.of(1, -0, Infinity, -Infinity, NaN, 1e-40);
      expectExact(await gpu.tensor({ data, shape: [2, 3] }).read(), { shape: [2, 3], data: data.slice() });
      expectExact(await gpu.tensor([[1, -2], [3, 4]], "int32").read(), { shape: [2, 2], data: [1, -2, 3, 4] });
      expectExact(await gpu.tensor({ data: new Float32Array(0), shape: [0, 4] }).read(), { shape: [0, 4], data: [] });
      expect(`${gpu.tensor([1, 2])}`).toBe("GpuTensor float32 [2]");
    });

    it("of float16 are read as the float32 that they stand for: every pattern of 16 bits, odd lengths, none, and parts where bindings are small", async () => {
      const half = (own: Gpu, bits: Uint16Array, shape: readonly number[]): GpuTensor => {
        const words = new Int32Array(Math.ceil(bits.length / 2));
        new Uint16Array(words.buffer).set(bits);
        return own.tensor({ location: "gpu-buffer", type: "float16", gpuBuffer: own.tensor(words, "int32").gpuBuffer, dims: shape } as never);
      };
      const every = Uint16Array.from({ length: 65536 }, (_, i) => i), want = float16ToFloat32(every);
      for (const own of [gpu, await backend({ bindingBytes: 65536 })]) {
        const x = half(own, every, [256, 256]), wide = own.tensor(x, "float32");
        expect([x.dtype, x.shape, wide.dtype, wide.shape]).toEqual(["float16", [256, 256], "float32", [256, 256]]);
        for (const y of [x, wide]) expectExact((await y.read()).data, want);
        expectExact(await x.row(253).row(255).read(), { shape: [], data: [want[253 * 256 + 255]] });
        const odd = half(own, Uint16Array.of(0x3c00, 0xfc00, 0x0001), [3]), none = half(own, Uint16Array.of(), [0, 4]);
        const { a, b, c, d } = await own.read({ a: odd.row(1), b: odd, c: none, d: own.tensor([7]) });
        expectExact([...a.data, ...b.data, ...c.data, ...d.data], [-Infinity, 1, -Infinity, 2 ** -24, 7]);
      }
    });

    it("of float16 are taken from memory as bits", async () => {
      for (const data of [Uint16Array.of(0x3c00, 0x0001, 0xfc00), Float16Array.of(1, 2 ** -24, -Infinity)]) {
        const x = gpu.tensor({ data, dims: [3], type: "float16" } as never, "float16"), before = gpu.bytesRead;
        expectExact(await x.read(), { shape: [3], data: [1, 2 ** -24, -Infinity] });
        expect(gpu.bytesRead - before).toBe(8);
        expectExact(await gpu.tensor({ data, dims: [3], type: "float16" } as never).read(), { shape: [3], data: [1, 2 ** -24, -Infinity] });
      }
      const x = gpu.tensor({ data: new Uint16Array(4), shape: [2, 2], type: "float16" } as never, "float16");
      expect(() => gpu.tensor([1, 2], "float16")).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.tensor: expected \`x\` float16, { data: Uint16Array of bits, dims, type: "float16" }, got Array. Make the bits with float32ToFloat16 of @logits/tensor]`);
      expect(() => gpu.tensor({ data: new Uint16Array(3), dims: [4], type: "float16" } as never, "float16")).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.tensor: expected \`x\` float16, { data: Uint16Array of bits, dims, type: "float16" }, got Object. Make the bits with float32ToFloat16 of @logits/tensor]`);
      expect(() => gpu.tensor(gpu.tensor([1]), "float16")).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.tensor: expected \`x\` float16 where it is on the GPU, got float32. Convert it in the model, or read it back]`);
      expect(() => gpu.tensor(x, "int32")).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.tensor: expected \`x\` int32 where it is on the GPU, got float16. Convert it in the model, or read it back]`);
      expect(() => gpu.tensor([1, 2], "half" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.tensor: expected \`dtype\` float32, int32 or float16, got half]`);
      expect(() => gpu.adopt(x.gpuBuffer, [4], "float64" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.adopt: expected \`dtype\` float32, int32 or float16, got float64]`);
    });

    it("of float16 give every operation the bits that their float32 give", async () => {
      const random = testRandom(5), put = (own: Gpu, ...shape: number[]): [GpuTensor, GpuTensor] => {
        const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (random.uniform() < 0.02 ? -Infinity : 3 * random.normal()));
        // A row of its own in a larger tensor: the elements begin in the middle of a word.
        const whole = own.tensor({ data: float32ToFloat16(Float32Array.from({ length: 3 * data.length }, (_, i) => data[i % data.length])), shape: [3, ...shape], type: "float16" } as never, "float16"), half = whole.row(1);
        return [half, own.tensor(half, "float32")];
      };
      for (const own of [gpu, await backend({ subgroups: false, bindingBytes: 65536 })]) {
        const [x, y] = [put(own, 5, 301), put(own, 5, 301)], [row, states, many] = [put(own, 5), put(own, 7, 7), put(own, 33, 7)], finite = (t: [GpuTensor, GpuTensor]): [GpuTensor, GpuTensor] => [softmax(t[0]), softmax(t[1])];
        const [q, k, v, p] = [put(own, 1, 2, 9, 5), put(own, 1, 1, 11, 5), put(own, 1, 1, 11, 3), finite(x)];
        const operations: Record<string, (i: 0 | 1) => Record<string, GpuTensor>> = {
          rows: (i) => ({ a: softmax(x[i], { temperature: 0.7 }), b: logSoftmax(x[i], { axis: 0 }), c: logSumExp(x[i]), d: entropy(x[i]), e: max(x[i]), f: argmax(x[i], { axis: 0 }) }),
          gradients: (i) => ({ a: softmaxGrad(p[i], y[i]), b: logSoftmaxGrad(x[i], y[i]), c: logSumExpGrad(x[i], row[i]), d: entropyGrad(x[i], row[i]) }),
          statistics: (i) => logitStatistics(x[i]),
          topK: (i) => ({ ...topK(x[i], 9) }),
          sampleTokens: (i) => sampleTokens(x[i], { uniforms: [0.1, 0.3, 0.5, 0.7, 0.9], topP: 0.9 }),
          matmul: (i) => ({ a: matmul(x[i], y[i], { transposeB: true }), b: matmul(y[1 - i], x[i], { transposeA: true }) }),
          nearestNeighbors: (i) => nearestNeighbors(many[i], states[i], 3),
          mahalanobis: (i) => ({ a: mahalanobis(many[i], { mean: states[i].row(0), whitening: states[i], means: many[i] }) }),
          linearCrossEntropy: (i) => {
            const { loss, grads, statistics } = linearCrossEntropy.withGrad(many[i], states[i], Array.from({ length: 33 }, (_, r) => r % 7), { ignoreIndex: 3, bias: states[i].row(2), reduction: "none" });
            return { loss, ...(grads as Required<typeof grads>), ...statistics };
          },
          attention: (i) => {
            const { output, logSumExp: sums, grads } = attention.withGrad(q[i], k[i], v[i], { causal: true, upstream: own.tensor(new Float32Array(54).fill(1)).reshape([1, 2, 9, 3]) });
            return { output, sums, ...(grads as Required<typeof grads>) };
          },
          chains: (i) => {
            const chain = compileChain(states[i]);
            return { ...chainForwardBackward(chain, many[i], { offsets: [0, 9, 33], marginals: true }), ...chainViterbi(chain, many[i]), ...segmentSums(chain, many[i].reshape([11, 3, 7])) };
          },
        };
        for (const [name, run] of Object.entries(operations)) {
          if (own !== gpu && !["rows", "sampleTokens", "matmul"].includes(name)) continue;
          const [half, float] = [await own.read(run(0)), await own.read(run(1))];
          for (const key of Object.keys(float)) expectExact(half[key], float[key], `${name} ${key}`);
        }
      }
    });

    it("are read together with one copy", async () => {
      const before = gpu.bytesRead;
      const { energy, argmax: best } = await gpu.read(logitStatistics(gpu.tensor([[2, 0], [0, 3]]), { select: ["energy", "argmax"] }));
      expect([[...best.data], energy.shape, gpu.bytesRead - before]).toEqual([[0, 1], [2], 16]);
    });

    it("may be disposed of as soon as their reading has begun", async () => {
      const x = gpu.tensor([1, 2]), half = gpu.tensor({ data: Uint16Array.of(0x3c00), dims: [1], type: "float16" } as never, "float16"), reading = gpu.read([x, half]);
      for (const y of [x, half]) y.dispose();
      softmax(gpu.tensor([5, 6]));
      expect((await reading).map(({ data }) => [...data])).toEqual([[1, 2], [1]]);
      await expect(gpu.read([x])).rejects.toThrow("a live tensor, got one after dispose()");
    });

    it("share a buffer with their other shapes until all are disposed of", async () => {
      const x = gpu.tensor([1, 2, 3, 4]), y = x.reshape([2, 2]);
      x.dispose();
      expectExact((await max(y).read()).data, [2, 4]);
      y.dispose();
      expect(() => max(y)).toThrowErrorMatchingInlineSnapshot(`[DisposedError: GpuTensor: expected a live tensor, got one after dispose()]`);
    });

    it("have rows, which share the buffer too", async () => {
      const x = gpu.tensor([[1, 2], [3, 4]]), y = x.row(1);
      x.dispose();
      expectExact(await y.read(), { shape: [2], data: [3, 4] });
      expect(() => y.row(2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: GpuTensor.row: expected \`i\` an integer in [0, 1], got 2]`);
      y.dispose();
    });

    it("keep what stands for a refused row where they are told to", async () => {
      const best = argmax(gpu.tensor([[1, 2], [NaN, 1]]));
      expectExact((await gpu.read([best], { refused: "keep" }))[0].data, [1, -1]);
      await expect(gpu.read([best])).rejects.toThrow("NaN in row 1");
    });

    it("of ONNX Runtime, and any buffer of the device, are adopted without a copy and left alone", async () => {
      const buffer = gpu.device.createBuffer({ size: 64, usage: 128 | 4 | 8 });
      gpu.device.queue.writeBuffer(buffer as never, 0, Float32Array.of(1, 2, 5, 3));
      const buffers = gpu.memory.buffers;
      const x = gpu.tensor({ data: undefined, dims: [2, 2], type: "float32", location: "gpu-buffer", gpuBuffer: buffer } as never);
      expect([x.gpuBuffer === buffer, gpu.memory.buffers - buffers]).toEqual([true, 0]);
      expectExact((await argmax(x).read()).data, [1, 0]);
      x.dispose();
      expectExact((await gpu.adopt(buffer, [4]).read()).data, [1, 2, 5, 3]);
      expect(() => gpu.adopt(buffer, [17])).toThrowErrorMatchingInlineSnapshot(`[RangeError: gpu.adopt: expected \`buffer\` of 68 bytes for shape [17], got 64 bytes]`);
      expect(() => gpu.adopt(gpu.device.createBuffer({ size: 64, usage: 8 }), [4])).toThrowErrorMatchingInlineSnapshot(`[RangeError: gpu.adopt: expected \`buffer\` with usages STORAGE and COPY_SRC, got usage 8]`);
      expect(() => gpu.tensor({ data: undefined, dims: [2], type: "bfloat16", location: "gpu-buffer", gpuBuffer: buffer } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: gpu.adopt: expected \`dtype\` float32, int32 or float16, got bfloat16]`);
      buffer.destroy();
    });
  });

  describe("another device", () => {
    it("is adopted, and its backend is not started again nor its device destroyed", async () => {
      const other = await webgpu({ device: gpu.device });
      expectExact((await max(other.adopt(gpu.tensor([1, 7]).gpuBuffer, [2])).read()).data, 7);
      await expect(other.restart()).rejects.toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: gpu.restart: expected a device of its own, got an adopted one. Let its owner make a new device and call webgpu({ device })]`);
      other.dispose();
      expectExact((await max(gpu.tensor([1, 2])).read()).data, [2]);
    });

    it("is refused: its tensors at once, its buffers when they are read", async () => {
      const other = await backend();
      const x = other.tensor([1, 2]);
      expect(() => softmaxGrad(gpu.tensor([0, 0]), x)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmaxGrad: expected \`upstream\` of the same GPU device as the other argument, got a tensor of another device. Make both with one backend: gpu.tensor(await y.read()) copies]`);
      expect(() => gpu.tensor(x)).toThrowErrorMatchingInlineSnapshot(`[RangeError: gpu.tensor: expected \`x\` of this GPU device, got a tensor of another device. Copy it: gpu.tensor(await x.read())]`);
      await expect(max(gpu.adopt(x.gpuBuffer, [2])).read()).rejects.toThrow(/^gpu\.adopt: expected `buffer` a live buffer of this GPU device, got .*Adopt the device that made it: await webgpu\(\{ device \}\)$/);
      faults.length = 0; // of the dispatch with that buffer
      expectExact((await max(gpu.tensor([1, 2])).read()).data, [2]);
    });
  });

  describe("limits", () => {
    it("a kernel that the device refuses is an error where its result is read", async () => {
      const own = await webgpu({ gpu: dawn }), make = own.device.createShaderModule.bind(own.device);
      Object.defineProperty(own.device, "createShaderModule", { value: (descriptor: { code: string }) => make({ ...descriptor, code: descriptor.code.replace("fn main", "fn niam") }) });
      made.push(own);
      (own.device as unknown as { onuncapturederror: unknown }).onuncapturederror = () => undefined;
      await expect(max(own.tensor([1, 2])).read()).rejects.toThrow(/^gpu\.read: expected `gpu` with a device that takes the kernels, got .*main/s);
    });

    it("what is no list of tensors is not read", async () => {
      const x = gpu.tensor([1]);
      for (const given of [x, [x, null], { x: [1] }]) await expect(gpu.read(given as never)).rejects.toThrow("gpu.read: expected `tensors` an array or an object of tensors of this GPU device, got another one, or something else. A single tensor: await x.read()");
    });

    it("a row that no binding holds is refused, with the limit", async () => {
      const small = await backend({ bindingBytes: 65536 });
      expect(() => softmax(small.tensor(new Float32Array(20000)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`x\` with at most 16320 elements in a row (bindingBytes of this backend), got 20000]`);
      expect(() => gpu.scratch("here", 2 ** 40)).toThrow(/^here: expected `result` of at most \d+ bytes \(maxBufferSize of the device\), got 4398046511104\. Work on fewer rows at a time$/);
    });

    it("matrices that no binding holds are split, along whichever axis: the same bits", async () => {
      const random = testRandom(6), small = await backend({ bindingBytes: 65536 });
      const of = (...shape: number[]): { shape: number[]; data: Float32Array } => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i === 7 ? Infinity : random.normal())) });
      for (const [a, b, options] of [[of(3, 5500), of(5500, 2), {}], [of(5500, 3), of(3, 2), {}], [of(2, 3), of(3, 5500), {}], [of(300, 60), of(300, 30), { transposeA: true }], [of(2, 20, 850), of(2, 10, 850), { transposeB: true }]] as const) {
        expectExact(await matmul(small.tensor(a), small.tensor(b), options).read(), await matmul(gpu.tensor(a), gpu.tensor(b), options).read());
      }
    });

    it("words that are masked with the lowest float32 leave the loss of the others", async () => {
      const [x, w] = [gpu.tensor([[1, 0]]), gpu.tensor([[2, 5], [0, 7], [1, 1], [1, 3]])], mask = -3.4028234663852886e38;
      for (const labelSmoothing of [0, 2 ** -24]) {
        // Smoothing takes its share of the mean, half the lowest one.
        const [one, masked] = [0, mask].map((bias) => linearCrossEntropy(x, w, [0], { labelSmoothing, bias: [0, 0, bias || -Infinity, bias || -Infinity] })), got = await gpu.read([one, masked]);
        expectClose(got[1].data, [labelSmoothing ? -0.5 * labelSmoothing * mask : got[0].data[0]], { rtol: 1e-6 });
      }
    });

    it("wide rows keep the bounds of the table", async () => {
      const random = testRandom(3), cols = 151_936, data = Float32Array.from({ length: 2 * cols }, () => 3 * random.normal());
      const { energy, entropy: h, argmax: best } = await gpu.read(logitStatistics(gpu.tensor({ data, shape: [2, cols] })));
      for (const r of [0, 1]) {
        const row = data.subarray(r * cols, (r + 1) * cols), top = row.reduce((a, b) => Math.max(a, b));
        let z = 0, moment = 0;
        for (const v of row) {
          z += Math.exp(v - top);
          moment += (v - top) * Math.exp(v - top);
        }
        expectClose(energy.data[r], -(top + Math.log(z)), { atol: (30 + cols / 4096) * 2 ** -24, rtol: 3 * 2 ** -24 });
        expectClose(h.data[r], Math.log(z) - moment / z, { rtol: 2e-5 });
        expect(best.data[r]).toBe(row.indexOf(top));
      }
    });

    it("rows are split: the same bits as in one dispatch", async () => {
      const random = testRandom(5), data = Float32Array.from({ length: 300 * 77 }, () => random.normal());
      const small = await backend({ bindingBytes: 65536 });
      for (const run of [(x: GpuTensor) => softmax(x), (x: GpuTensor) => logSumExp(x), (x: GpuTensor) => topK(x, 5).indices, (x: GpuTensor) => logitStatistics(x).entropy, (x: GpuTensor) => matmul(x, x.gpu.tensor({ data: data.slice(0, 77 * 5), shape: [77, 5] }))]) {
        expectExact(await run(small.tensor({ data, shape: [300, 77] })).read(), await run(gpu.tensor({ data, shape: [300, 77] })).read());
      }
    });

    it("memory that the device refuses is an error where the result is read, also of what was made from it, and not later", async () => {
      const device = new Proxy(gpu.device, {
        get(target, name) {
          const value = Reflect.get(target, name) as unknown;
          if (name === "pushErrorScope") return (filter: "validation" | "out-of-memory") => (scopes.push(filter), target.pushErrorScope(filter));
          if (name === "popErrorScope" && scopes.pop() === "out-of-memory" && refuse) return () => target.popErrorScope().then(() => ({ message: "Not enough memory left" }));
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
      let refuse = false;
      const scopes: string[] = [];
      const poor = await webgpu({ device });
      const x = poor.tensor([1, 2]);
      refuse = true;
      const y = softmax(x);
      refuse = false;
      const z = max(y);
      await expect(z.read()).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`result\` of a size that the GPU has room for, got 8 bytes: Not enough memory left. Dispose of tensors, or work on fewer rows at a time]`);
      await expect(y.read()).rejects.toThrow("of a size that the GPU has room for");
      for (const t of [y, z]) t.dispose();
      expectExact((await max(softmax(x)).read()).data, [Math.fround(1 / (1 + Math.exp(-1)))]);
    });
  });

  it("a long chain of operations on one tensor and itself stays short of memory", async () => {
    const own = await backend();
    let x = own.tensor([[0.5, 0.25], [0.25, 0.5]]);
    for (let i = 0; i < 60; i++) {
      const y = matmul(x, x), z = softmaxGrad(y, y);
      for (const t of [x, y]) t.dispose();
      x = z;
    }
    expect(x.doubtful.length).toBeLessThan(20);
    expect((await x.read()).shape).toEqual([2, 2]);
  });

  it("10,000 operations leak no buffer", async () => {
    const own = await backend();
    const x = own.tensor(Float32Array.from({ length: 50 }, (_, i) => Math.fround(i / 7))).reshape([5, 10]);
    const counted = { made: 0, destroyed: 0 };
    const { createBuffer } = own.device;
    (own.device as { createBuffer: unknown }).createBuffer = (descriptor: never): unknown => {
      const buffer = createBuffer.call(own.device, descriptor) as { destroy(): void };
      counted.made++;
      const { destroy } = buffer;
      buffer.destroy = () => (counted.destroyed++, destroy.call(buffer));
      return buffer;
    };
    const step = async (i: number): Promise<void> => {
      // Four operations a step, each fiftieth with larger ones and a read.
      const p = softmax(x), z = logSumExp(p), statistics = logitStatistics(x), largest = max(p);
      if (i % 50 === 0) {
        const top = topK(p, 3), product = matmul(x, p, { transposeB: true });
        await own.read([top.indices, statistics.energy, product]);
        for (const y of [top.values, top.indices, product]) y.dispose();
      }
      for (const y of [p, z, largest, ...Object.values(statistics)]) y.dispose();
    };
    for (let i = 0; i < 50; i++) await step(i);
    const before = own.memory, { made: already } = counted;
    for (let i = 0; i < 2500; i++) await step(i);
    expect([own.memory, counted.made - already]).toEqual([before, 0]);
    expect(before.buffers).toBeLessThan(20);
    x.dispose();
    own.trim();
    expect(own.memory).toEqual({ buffers: 1, bytes: 256, idleBytes: 0 });
  });

  it("a lost device is a clear error, and a new backend starts", async () => {
    const own = await backend();
    const x = own.tensor([1, 2]);
    const reading = max(x).read();
    own.device.destroy();
    await reading.catch(() => undefined);
    expect((await own.lost).reason).toBe("destroyed");
    await expect(x.read()).rejects.toThrow(/^gpu\.read: expected `gpu` with a live device, got one that was lost \(destroyed.*\)\. Start again with await gpu\.restart\(\) or await webgpu\(\), and put the tensors on it$/s);
    expect(() => max(x)).toThrow("one that was lost");
    const again = await own.restart();
    made.push(again);
    expectExact((await max(again.tensor([1, 2])).read()).data, [2]);
  });

  it("a pipeline is compiled once for each width class", async () => {
    const own = await backend();
    for (const cols of [3, 5, 16]) softmax(own.tensor(new Float32Array(cols)));
    expect(own.pipelines).toBe(1);
    softmax(own.tensor(new Float32Array(17)));
    expect(own.pipelines).toBe(2);
    await own.finish();
  });

  it("no call left an error that nobody caught", () => expect(faults).toEqual([]));
}
