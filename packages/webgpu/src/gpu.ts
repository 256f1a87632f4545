import { BackendUnavailableError, Tensor, asFloat16Bits, asFloat32, asInt32, describe, float16ToFloat32, rangeError, sizeOf, typeError, type TensorLike } from "@logits/tensor";
import { numbers, reduce, reduceSubgroups } from "#wgsl";
import { COPY_DST, COPY_SRC, MAP_READ, STORAGE, UNIFORM, type Encoder, type GpuBufferLike, type GpuDeviceLike } from "./device.ts";
import { GpuTensor, type GpuDType, type GpuFloat, type InMemory, type Verify } from "./gpuTensor.ts";
import type { Operations } from "./operations.ts";
import { BufferPool, type Slot } from "./pool.ts";

/** float16 in memory, as bits, filled up to words of 4 bytes. */
function wordsOf(where: string, x: TensorLike): { readonly shape: readonly number[]; readonly data: Uint16Array } {
  const half = asFloat16Bits(x);
  if (!half) throw typeError(where, "x", 'float16, { data: Uint16Array of bits, dims, type: "float16" }', describe(x), "Make the bits with float32ToFloat16 of @logits/tensor");
  const { bits, shape } = half, data = new Uint16Array(2 * Math.ceil(bits.length / 2));
  data.set(bits);
  return { shape, data };
}

function checkDType(where: string, dtype: string): void {
  if (!["float32", "int32", "float16"].includes(dtype)) throw typeError(where, "dtype", "float32, int32 or float16", `${dtype}`);
}

/** A file of shaders, the number of its bindings that it reads and writes, and its name. */
export interface Family {
  readonly name: string;
  readonly code: string;
  readonly reads: number;
  readonly writes: number;
  /** Whether rows are reduced with LANES invocations each. */
  readonly rows?: boolean;
}

/** A part of a buffer, in elements. */
export interface Part {
  readonly slot: Slot;
  readonly at: number;
  readonly count: number;
}

/** How a backend is made. */
export interface GpuSettings {
  readonly subgroups: boolean;
  readonly poolBytes: number;
  readonly bindingBytes: number;
  readonly adapter: string;
  /** Makes another one of the same kind; absent for an adopted device. */
  readonly again?: () => Promise<Gpu>;
}

/** What the buffers of a backend take. */
export interface GpuMemory {
  /** Living buffers that the backend made, and their bytes. */
  readonly buffers: number;
  readonly bytes: number;
  /** Bytes of them that wait in the pool. */
  readonly idleBytes: number;
}

/** Options of `gpu.read`. */
export interface GpuReadOptions {
  /** What happens where an operation refused a row: the error of the synchronous operation (default), or the indices below 0 that stand for it are kept. */
  readonly refused?: "throw" | "keep";
}

/** Bytes of buffers for reading that are kept. */
const STAGING = 2 ** 24;

/** The WebGPU backend on one device: `await webgpu()`. */
export class Gpu {
  /** The `GPUDevice`. */
  readonly device: GpuDeviceLike;
  /** The adapter in words, as far as the platform tells; empty for an adopted device. */
  readonly adapter: string;
  /** Whether reductions use subgroups. */
  readonly subgroups: boolean;
  /** Largest part of a buffer that one dispatch sees, in bytes; operations split their rows by it. */
  readonly bindingBytes: number;
  /** All operations, for code that gets a tensor and imports nothing. */
  readonly operations: Operations;
  /** Resolves when the device is lost or disposed of. */
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  readonly #pool: BufferPool;
  readonly #settings: GpuSettings;
  readonly #pipelines: Map<string, { readonly pipeline: unknown; readonly layout: unknown }> = new Map();
  readonly #staging: BufferPool;
  readonly #uniforms: GpuBufferLike[] = [];
  /** The error of the first pipeline that the device refused. */
  #refused: Promise<{ readonly message: string } | null> = Promise.resolve(null);
  #uniform = 0;
  #bytesRead = 0;
  #reason: string | undefined;

