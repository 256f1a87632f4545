import { Tensor, asFloat32, checkAxis, checkShape, sizeOf, type TensorLike } from "@logits/tensor";
import { floatView, scratch } from "./memory.ts";
import { pointerOf } from "./owner.ts";

/** Elements of each tensor copied into WebAssembly memory at a time. */
const CHUNK = 32768;

/** Runs on whole rows of two inputs; the result may overwrite the second. Addresses in bytes. */
export type PairKernel = (y: number, upstream: number, out: number, rows: number, cols: number) => void;

/** Runs a vector-Jacobian product over the rows along `axis` of two tensors of one shape. */
export function mapPairs(where: string, name: string, first: TensorLike, upstream: TensorLike, axis: number, kernel: PairKernel): Tensor<"float32"> {
  const y = asFloat32(where, name, first), u = asFloat32(where, "upstream", upstream);
  const { shape } = y;
  checkShape(where, "upstream", u, shape);
  const index = checkAxis(where, axis, shape.length);
  const cols = shape[index], inner = sizeOf(shape.slice(index + 1)), rows = cols === 0 ? 0 : y.size / cols;
  const result = new Float32Array(y.size);
  pointerOf(where, name, y); // of this copy, alive
  pointerOf(where, "upstream", u);
  const step = Math.max(1, Math.min(rows, Math.floor(CHUNK / cols)));
  const base = rows === 0 ? 0 : scratch(8 * step * cols);
  // After scratch, which may have grown the memory: a view of it would be empty now.
  const values = y.data, above = u.data;
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row), n = count * cols;
    const memory = floatView(), at = base >>> 2;
    const each = (visit: (to: number, from: number) => void): void => {
      for (let r = 0; r < count; r++) {
        const start = Math.floor((row + r) / inner) * cols * inner + ((row + r) % inner);
        for (let c = 0; c < cols; c++) visit(at + r * cols + c, start + c * inner);
      }
    };
    if (inner === 1) {
      memory.set(values.subarray(row * cols, row * cols + n), at);
      memory.set(above.subarray(row * cols, row * cols + n), at + n);
    } else {
      each((to, from) => {
        memory[to] = values[from];
        memory[to + n] = above[from];
      });
    }
    kernel(base, base + 4 * n, base + 4 * n, count, cols);
    if (inner === 1) result.set(memory.subarray(at + n, at + 2 * n), row * cols);
    else each((to, from) => void (result[from] = memory[to + n]));
  }
  return new Tensor("float32", shape, result);
}
