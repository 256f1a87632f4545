import { core, type ResidentTensor } from "@logits/core-wasm";
import { DisposedError } from "@logits/tensor";

/** Gives WebAssembly memory back when its owner is collected without having been disposed of. */
const forgotten = typeof FinalizationRegistry === "undefined" ? undefined : /* @__PURE__ */ new FinalizationRegistry<ResidentTensor>((tensor) => tensor.dispose());

/** A float32 matrix of a detector: an ordinary array until it is first used, then in WebAssembly memory. */
export class KeptMatrix {
  readonly shape: readonly [rows: number, cols: number];
  #data: Float32Array | undefined;
  #resident: ResidentTensor<"float32"> | undefined;
  #disposed = false;

  constructor(data: Float32Array, shape: readonly [rows: number, cols: number]) {
    this.shape = shape;
    this.#data = data;
  }

  /** The numbers, wherever they are; a view, valid until the next operation. */
  get data(): Float32Array {
    return this.#data ?? this.tensor.data;
  }

  /** In WebAssembly memory; `DisposedError` on use after `dispose`. */
  get tensor(): ResidentTensor<"float32"> {
    if (this.#disposed) throw new DisposedError("Detector: expected one that is in use, got one after dispose()");
    if (this.#resident === undefined) {
      this.#resident = core.alloc(this.shape);
      this.#resident.data.set(this.#data!);
      this.#data = undefined;
      forgotten?.register(this, this.#resident);
    }
    return this.#resident;
  }

  dispose(): void {
    this.#disposed = true;
    this.#data = undefined;
    this.#resident?.dispose();
  }
}
