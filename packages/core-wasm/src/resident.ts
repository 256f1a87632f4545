import { DisposedError, Tensor, rangeError, type DataOf, type DType } from "@logits/tensor";
import { version } from "#wasm/version";
import { allocate, bytesInUse, release } from "./heap.ts";
import { byteView, floatView, intView, wasmMemory } from "./memory.ts";
import { wasmVariant, type Variant } from "./family.ts";
import { OWNER } from "./owner.ts";

const BYTES = { float32: 4, int32: 4, uint8: 1 };

/**
 * A tensor that lives in WebAssembly memory: kernels run on it without a copy.
 *
 * `data` is a view made anew after the memory has grown: a view that was kept has length 0 then. `dispose()` gives the
 * memory back; afterwards every use is a `DisposedError`. A row or slice shares the memory of its tensor and is not disposed itself.
 */
export class ResidentTensor<D extends DType = DType> extends Tensor<D> {
  /** The copy of @logits/core-wasm that owns the memory. */
  readonly owner: { readonly version: string } = OWNER;
  readonly #pointer: number;
  readonly #life: { disposed: boolean };
  readonly #owns: boolean;

  /** Use `core.alloc`. */
  constructor(dtype: D, shape: readonly number[], pointer: number, life?: { disposed: boolean }) {
    super(dtype, shape, undefined);
    this.#pointer = pointer;
    this.#life = life ?? { disposed: false };
    this.#owns = life === undefined;
  }

  /** Byte address in WebAssembly memory. */
  get pointer(): number {
    if (this.#life.disposed) throw new DisposedError("ResidentTensor: expected a live tensor, got one after dispose()");
    return this.#pointer;
  }

  override get data(): DataOf<D> {
    const at = this.pointer;
    const view = this.dtype === "float32" ? floatView() : this.dtype === "int32" ? intView() : byteView();
    const from = at / BYTES[this.dtype];
    return view.subarray(from, from + this.size) as DataOf<D>;
  }

  override row(i: number): Tensor<D> {
    const { shape } = this;
    if (!(shape.length > 0 && Number.isInteger(i) && i >= 0 && i < shape[0])) throw rangeError("Tensor.row", "i", `a row of shape [${shape.join(", ")}]`, `${i}`);
    return new ResidentTensor<D>(this.dtype, shape.slice(1), this.pointer + i * (this.size / shape[0]) * BYTES[this.dtype], this.#life);
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    if (!this.#owns || this.#life.disposed) return;
    this.#life.disposed = true;
    release(this.#pointer, this.size * BYTES[this.dtype]);
  }
}

// `using x = core.alloc(...)` where the engine has Symbol.dispose.
const { dispose } = Symbol as { dispose?: symbol };
if (dispose) Object.defineProperty(ResidentTensor.prototype, dispose, { value: ResidentTensor.prototype.dispose });

/** The WebAssembly backend. */
export const core: {
  /** Version of @logits/core-wasm. */
  readonly version: string;
  /** The variant in force; reading it chooses one. */
  readonly variant: Variant;
  /** The memory of all families. */
  readonly memory: WebAssembly.Memory;
  /** Bytes held by static data, the scratch arena and resident tensors. */
  readonly bytesInUse: number;
  /** A tensor in WebAssembly memory, zero-filled. */
  alloc<D extends DType = "float32">(shape: readonly number[], dtype?: D): ResidentTensor<D>;
} = {
  version,
  get variant(): Variant {
    return wasmVariant();
  },
  get memory(): WebAssembly.Memory {
    return wasmMemory();
  },
  get bytesInUse(): number {
    return bytesInUse();
  },
  alloc<D extends DType = "float32">(shape: readonly number[], dtype: D = "float32" as D): ResidentTensor<D> {
    let size = 1;
    for (let i = 0; i < shape.length; i++) {
      if (!(Number.isInteger(shape[i]) && shape[i] >= 0)) throw rangeError("core.alloc", "shape", "of integers from 0 up", `${shape[i]} at axis ${i}`);
      size *= shape[i];
    }
    if (!(dtype in BYTES)) throw rangeError("core.alloc", "dtype", "float32, int32 or uint8", `${dtype}`);
    if (size * BYTES[dtype] > 0xfffe0000) throw rangeError("core.alloc", "shape", "of less than 4 GiB", `[${shape.join(", ")}]`);
    const made = new ResidentTensor<D>(dtype, [...shape], allocate(size * BYTES[dtype]));
    made.data.fill(0);
    return made;
  },
};