  /** Use `webgpu`. */
  constructor(device: GpuDeviceLike, operations: Operations, settings: GpuSettings) {
    this.device = device;
    this.operations = operations;
    this.#settings = settings;
    this.adapter = settings.adapter;
    this.subgroups = settings.subgroups;
    this.bindingBytes = settings.bindingBytes;
    this.#pool = new BufferPool(device, STORAGE | COPY_SRC | COPY_DST, settings.poolBytes);
    this.#staging = new BufferPool(device, MAP_READ | COPY_DST, STAGING);
    this.lost = device.lost.then(({ reason, message }) => {
      this.#reason ??= `${reason || "unknown"}${message ? `: ${message}` : ""}`;
      return { reason, message };
    });
  }

  /** Buffers that the backend holds. */
  get memory(): GpuMemory {
    const { buffers, bytes, idle } = this.#pool;
    return { buffers, bytes, idleBytes: idle };
  }

  /** Bytes read back from the GPU since the backend was made. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Number of compiled pipelines. */
  get pipelines(): number {
    return this.#pipelines.size;
  }

  /**
   * Puts a tensor on the GPU, or adopts one that is there.
   *
   * @param x - anything that is taken as a tensor, copied; or a tensor of this backend, or of ONNX Runtime on this device (`location: "gpu-buffer"`), taken over without a copy
   * @param dtype - of the elements there. Default: that of `x` where it is on the GPU, float32 elsewhere. "float16" takes half the memory, and every operation reads it as the float32 that it
   *   stands for; in memory it is `{ data, dims, type: "float16" }`, with the bits that `float32ToFloat16` of @logits/tensor makes. "float32" of a float16 on the GPU: a copy, exact
   * @throws RangeError for values that the dtype does not hold; TypeError for another dtype, a tensor of another type on the GPU, or one that is not float16
   */
  tensor<D extends GpuDType = GpuFloat>(x: TensorLike | GpuTensor, dtype?: D): GpuTensor<D>;
  tensor(x: TensorLike | GpuTensor, dtype?: GpuDType): GpuTensor {
    const where = "gpu.tensor", like = x as { readonly location?: string; readonly gpuBuffer?: GpuBufferLike; readonly dims?: readonly number[]; readonly type?: GpuDType; readonly gpu?: unknown };
    this.check(where);
    if (dtype !== undefined) checkDType(where, dtype);
    if (like?.location === "gpu-buffer" && like.gpuBuffer !== undefined) {
      if (like.gpu !== undefined && like.gpu !== this) throw rangeError(where, "x", "of this GPU device", "a tensor of another device", "Copy it: gpu.tensor(await x.read())");
      const { type = "float32" } = like, widen = dtype === "float32" && type === "float16";
      if (!widen && dtype !== undefined && type !== dtype) throw typeError(where, "x", `${dtype} where it is on the GPU`, type, "Convert it in the model, or read it back");
      const there = x instanceof GpuTensor ? x.reshape(x.shape) : this.adopt(like.gpuBuffer, like.dims!, type);
      if (!widen) return there;
      // The largest of one element is that element.
      const each = there.reshape([...there.shape, 1]), floats = this.operations.max(each);
      for (const y of [there, each]) y.dispose();
      return floats;
    }
    const half = dtype === "float16", { shape, data } = half ? wordsOf(where, x as TensorLike) : dtype === "int32" ? asInt32(where, "x", x as TensorLike) : asFloat32(where, "x", x as TensorLike);
    const slot = this.#pool.take(where, data.byteLength);
    slot.half = half;
    if (data.length > 0) this.device.queue.writeBuffer(slot.buffer as never, 0, data, 0, data.length);
    return new GpuTensor(this, dtype ?? "float32", [...shape], slot);
  }

