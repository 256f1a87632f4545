import { asFloat32, checkAttached, Tensor, type TensorLike } from "@logits/tensor";
import * as binary from "#wasm/math";
import { family } from "./family.ts";
import { floatView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";
import { checkOut } from "./rows.ts";

type Elementwise = (x: number, y: number, length: number) => void;

const kernels = family<Record<`f32_${"exp" | "log" | "log1p" | "expm1" | "tanh" | "erf" | "sigmoid" | "softplus"}`, Elementwise>>("math", binary);

/** Elements copied into WebAssembly memory at a time. */
const CHUNK = 65536;

/** Options of elementwise functions. */
export interface ElementwiseOptions {
  /** Receives the result (an ordinary or a resident tensor of the shape of `x`, `x` itself included) and is returned. */
  readonly out?: Tensor<"float32">;
}

/** Applies one of the kernels to every element. */
export function mapElements(name: "exp" | "log" | "log1p" | "expm1" | "tanh" | "erf" | "sigmoid" | "softplus", input: TensorLike, options: ElementwiseOptions): Tensor<"float32"> {
  const x = asFloat32(name, "x", input);
  const { out } = options;
  if (out) checkOut(name, out, x.shape);
  const kernel = kernels()[`f32_${name}`];
  const y = out ?? new Tensor("float32", x.shape, new Float32Array(x.size));
  const from = pointerOf(name, "x", x);
  const to = pointerOf(name, "out", y);
  const step = from && to ? x.size : CHUNK;
  const near = from && to ? 0 : scratch(4 * Math.min(step, x.size));
  const source = checkAttached(name, "x", x).data;
  for (let at = 0; at < x.size; at += step) {
    const count = Math.min(step, x.size - at);
    const view = floatView();
    if (!from) view.set(source.subarray(at, at + count), near >>> 2);
    const result = to ? to + 4 * at : near;
    kernel(from ? from + 4 * at : near, result, count);
    if (!to) y.data.set(view.subarray(near >>> 2, (near >>> 2) + count), at);
  }
  return y;
}
