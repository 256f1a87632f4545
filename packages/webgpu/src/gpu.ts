import { BackendUnavailableError, Tensor, asFloat32, asInt32, rangeError, sizeOf, typeError, type TensorLike } from "@logits/tensor";
import { code as numbers } from "#wgsl/numbers";
import { code as reduce } from "#wgsl/reduce";
import { code as reduceSubgroups } from "#wgsl/reduceSubgroups";
import { code as widen } from "#wgsl/widen";
import { COPY_DST, COPY_SRC, MAP_READ, STORAGE, UNIFORM, type Encoder, type GpuBufferLike, type GpuDeviceLike } from "./device.ts";
import { GpuTensor, type GpuDType, type Verify } from "./gpuTensor.ts";
import type { Operations } from "./operations.ts";
import { BufferPool, type Slot } from "./pool.ts";
import { operand, runRows } from "./rows.ts";

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

const WIDEN: Family = { name: "widen", code: widen, reads: 1, writes: 1, rows: true };

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

interface Staging {
  readonly buffer: GpuBufferLike;
  readonly size: number;
}

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
  readonly #staging: Staging[] = [];
  readonly #uniforms: GpuBufferLike[] = [];
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
    this.#pool = new BufferPool(device, settings.poolBytes);
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
   * @param x - anything that is taken as a tensor, copied; or a GPU-located tensor of ONNX Runtime (`location: "gpu-buffer"`) on this device: float32 and int32 are adopted without a copy, float16 becomes float32 there
   * @param dtype - "float32" (default) or "int32"
   * @throws RangeError for values that the dtype does not hold; TypeError for a GPU-located tensor of another type
   */
  tensor<D extends GpuDType = "float32">(x: TensorLike | GpuTensor, dtype: D = "float32" as D): GpuTensor<D> {
    this.check("gpu.tensor");
    const like = x as { readonly location?: string; readonly gpuBuffer?: GpuBufferLike; readonly dims?: readonly number[]; readonly type?: string };
    if (x instanceof GpuTensor) {
      if (x.gpu !== this) throw rangeError("gpu.tensor", "x", "of this GPU device", "a tensor of another device", "Copy it: gpu.tensor(await x.read())");
      if ((x.dtype as string) !== dtype) throw typeError("gpu.tensor", "x", dtype, x.dtype);
      return x.reshape(x.shape) as unknown as GpuTensor<D>;
    }
    if (like?.location === "gpu-buffer" && like.gpuBuffer !== undefined) {
      if (like.type === "float16" && dtype === "float32") return this.#widened(like.gpuBuffer, like.dims!) as GpuTensor<D>;
      if (like.type !== dtype) throw typeError("gpu.tensor", "x", `${dtype} where it is on the GPU`, `${like.type}`, "Convert it in the model, or read it back");
      return this.adopt(like.gpuBuffer, like.dims!, dtype);
    }
    const { shape, data } = dtype === "int32" ? asInt32("gpu.tensor", "x", x as TensorLike) : asFloat32("gpu.tensor", "x", x as TensorLike);
    const slot = this.#pool.take("gpu.tensor", 4 * data.length);
    if (data.length > 0) this.device.queue.writeBuffer(slot.buffer as never, 0, data, 0, data.length);
    return new GpuTensor(this, dtype, [...shape], slot);
  }

  /**
   * A tensor on a buffer that someone else made: no copy, and `dispose()` leaves the buffer alone. It must outlive the tensor.
   *
   * @param buffer - a `GPUBuffer` of this device with usages STORAGE and COPY_SRC
   * @param shape - of the tensor
   * @param dtype - of what the buffer holds, "float32" (default) or "int32"
   * @throws RangeError for a buffer that is too small or lacks a usage; a buffer of another device is refused when the tensor, or what is made of it, is read
   */
  adopt<D extends GpuDType = "float32">(buffer: GpuBufferLike, shape: readonly number[], dtype: D = "float32" as D): GpuTensor<D> {
    const where = "gpu.adopt";
    this.check(where);
    const wanted = STORAGE | COPY_SRC;
    if (typeof buffer?.usage !== "number" || typeof buffer.size !== "number") throw typeError(where, "buffer", "a GPUBuffer", `${buffer as unknown}`);
    if (dtype !== "float32" && dtype !== "int32") throw typeError(where, "dtype", "float32 or int32", `${dtype as string}`);
    if ((buffer.usage & wanted) !== wanted) throw rangeError(where, "buffer", "with usages STORAGE and COPY_SRC", `usage ${buffer.usage}`);
    if (buffer.size < 4 * sizeOf(shape)) throw rangeError(where, "buffer", `of ${4 * sizeOf(shape)} bytes for shape [${shape.join(", ")}]`, `${buffer.size} bytes`);
    const slot: Slot = { buffer, bytes: 0, users: 1, doubt: undefined, failed: false };
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
  read<const T extends readonly GpuTensor[] | Readonly<Record<string, GpuTensor>>>(tensors: T, options?: GpuReadOptions): Promise<{ -readonly [K in keyof T]: T[K] extends GpuTensor<infer D> ? Tensor<D> : never }>;
  async read(tensors: readonly GpuTensor[] | Readonly<Record<string, GpuTensor>>, { refused = "throw" }: GpuReadOptions = {}): Promise<unknown> {
    this.check("gpu.read");
    const list = Object.values(tensors) as GpuTensor[];
    for (const { gpu, slot } of list) if (gpu !== this || !slot) throw rangeError("gpu.read", "tensors", "of this GPU device", "a tensor of another device");
    const total = list.reduce((sum, { size }) => sum + size, 0);
    const doubtful = new Set(list.flatMap((x) => x.doubtful));
    let data = new ArrayBuffer(0);
    if (total > 0) {
      const staging = this.#takeStaging(4 * total);
      const encoder = this.device.createCommandEncoder() as Encoder;
      let at = 0;
      for (const x of list) {
        if (x.size > 0) encoder.copyBufferToBuffer(x.slot.buffer, 4 * x.offset, staging.buffer, at, 4 * x.size);
        at += 4 * x.size;
      }
      // An error of the copy is one of what was made before it: the doubts say which.
      this.device.pushErrorScope("validation");
      this.device.queue.submit([encoder.finish()] as never[]);
      const copied = this.device.popErrorScope().catch(() => null);
      try {
        await staging.buffer.mapAsync(MAP_READ, 0, 4 * total);
        data = staging.buffer.getMappedRange(0, 4 * total).slice(0);
        staging.buffer.unmap();
      } catch (cause) {
        staging.buffer.destroy();
        await this.#settle();
        this.check("gpu.read", cause);
        throw new BackendUnavailableError(`gpu.read: expected \`tensors\` that can be read, got ${(cause as Error).message}`, { cause });
      }
      if (this.#staging.length < 4) this.#staging.push(staging);
      else staging.buffer.destroy();
      for (const { doubt } of doubtful) {
        const error = await doubt;
        if (error) throw error;
      }
      const error = await copied;
      if (error) throw rangeError("gpu.read", "tensors", "on live buffers of this GPU device", error.message.split("\n")[0]);
      this.#bytesRead += 4 * total;
    }
    let at = 0;
    const results = list.map((x) => {
      const values = x.dtype === "int32" ? new Int32Array(data, at, x.size) : new Float32Array(data, at, x.size);
      at += 4 * x.size;
      if (refused === "throw") x.verify(values);
      // One tensor keeps the array; several get their own, so that none holds the memory of all.
      return new Tensor(x.dtype, x.shape, (list.length === 1 ? values : values.slice()) as never);
    });
    return Array.isArray(tensors) ? results : Object.fromEntries(Object.keys(tensors).map((key, i) => [key, results[i]]));
  }

  /** The float16 of a buffer as float32. Of an odd number, the last word fills up an element that the pool's sizes have room for. */
  #widened(buffer: GpuBufferLike, shape: readonly number[]): GpuTensor<"float32"> {
    const where = "gpu.tensor", words = this.adopt(buffer, [Math.ceil(sizeOf(shape) / 2)], "int32"), y = this.result(where, "float32", shape, [words]);
    runRows(this, where, WIDEN, {}, [operand(words, 1), operand(y, 2)], { outer: words.size, cols: 1, inner: 1 }, (rows) => [rows], []);
    words.dispose();
    return y;
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
    for (const { buffer } of this.#staging) buffer.destroy();
    this.#staging.length = 0;
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
    const { pipeline, layout } = this.#pipeline(family, constants);
    const align = this.device.limits.minStorageBufferOffsetAlignment / 4;
    const shifts = parts.map(({ at }) => at % align);
    const words = new ArrayBuffer(64);
    new Uint32Array(words).set([...shifts, ...integers]);
    new Float32Array(words, 4 * (shifts.length + integers.length)).set(floats);
    const uniform = this.#nextUniform();
    this.device.queue.writeBuffer(uniform as never, 0, words);
    const entries = parts.map(({ slot, at, count }, binding) => ({ binding, resource: { buffer: slot.buffer, offset: 4 * (at - shifts[binding]), size: 4 * (count + shifts[binding]) } }));
    const group = this.device.createBindGroup({ layout, entries: [...entries, { binding: parts.length, resource: { buffer: uniform, size: 64 } }] } as never);
    const encoder = this.device.createCommandEncoder() as Encoder;
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...groups);
    pass.end();
    this.device.queue.submit([encoder.finish()] as never[]);
  }

  #pipeline({ name, code, reads, writes, rows }: Family, constants: Readonly<Record<string, number>>): { readonly pipeline: unknown; readonly layout: unknown } {
    const key = `${name} ${Object.values(constants)}`;
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
      ...storage.map((buffer, i) => `@group(0)@binding(${i})var<storage,read${i < reads ? "" : "_write"}>${buffer}:array<u32>;`),
      `@group(0)@binding(${storage.length})var<uniform>${params}:Params;`,
      body.replace("/*SUBGROUP*/", subgroups ? ",@builtin(subgroup_size) size: u32,@builtin(subgroup_invocation_id) invocation: u32" : "").replace("/*SETUP*/", subgroups ? "subgroupSize=size;subgroupLane=invocation;" : ""),
    ].join("\n");
    const entries = Array.from({ length: reads + writes + 1 }, (_, binding) => ({ binding, visibility: 4, buffer: { type: binding < reads ? "read-only-storage" : binding < reads + writes ? "storage" : "uniform" } }));
    const layout = this.device.createBindGroupLayout({ entries } as never);
    const module = this.device.createShaderModule({ code: source, label: name });
    const pipeline = this.device.createComputePipeline({ label: key, layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] } as never), compute: { module, entryPoint: "main", constants } } as never);
    const made = { pipeline, layout };
    this.#pipelines.set(key, made);
    return made;
  }

  /** Parameters are written in the order of the queue, so that a few buffers serve in turn. */
  #nextUniform(): GpuBufferLike {
    const at = this.#uniform++ & 15;
    return (this.#uniforms[at] ??= this.device.createBuffer({ size: 64, usage: UNIFORM | COPY_DST, label: "@logits/webgpu parameters" }));
  }

  #takeStaging(bytes: number): Staging {
    const fit = this.#staging.findIndex(({ size }) => size >= bytes && size <= 4 * Math.max(bytes, 1024));
    if (fit >= 0) return this.#staging.splice(fit, 1)[0];
    const size = Math.max(256, Math.ceil(bytes / 256) * 256);
    return { buffer: this.device.createBuffer({ size, usage: MAP_READ | COPY_DST, label: "@logits/webgpu read" }), size };
  }

  /** Lets the news of a lost device arrive. */
  async #settle(): Promise<void> {
    await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 0))]);
  }
}
