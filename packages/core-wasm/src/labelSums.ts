import { checkAttached, rangeError, Tensor } from "@logits/tensor";
import * as binary from "#wasm/labels";
import { family } from "./family.ts";
import { floatView, intView, scratch, wasmMemory } from "./memory.ts";

const kernels: () => {
  f32_label_sums(z: number, labels: number, out: number, rows: number, cols: number): void;
  f32_label_gradient(z: number, labels: number, scales: number, rows: number, cols: number): void;
  f32_soft_cap(x: number, n: number, cap: number): void;
} = /* @__PURE__ */ family("labels", binary);

/** Elements in memory at a time: 256 KiB stay in the cache between copy, kernels and copy. */
const CHUNK = 65536;

/** Rows of up to this many columns go four at a time in the kernel; the last ones are filled up, so that a row's bits do not depend on where it stands. */
const NARROW = 48;

/** What a row gets for its gradient: `scale` times exp(z[c] - max), and `label` at its label. */
export interface LabelScales {
  scale: number;
  label: number;
}

/**
 * Sums of exponentials of rows of scores, with the label's apart, and gradients made of them: each exponential is computed once.
 *
 *   gap = z[label] - max_c z[c],   others = sum_{c != label} exp(z[c] - max);   grad[c] = scale exp(z[c] - max),  grad[label] = label
 *
 *   own = exp(gap),   logSum = log(own + others)
 *
 * so log p[label] = gap - logSum, p[label] = own / (own + others), and 1 - p[label] = others / (own + others) keeps its digits where p is near 1.
 *
 * @param z - float32 [B, C], C at least 1; -Infinity = impossible class
 * @param labels - int32 [B], in [0, C); not checked here
 * @param visit - called once for each row, in order: row, gap, others, max, the scales of its gradient (0 unless it sets them), own, logSum
 * @param grad - float32 [B * C], receives the gradient; none = no gradient. It may be the data of `z`
 * @returns nothing; a row with NaN or +Infinity, or of -Infinity only, has NaN as its gap or its others, and as its logSum. Where both scales are 0 the gradient is 0 whatever the row holds
 * @throws RangeError for lists of other lengths
 * @example
 *   labelSums("example", new Tensor("float32", [1, 2], Float32Array.of(0, 0)), Int32Array.of(1), (row, gap, others) => console.log(gap, others)); // 0 1
 * Source: Goodfellow, Bengio, Courville, Deep Learning (2016), 6.2.2.3.
 */
export function labelSums(where: string, z: Tensor<"float32">, labels: Int32Array, visit: (row: number, gap: number, others: number, max: number, scales: LabelScales, own: number, logSum: number) => void, grad?: Float32Array): void {
  const [rows, cols] = z.shape;
  if (labels.length !== rows) throw rangeError(where, "labels", `of length ${rows}`, `${labels.length}`);
  if (grad !== undefined && grad.length !== z.size) throw rangeError(where, "grad", `of length ${z.size}`, `${grad.length}`);
  const step = Math.max(1, Math.floor(CHUNK / cols)), pad = (count: number): number => (cols > NARROW ? count : (count + 3) & ~3), most = pad(Math.min(step, rows)), scales: LabelScales = { scale: 0, label: 0 };
  // Sums, scales, labels, rows.
  const at = scratch(52 * most + 16 + 4 * most * cols), pScales = at + 40 * most, pLabels = pScales + 8 * most, px = at + ((52 * most + 15) & ~15);
  checkAttached(where, "z", z);
  const { f32_label_sums, f32_label_gradient } = kernels(), view = floatView(), sums = new Float64Array(wasmMemory().buffer, at, 5 * most);
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first), filled = pad(count), begin = first * cols, end = begin + count * cols, px4 = px >>> 2;
    view.set(begin === 0 && end === z.size ? z.data : z.data.subarray(begin, end), px4);
    view.fill(0, px4 + count * cols, px4 + filled * cols);
    intView().fill(0, pLabels >>> 2, (pLabels >>> 2) + filled).set(labels.subarray(first, first + count), pLabels >>> 2);
    f32_label_sums(px, pLabels, at, filled, cols);
    for (let r = 0; r < count; r++) {
      scales.scale = scales.label = 0;
      visit(first + r, sums[5 * r + 1], sums[5 * r + 2], sums[5 * r], scales, sums[5 * r + 3], sums[5 * r + 4]);
      // The kernel left halves.
      view[(pScales >>> 2) + 2 * r] = 2 * scales.scale;
      view[(pScales >>> 2) + 2 * r + 1] = scales.label;
      // 0 times NaN is NaN.
      if (scales.scale === 0) view.fill(0, px4 + r * cols, px4 + (r + 1) * cols);
    }
    if (grad === undefined) continue;
    f32_label_gradient(px, pLabels, pScales, count, cols);
    grad.set(view.subarray(px4, px4 + count * cols), begin);
  }
}

/**
 * Scores that cannot leave (-cap, cap), with impossible ones impossible still.
 *
 *   y = cap tanh(x / cap);   d y / d x = 1 - (y / cap)^2
 *
 * @param where - for messages
 * @param x - float32, any shape
 * @param cap - finite and > 0; not checked here
 * @returns float32, the shape of `x`; -Infinity where `x` is, cap for +Infinity, NaN for NaN. Within 5 ULP of float64
 * @throws RangeError for a resident tensor whose memory is gone
 * @example
 *   softCapped("example", new Tensor("float32", [2], Float32Array.of(1, 100)), 30); // 0.9996, 29.92
 * Source: Bello et al., "Neural Combinatorial Optimization with Reinforcement Learning", ICLR 2017 workshop.
 */
export function softCapped(where: string, x: Tensor<"float32">, cap: number): Tensor<"float32"> {
  const { size } = x, out = new Float32Array(size), at = scratch(4 * Math.min(CHUNK, size + 3));
  checkAttached(where, "x", x);
  const { f32_soft_cap } = kernels(), view = floatView(), from = at >>> 2;
  for (let first = 0; first < size; first += CHUNK) {
    const count = Math.min(CHUNK, size - first), filled = (count + 3) & ~3;
    view.fill(0, from + count, from + filled);
    view.set(x.data.subarray(first, first + count), from);
    f32_soft_cap(at, filled, cap);
    out.set(view.subarray(from, from + count), first);
  }
  return new Tensor("float32", x.shape, out);
}
