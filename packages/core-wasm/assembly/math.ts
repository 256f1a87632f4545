import { erf, exp, expm1, log, log1p, sigmoid, softplus, tanh } from "./lib/elementary";
import { loadTail, storeTail } from "./lib/vector";
export { ABI_VERSION } from "./lib/abi";

const EXP = 0, LOG = 1, LOG1P = 2, EXPM1 = 3, TANH = 4, ERF = 5, SIGMOID = 6; // otherwise softplus

// y[i] = f(x[i]) of `length` elements   x, y: f32[length]; y may be x itself. NaN stays NaN.
export function f32_exp(x: usize, y: usize, length: i32): void { each(x, y, length, EXP); }
export function f32_log(x: usize, y: usize, length: i32): void { each(x, y, length, LOG); }
export function f32_log1p(x: usize, y: usize, length: i32): void { each(x, y, length, LOG1P); }
export function f32_expm1(x: usize, y: usize, length: i32): void { each(x, y, length, EXPM1); }
export function f32_tanh(x: usize, y: usize, length: i32): void { each(x, y, length, TANH); }
export function f32_erf(x: usize, y: usize, length: i32): void { each(x, y, length, ERF); }
export function f32_sigmoid(x: usize, y: usize, length: i32): void { each(x, y, length, SIGMOID); }
export function f32_softplus(x: usize, y: usize, length: i32): void { each(x, y, length, 7); }

// @ts-ignore: decorator
@inline
function each(x: usize, y: usize, length: i32, f: i32): void {
  const rest = <usize>length & 3;
  const end = x + ((<usize>length & ~3) << 2);
  for (; x < end; x += 16, y += 16) v128.store(y, apply(v128.load(x), f));
  if (rest) storeTail(y, rest, apply(loadTail(x, rest, f32x4.splat(0)), f));
}

// f is a constant at every call: one branch is left.
// @ts-ignore: decorator
@inline
function apply(v: v128, f: i32): v128 {
  if (f == EXP) return exp(v);
  if (f == LOG) return log(v);
  if (f == LOG1P) return log1p(v);
  if (f == EXPM1) return expm1(v);
  if (f == TANH) return tanh(v);
  if (f == ERF) return erf(v);
  if (f == SIGMOID) return sigmoid(v);
  return softplus(v);
}
