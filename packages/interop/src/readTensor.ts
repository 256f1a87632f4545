import { Tensor, asFloat32, describe, typeError } from "@logits/tensor";

/** What the tensors of the runtimes have in common with each other: little. */
interface Anything {
  readonly dims?: unknown;
  readonly shape?: unknown;
  readonly type?: unknown;
  readonly dtype?: unknown;
  readonly location?: unknown;
  readonly data?: unknown;
  readonly getData?: unknown;
  readonly ort_tensor?: unknown;
  readonly isDisposed?: unknown;
  readonly dispose?: unknown;
}

/**
 * The elements of a tensor that a model returned, wherever they are: a tensor on a GPU is downloaded.
 *
 * Takes ONNX Runtime's tensors (`dims`, `location`, `getData()`), those of Transformers.js (the same inside `ort_tensor`), TensorFlow.js's (`shape`, `data()`) and plain `{ data, dims }`.
 */
export async function readTensor(where: string, argument: string, x: unknown): Promise<Tensor<"float32">> {
  const { inner, dims, type } = parts(where, argument, x);
  // `data` is a getter that throws for a tensor elsewhere, a function in TensorFlow.js: look at the location first.
  const location = inner.location ?? "cpu";
  if (location === "none" || inner.isDisposed === true) throw typeError(where, argument, "a tensor with its data", "one that was disposed", "Read it before dispose()");
  if (typeof inner.getData === "function" && location !== "cpu" && location !== "cpu-pinned") return asFloat32(where, argument, { data: await (inner.getData as () => Promise<unknown>).call(inner), dims, type });
  if (location !== "cpu" && location !== "cpu-pinned") throw typeError(where, argument, "a tensor on the CPU", `one at location ${location} without getData()`, "Download it first and pass { data, dims }");
  const data = typeof inner.data === "function" ? await (inner.data as () => Promise<unknown>).call(inner) : inner.data;
  if (ArrayBuffer.isView(data) && (data.buffer as { detached?: boolean }).detached === true) throw typeError(where, argument, "a tensor with its data", "a detached buffer", "It was transferred to a worker: copy it before");
  return asFloat32(where, argument, { data, dims, type });
}

/** Frees a tensor that a model returned, where its kind has something to free. */
export function disposeTensor(x: unknown): void {
  const { dispose } = (x ?? {}) as Anything;
  if (typeof dispose === "function") dispose.call(x);
}

/** Whether something has the fields of a tensor of one of the runtimes. */
export function isTensor(x: unknown): boolean {
  return typeof x === "object" && x !== null && Array.isArray((x as Anything).dims ?? (x as Anything).shape);
}

function parts(where: string, argument: string, x: unknown): { readonly inner: Anything; readonly dims: number[]; readonly type: string | undefined } {
  if (!isTensor(x)) throw typeError(where, argument, "a tensor", describe(x));
  const outer = x as Anything;
  const inner = (typeof outer.ort_tensor === "object" && outer.ort_tensor !== null ? outer.ort_tensor : outer) as Anything;
  const type = inner.type ?? inner.dtype;
  return { inner, dims: [...((outer.dims ?? outer.shape) as number[])], type: typeof type === "string" ? type : undefined };
}
