import { DisposedError, type Tensor, type TensorLike, asFloat32, checkInteger, rangeError, sizeOf, typeError, describe } from "@logits/tensor";
import type { GpuBufferLike } from "./device.ts";
import type { Gpu } from "./gpu.ts";
import type { Operations } from "./operations.ts";
import type { Slot } from "./pool.ts";
import { shapeError } from "./rows.ts";

/** Element types of scores: what operations read. */
export type GpuFloat = "float32" | "float16";

/** Element types of tensors on the GPU. */
export type GpuDType = GpuFloat | "int32";

/** The dtype of what is read back: float16 becomes float32, exactly. */
export type InMemory<D extends GpuDType> = D extends "float16" ? "float32" : D;

/** Checks what was read, and throws where a synchronous operation would have. */
export type Verify = (data: Float32Array | Int32Array) => void;

/**
 * A tensor whose elements are on the GPU. Operations on it are dispatched at once; only `read()` waits.
 *
 * It answers to the names of an ONNX Runtime tensor (`dims`, `type`, `location`, `gpuBuffer`, `getData`), so that functions for ordinary tensors refuse it with a message that says how to read it.
 */
export class GpuTensor<D extends GpuDType = GpuDType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** The backend that it belongs to. */
  readonly gpu: Gpu;
  /** Where it is, in the word of ONNX Runtime. */
  readonly location = "gpu-buffer" as const;
  readonly #slot: Slot;
  readonly #offset: number;
  readonly #verify: Verify | undefined;
  readonly #sources: readonly Slot[];
  #disposed = false;

  /** Use `gpu.tensor`. */
  constructor(gpu: Gpu, dtype: D, shape: readonly number[], slot: Slot, offset = 0, sources: readonly Slot[] = [], verify?: Verify) {
    this.gpu = gpu;
    this.dtype = dtype;
    this.shape = shape;
    this.size = sizeOf(shape);
    this.#slot = slot;
    this.#offset = offset;
    this.#sources = sources;
    this.#verify = verify;
  }

  /** The shape, under the name ONNX Runtime uses. */
  get dims(): readonly number[] {
    return this.shape;
  }

  /** The dtype, under the name ONNX Runtime uses. */
  get type(): D {
    return this.dtype;
  }

  /** The buffer; the elements, of 4 bytes or of 2 (float16), begin at the `offset`-th. */
  get gpuBuffer(): GpuBufferLike {
    return this.slot.buffer;
  }

  /** Where the elements begin in the buffer, in elements. */
  get offset(): number {
    return this.#offset;
  }

  /** The operations of the backend: `x.operations.softmax(x)` needs no import. */
  get operations(): Operations {
    return this.gpu.operations;
  }

  /** The buffer and its users; for operations of this package. */
  get slot(): Slot {
    if (this.#disposed) throw new DisposedError("GpuTensor: expected a live tensor, got one after dispose()");
    return this.#slot;
  }

  /** The buffers that this tensor was made from, its own included, that are not yet known to be good. */
  get doubtful(): readonly Slot[] {
    return [...new Set([...this.#sources, this.#slot])].filter(({ doubt }) => doubt !== undefined);
  }

  /** Throws where a synchronous operation would have refused what these elements came from. */
  verify(data: Float32Array | Int32Array): void {
    this.#verify?.(data);
  }

  /**
   * The elements, as an ordinary tensor. Several at once: `gpu.read`.
   *
   * @throws RangeError where the operation refuses its input (NaN in `argmax` and `topK`) or memory was refused; BackendUnavailableError if the device is lost
   */
  async read(): Promise<Tensor<InMemory<D>>> {
    const [y] = await this.gpu.read([this as GpuTensor]);
    return y as Tensor<InMemory<D>>;
  }

  /** The elements, under the name ONNX Runtime uses. */
  async getData(): Promise<Float32Array | Int32Array> {
    return (await this.read()).data as Float32Array | Int32Array;
  }

  /** The same elements in another shape; it shares the buffer, which lives until both are disposed of. */
  reshape(shape: readonly number[]): GpuTensor<D> {
    if (sizeOf(shape) !== this.size || shape.some((n) => !(Number.isInteger(n) && n >= 0))) throw rangeError("GpuTensor.reshape", "shape", `with ${this.size} elements`, `[${shape.join(", ")}]`);
    this.slot.users++;
    return new GpuTensor(this.gpu, this.dtype, [...shape], this.#slot, this.#offset, this.doubtful, this.#verify);
  }

  /** Row `i` of the first axis: a view that shares the buffer, which lives until all are disposed of. */
  row(i: number): GpuTensor<D> {
    const { shape } = this;
    checkInteger("GpuTensor.row", "i", i, 0, shape[0] - 1);
    this.slot.users++;
    return new GpuTensor(this.gpu, this.dtype, shape.slice(1), this.#slot, this.#offset + (i * this.size) / shape[0], this.doubtful, this.#verify);
  }

  /** Gives the buffer back to the pool; an adopted one stays with its owner. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.gpu.release(this.#slot);
  }

  toString(): string {
    return `GpuTensor ${this.dtype} [${this.shape.join(", ")}]`;
  }
}

// `using y = softmax(x)` where the engine has Symbol.dispose.
const { dispose } = Symbol as { dispose?: symbol };
if (dispose) Object.defineProperty(GpuTensor.prototype, dispose, { value: GpuTensor.prototype.dispose });

/** Checks that an argument is a living tensor of scores on a GPU (on `like`'s, where one is given): before an operation takes buffers. */
export function checkGpuTensor(where: string, argument: string, x: unknown, like?: GpuTensor): asserts x is GpuTensor<GpuFloat> {
  if (!(x instanceof GpuTensor)) {
    const other = x as { readonly owner?: unknown; readonly location?: unknown; readonly gpu?: unknown } | null | undefined;
    const got = other?.owner !== undefined ? `${describe(x)} of the WebAssembly backend` : other?.location === "gpu-buffer" && other.gpu !== undefined ? "a tensor of another copy of @logits/webgpu" : `${describe(x)} outside the GPU`;
    throw typeError(where, argument, "a tensor of the WebGPU backend", got, "Pass gpu.tensor(x)");
  }
  if (x.dtype === "int32") throw typeError(where, argument, "float32 or float16", x.dtype);
  if (like !== undefined && x.gpu !== like.gpu) throw rangeError(where, argument, "of the same GPU device as the other argument", "a tensor of another device", "Make both with one backend: gpu.tensor(await y.read()) copies");
  void x.slot;
}

/** Checks an argument that may be on the GPU of `like` or ordinary: to be handed to `gpu.tensor`. */
export function checkEither(where: string, argument: string, x: TensorLike | GpuTensor, like: GpuTensor, shape: readonly number[]): Tensor<"float32"> | GpuTensor {
  if (x instanceof GpuTensor) checkGpuTensor(where, argument, x, like);
  const given = x instanceof GpuTensor ? x : asFloat32(where, argument, x);
  if (`${given.shape}` !== `${shape}`) throw shapeError(where, argument, `[${shape.join(", ")}]`, given);
  return given;
}