  /**
   * A tensor on a buffer that someone else made: no copy, and `dispose()` leaves the buffer alone. It must outlive the tensor.
   *
   * @param buffer - a `GPUBuffer` of this device with usages STORAGE and COPY_SRC
   * @param shape - of the tensor
   * @param dtype - of what the buffer holds: "float32" (default), "int32" or "float16", of which two share a word of 4 bytes
   * @throws RangeError for a buffer that is too small or lacks a usage; a buffer of another device is refused when the tensor, or what is made of it, is read
   */
  adopt<D extends GpuDType = "float32">(buffer: GpuBufferLike, shape: readonly number[], dtype: D = "float32" as D): GpuTensor<D> {
    const where = "gpu.adopt";
    this.check(where);
    const wanted = STORAGE | COPY_SRC;
    if (typeof buffer?.usage !== "number" || typeof buffer.size !== "number") throw typeError(where, "buffer", "a GPUBuffer", `${buffer as unknown}`);
    checkDType(where, dtype);
    if ((buffer.usage & wanted) !== wanted) throw rangeError(where, "buffer", "with usages STORAGE and COPY_SRC", `usage ${buffer.usage}`);
    const half = dtype === "float16", bytes = 4 * Math.ceil(sizeOf(shape) / (half ? 2 : 1));
    if (buffer.size < bytes) throw rangeError(where, "buffer", `of ${bytes} bytes for shape [${shape.join(", ")}]`, `${buffer.size} bytes`);
    const slot: Slot = { buffer, bytes: 0, users: 1, half, doubt: undefined, failed: false };
    // Only using it tells whose it is.
    this.device.pushErrorScope("validation");
    const layout = this.device.createBindGroupLayout({ entries: [{ binding: 0, visibility: 4, buffer: { type: "read-only-storage" } }] } as never);
    this.device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer, size: Math.min(buffer.size, 16) & ~3 } }] } as never);
    slot.doubt = this.device.popErrorScope().then((error) => {
      slot.doubt = error === null ? undefined : Promise.resolve(rangeError(where, "buffer", "a live buffer of this GPU device", error.message.split("\n")[0], "Adopt the device that made it: await webgpu({ device })"));
      return slot.doubt;
    }, () => undefined);
    return new GpuTensor(this, dtype, [...shape], slot);
  }

  /**
   * Reads several tensors with one copy and one wait.
   *
   * @param tensors - an array, or an object of tensors such as the result of `logitStatistics`
   * @param options - `refused`: "throw" (default) where an operation refused a row, or "keep" what stands for it (indices below 0)
   * @returns ordinary tensors in the same places
   */
  read<const T extends readonly GpuTensor[] | Readonly<Record<string, GpuTensor>>>(tensors: T, options?: GpuReadOptions): Promise<{ -readonly [K in keyof T]: T[K] extends GpuTensor<infer D> ? Tensor<InMemory<D>> : never }>;
  async read(tensors: readonly GpuTensor[] | Readonly<Record<string, GpuTensor>>, { refused = "throw" }: GpuReadOptions = {}): Promise<unknown> {
    this.check("gpu.read");
    const list = Object.values(tensors) as GpuTensor[];
    for (const x of list) if (!(x instanceof GpuTensor) || x.gpu !== this) throw rangeError("gpu.read", "tensors", "an array or an object of tensors of this GPU device", "another one, or something else", "A single tensor: await x.read()");
    // Words of 4 bytes: [the first, behind the last].
    const words = list.map(({ slot, offset, size }) => (slot.half ? [Math.floor(offset / 2), Math.ceil((offset + size) / 2)] : [offset, offset + size]));
    const total = words.reduce((sum, [from, to]) => sum + to - from, 0);
    const doubtful = new Set(list.flatMap((x) => x.doubtful));
    let data = new ArrayBuffer(0), at = 0;
    if (total > 0) {
      const slot = this.#staging.take("gpu.read", 4 * total), staging = slot.buffer;
      doubtful.add(slot);
      const encoder = this.device.createCommandEncoder() as Encoder;
      for (const [i, [from, to]] of words.entries()) {
        if (to > from) encoder.copyBufferToBuffer(list[i].slot.buffer, 4 * from, staging, at, 4 * (to - from));
        at += 4 * (to - from);
      }
      // An error of the copy is one of what was made before it: the doubts say which.
      this.device.pushErrorScope("validation");
      this.device.queue.submit([encoder.finish()] as never[]);
      const copied = this.device.popErrorScope().catch(() => null);
      const failure = await staging.mapAsync(MAP_READ, 0, 4 * total).then(() => {
        data = staging.getMappedRange(0, 4 * total).slice(0);
        staging.unmap();
      }, (cause: Error) => cause);
      slot.failed ||= failure !== undefined;
      this.#staging.give(slot);
      if (failure) {
        await this.#settle();
        this.check("gpu.read", failure);
      }
      for (const { doubt } of doubtful) {
        const error = await doubt;
        if (error) throw error;
      }
      const refusal = await this.#refused;
      if (refusal) throw new BackendUnavailableError(`gpu.read: expected \`gpu\` with a device that takes the kernels, got ${refusal.message}`);
      const error = await copied;
      if (error) throw rangeError("gpu.read", "tensors", "on live buffers of this GPU device", error.message.split("\n")[0]);
      if (failure) throw new BackendUnavailableError(`gpu.read: expected \`tensors\` that can be read, got ${failure.message}`, { cause: failure });
      this.#bytesRead += 4 * total;
    }
    at = 0;
    const results = list.map((x, i) => {
      const [from, to] = words[i], half = x.dtype === "float16";
      const values = half ? float16ToFloat32(new Uint16Array(data, at + (x.offset & 1) * 2, x.size)) : x.dtype === "int32" ? new Int32Array(data, at, x.size) : new Float32Array(data, at, x.size);
      at += 4 * (to - from);
      if (refused === "throw") x.verify(values);
      // One tensor keeps the array; several get their own, so that none holds the memory of all.
      return new Tensor(x.dtype === "int32" ? x.dtype : "float32", x.shape, (list.length === 1 ? values : values.slice()) as never);
    });
    return Array.isArray(tensors) ? results : Object.fromEntries(Object.keys(tensors).map((key, i) => [key, results[i]]));
  }

  /** Waits until everything dispatched so far is done. */
  async finish(): Promise<void> {
    const slot = this.#pool.take("gpu.finish", 4);
    const probe = new GpuTensor(this, "int32", [1], slot);
    await probe.read();
    this.#bytesRead -= 4;
    probe.dispose();
  }

  /** Destroys the buffers that wait in the pool. */
  trim(): void {
    this.#pool.clear();
    this.#staging.clear();
  }

  /** Ends the backend: its own device is destroyed, an adopted one is left as it is. */
  dispose(): void {
    this.trim();
    for (const buffer of this.#uniforms) buffer.destroy();
    this.#uniforms.length = 0;
    this.#pipelines.clear();
    this.#reason ??= "dispose() was called";
    if (this.#settings.again) this.device.destroy();
  }

  /**
   * A new backend made as this one was, after its device was lost. Tensors do not come along: put them on the new one.
   *
   * @throws BackendUnavailableError for an adopted device, which its owner must make again, or if there is no adapter any more
   */
  async restart(): Promise<Gpu> {
    if (!this.#settings.again) throw new BackendUnavailableError("gpu.restart: expected a device of its own, got an adopted one. Let its owner make a new device and call webgpu({ device })");
    this.dispose();
    return this.#settings.again();
  }

  /** A new tensor for the result of an operation on `inputs`. */
  result<D extends GpuDType>(where: string, dtype: D, shape: readonly number[], inputs: readonly GpuTensor[], verify?: Verify): GpuTensor<D> {
    return new GpuTensor(this, dtype, shape, this.#pool.take(where, 4 * sizeOf(shape)), 0, inputs.flatMap((x) => x.doubtful), verify);
  }

  /** A buffer for the time of some dispatches: `release` it after they are submitted. */
  scratch(where: string, elements: number): Slot {
    return this.#pool.take(where, 4 * elements);
  }

  /** One user of a buffer less. */
  release(slot: Slot): void {
    this.#pool.give(slot);
  }

  /** Throws if the device is gone. */
  check(where: string, cause?: unknown): void {
    if (this.#reason !== undefined) {
      throw new BackendUnavailableError(`${where}: expected \`gpu\` with a live device, got one that was lost (${this.#reason}). Start again with await gpu.restart() or await webgpu(), and put the tensors on it`, { cause });
    }
  }

  /** Most elements that one binding of this backend holds, wherever it begins. */
  get reach(): number {
    return Math.floor(Math.min(this.bindingBytes, this.device.limits.maxStorageBufferBindingSize) / 4) - this.device.limits.minStorageBufferOffsetAlignment / 4;
  }

  /**
   * Runs a kernel: bindings in the order of the shader, then its parameters: the shift of each binding, `integers`, `floats`.
   *
   * @param constants - the pipeline's overrides
   */
  dispatch(where: string, family: Family, constants: Readonly<Record<string, number>>, parts: readonly Part[], integers: readonly number[], floats: readonly number[], groups: readonly [number, number, number]): void {
    this.check(where);
    const { pipeline, layout } = this.#pipeline(family, constants, parts);
    const align = this.device.limits.minStorageBufferOffsetAlignment, bytes = parts.map(({ slot }) => (slot.half ? 2 : 4)), shifts = parts.map(({ at }, i) => at % (align / bytes[i]));
    const words = new ArrayBuffer(64);
    new Uint32Array(words).set([...shifts, ...integers]);
    new Float32Array(words, 4 * (shifts.length + integers.length)).set(floats);
    const uniform = this.#nextUniform();
    this.device.queue.writeBuffer(uniform as never, 0, words);
    const entries = parts.map(({ slot, at, count }, binding) => ({ binding, resource: { buffer: slot.buffer, offset: bytes[binding] * (at - shifts[binding]), size: 4 * Math.ceil((bytes[binding] * (count + shifts[binding])) / 4) } }));
    const group = this.device.createBindGroup({ layout, entries: [...entries, { binding: parts.length, resource: { buffer: uniform, size: 64 } }] } as never);
    const encoder = this.device.createCommandEncoder() as Encoder;
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...groups);
    pass.end();
    this.device.queue.submit([encoder.finish()] as never[]);
  }

  #pipeline({ name, code, reads, writes, rows }: Family, constants: Readonly<Record<string, number>>, parts: readonly Part[]): { readonly pipeline: unknown; readonly layout: unknown } {
    const halves = parts.map(({ slot }) => slot.half), key = [name, ...Object.values(constants), ...halves].join(" ");
    const ready = this.#pipelines.get(key);
    if (ready) return ready;
    const subgroups = this.subgroups && constants.LANES === 256;
    // The first line is names, of which build.ts says more.
    const [head, body] = code.split("\n"), [storage, [params], integers, floats] = head.split("|").map((names) => names.split(" ").filter(Boolean));
    const source = [
      ...(subgroups ? ["enable subgroups;"] : []),
      numbers,
      ...(rows ? [subgroups ? reduceSubgroups : reduce] : []),
      `struct Params{${integers.map((field) => `${field}:u32,`).join("")}${floats.map((field) => `${field}:f32,`).join("")}}`,
      // What is only read is read by a function of its name.
      ...storage.map((buffer, i) => (i < reads ? `@group(0)@binding(${i})var<storage,read>${buffer}_:array<u32>;fn ${buffer}(i:u32)->u32{return ${halves[i] ? `widened(${buffer}_[i/2]>>(i%2*16))` : `${buffer}_[i]`};}` : `@group(0)@binding(${i})var<storage,read_write>${buffer}:array<u32>;`)),
      `@group(0)@binding(${storage.length})var<uniform>${params}:Params;`,
      body.replace("/*SUBGROUP*/", subgroups ? ",@builtin(subgroup_size) size: u32,@builtin(subgroup_invocation_id) invocation: u32" : "").replace("/*SETUP*/", subgroups ? "subgroupSize=size;subgroupLane=invocation;" : ""),
    ].join("\n");
    const entries = Array.from({ length: reads + writes + 1 }, (_, binding) => ({ binding, visibility: 4, buffer: { type: binding < reads ? "read-only-storage" : binding < reads + writes ? "storage" : "uniform" } }));
    this.device.pushErrorScope("validation");
    const layout = this.device.createBindGroupLayout({ entries } as never);
    const module = this.device.createShaderModule({ code: source, label: name });
    const pipeline = this.device.createComputePipeline({ label: key, layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] } as never), compute: { module, entryPoint: "main", constants } } as never);
    const made = { pipeline, layout }, error = this.device.popErrorScope().catch(() => null);
    this.#refused = this.#refused.then((before) => before ?? error);
    this.#pipelines.set(key, made);
    return made;
  }

  /** Parameters are written in the order of the queue, so that a few buffers serve in turn. */
  #nextUniform(): GpuBufferLike {
    const at = this.#uniform++ & 15;
    return (this.#uniforms[at] ??= this.device.createBuffer({ size: 64, usage: UNIFORM | COPY_DST, label: "@logits/webgpu parameters" }));
  }

  /** Lets the news of a lost device arrive. */
  async #settle(): Promise<void> {
    await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 0))]);
  }
}
