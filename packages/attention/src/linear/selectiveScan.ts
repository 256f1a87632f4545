import { exp } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { NEAR_ZERO, expNearZero } from "./expNearZero.ts";

/** What a selective scan may have besides. */
export interface SelectiveScanOptions {
  /** float32 [C]: what of the input goes straight to the output. Default 0. */
  readonly D?: TensorLike;
  /** float32 [B, C, N]: the state before the first token, as `state` of the scan before. Default 0. */
  readonly state?: TensorLike;
}

/** What selectiveScan returns. */
export interface SelectiveScanOutput {
  /** float32 [B, T, C]. */
  readonly output: Tensor<"float32">;
  /** float32 [B, C, N], after the last token. */
  readonly state: Tensor<"float32">;
}

/** Options of selectiveScan.withGrad. */
export interface SelectiveScanGradientOptions extends SelectiveScanOptions {
  /** Gradient of the loss in the output, float32 [B, T, C]. */
  readonly upstream: TensorLike;
  /** Gradient of the loss in the state after the last token, float32 [B, C, N]. Default 0. */
  readonly upstreamState?: TensorLike;
}

/** What selectiveScan.withGrad returns. */
export interface SelectiveScanWithGrad extends SelectiveScanOutput {
  readonly grads: {
    /** Of the shapes of the arguments. */
    readonly input: Tensor<"float32">;
    readonly delta: Tensor<"float32">;
    readonly A: Tensor<"float32">;
    readonly B: Tensor<"float32">;
    readonly C: Tensor<"float32">;
    /** [C], where D was given. */
    readonly D?: Tensor<"float32">;
    /** [B, C, N], where a state was given. */
    readonly state?: Tensor<"float32">;
  };
}

/** A checked call. */
interface Scan {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  readonly states: number;
  readonly u: Float32Array;
  readonly delta: Float32Array;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly c: Float32Array;
  readonly skip: Float32Array | undefined;
  readonly start: Float32Array | undefined;
}

/** Tokens between two states that are kept for the gradient, and whose gates are made together. */
const BLOCK = 32;

function shaped(where: string, argument: string, x: TensorLike, shape: readonly number[], letters: string): Float32Array {
  const made = asFloat32(where, argument, x);
  if (made.shape.length !== shape.length || made.shape.some((size, axis) => size !== shape[axis])) throw rangeError(where, argument, `of shape [${shape.join(", ")}] ([${letters}])`, `[${made.shape.join(", ")}]`);
  return lastingData(made);
}

function prepare(where: string, input: TensorLike, delta: TensorLike, A: TensorLike, B: TensorLike, C: TensorLike, { D, state }: SelectiveScanOptions): Scan {
  const u = asFloat32(where, "input", input), rates = asFloat32(where, "A", A);
  checkShape(where, "input", u, ["B", "T", "C"]);
  const [batch, tokens, channels] = u.shape;
  if (rates.shape.length !== 2 || rates.shape[0] !== channels || rates.shape[1] < 1) throw rangeError(where, "A", `of shape [${channels}, N] ([C, N])`, `[${rates.shape.join(", ")}]`);
  const states = rates.shape[1];
  return {
    batch, tokens, channels, states, u: lastingData(u), delta: shaped(where, "delta", delta, [batch, tokens, channels], "B, T, C"), a: lastingData(rates), b: shaped(where, "B", B, [batch, tokens, states], "B, T, N"), c: shaped(where, "C", C, [batch, tokens, states], "B, T, N"),
    skip: D === undefined ? undefined : shaped(where, "D", D, [channels], "C"), start: state === undefined ? undefined : shaped(where, "state", state, [batch, channels, states], "B, C, N"),
  };
}

/** exp(delta A) of `count` tokens from row `from` of [B T], [count, C, N]. Those near 1 in float64: a state of such gates sums over 1 / (1 - gate) tokens and would lose as many times the rounding of float32. */
function gatesOf({ channels, states, delta, a }: Scan, from: number, count: number): Float64Array {
  const made = new Tensor("float32", [count, channels, states], new Float32Array(count * channels * states)), { data } = made;
  for (let row = from * channels, at = 0; row < (from + count) * channels; row++) {
    const step = delta[row], channel = (row % channels) * states;
    for (let n = 0; n < states; n++, at++) data[at] = step * a[channel + n];
  }
  const { data: far } = exp(made), gates = new Float64Array(data.length);
  for (let at = 0; at < data.length; at++) gates[at] = Math.abs(data[at]) < NEAR_ZERO ? expNearZero(data[at]) : far[at];
  return gates;
}

/** One token: h = gate h + delta B u. */
function advance({ channels, states, u, delta, b }: Scan, row: number, gates: Float64Array, from: number, h: Float64Array): void {
  for (let channel = 0, at = 0; channel < channels; channel++) {
    const input = delta[row * channels + channel] * u[row * channels + channel];
    for (let n = 0; n < states; n++, at++) {
      const gate = gates[from + at];
      h[at] = (gate === 0 ? 0 : gate * h[at]) + input * b[row * states + n];
    }
  }
}

/** Results, and with `kept` the state before each block of tokens. */
function run(scan: Scan, kept?: Float64Array[]): SelectiveScanOutput {
  const { batch, tokens, channels, states, u, c, skip, start } = scan, size = channels * states, output = new Float32Array(batch * tokens * channels), state = new Float32Array(batch * size);
  for (let item = 0; item < batch; item++) {
    const h = new Float64Array(size);
    if (start) h.set(start.subarray(item * size, (item + 1) * size));
    for (let done = 0; done < tokens; done += BLOCK) {
      const count = Math.min(BLOCK, tokens - done), gates = gatesOf(scan, item * tokens + done, count);
      kept?.push(h.slice());
      for (let i = 0; i < count; i++) {
        const row = item * tokens + done + i;
        advance(scan, row, gates, i * size, h);
        for (let channel = 0, at = 0; channel < channels; channel++) {
          let sum = skip ? skip[channel] * u[row * channels + channel] : 0;
          for (let n = 0; n < states; n++, at++) sum += c[row * states + n] * h[at];
          output[row * channels + channel] = sum;
        }
      }
    }
    state.set(h, item * size);
  }
  return { output: new Tensor("float32", [batch, tokens, channels], output), state: new Tensor("float32", [batch, channels, states], state) };
}

function forward(input: TensorLike, delta: TensorLike, A: TensorLike, B: TensorLike, C: TensorLike, options: SelectiveScanOptions = {}): SelectiveScanOutput {
  return run(prepare("selectiveScan", input, delta, A, B, C, options));
}

function withGrad(input: TensorLike, delta: TensorLike, A: TensorLike, B: TensorLike, C: TensorLike, options: SelectiveScanGradientOptions): SelectiveScanWithGrad {
  const where = "selectiveScan.withGrad", scan = prepare(where, input, delta, A, B, C, options), { batch, tokens, channels, states, skip, start } = scan, size = channels * states;
  const up = shaped(where, "upstream", options.upstream, [batch, tokens, channels], "B, T, C"), upState = options.upstreamState === undefined ? undefined : shaped(where, "upstreamState", options.upstreamState, [batch, channels, states], "B, C, N");
  const kept: Float64Array[] = [], made = run(scan, kept), blocks = Math.ceil(tokens / BLOCK);
  const byU = new Float32Array(up.length), byDelta = new Float32Array(up.length), byA = new Float64Array(size), byB = new Float32Array(scan.b.length), byC = new Float32Array(scan.c.length), bySkip = new Float64Array(channels), byStart = new Float32Array(batch * size);
  const sumB = new Float64Array(states), sumC = new Float64Array(states);
  for (let item = 0; item < batch; item++) {
    const by = new Float64Array(size);
    if (upState) by.set(upState.subarray(item * size, (item + 1) * size));
    for (let block = blocks - 1; block >= 0; block--) {
      const done = block * BLOCK, count = Math.min(BLOCK, tokens - done), gates = gatesOf(scan, item * tokens + done, count), h = kept[item * blocks + block], before = new Float64Array(count * size);
      for (let i = 0; i < count; i++) {
        before.set(h, i * size);
        advance(scan, item * tokens + done + i, gates, i * size, h);
      }
      for (let i = count - 1; i >= 0; i--) {
        const row = item * tokens + done + i;
        sumB.fill(0);
        sumC.fill(0);
        for (let channel = 0, at = 0; channel < channels; channel++) {
          const cell = row * channels + channel, step = scan.delta[cell], x = scan.u[cell], out = up[cell];
          let ofStep = 0, ofInput = 0;
          for (let n = 0; n < states; n++, at++) {
            const gate = gates[i * size + at], b = scan.b[row * states + n], carried = gate === 0 ? 0 : gate * before[i * size + at], total = by[at] + out * scan.c[row * states + n];
            sumC[n] += out * (carried + step * x * b);
            sumB[n] += total * step * x;
            ofInput += total * b;
            by[at] = 0;
            if (gate === 0) continue; // nothing passes, though A or delta be infinite
            ofStep += total * carried * scan.a[at];
            byA[at] += total * carried * step;
            by[at] = total * gate;
          }
          byU[cell] = ofInput * step + (skip ? skip[channel] * out : 0);
          byDelta[cell] = ofStep + ofInput * x;
          bySkip[channel] += out * x;
        }
        byB.set(sumB, row * states);
        byC.set(sumC, row * states);
      }
    }
    byStart.set(by, item * size);
  }
  const rows = [batch, tokens, channels], inner = [batch, tokens, states];
  return {
    ...made,
    grads: {
      input: new Tensor("float32", rows, byU), delta: new Tensor("float32", rows, byDelta), A: new Tensor("float32", [channels, states], new Float32Array(byA)), B: new Tensor("float32", inner, byB), C: new Tensor("float32", inner, byC),
      ...(skip && { D: new Tensor("float32", [channels], new Float32Array(bySkip)) }), ...(start && { state: new Tensor("float32", [batch, channels, states], byStart) }),
    },
  };
}

/**
 * The selective state-space scan: for each channel a linear system of N states with diagonal, input-dependent gates.
 *
 *   h[t] = Lambda[t] h[t - 1] + delta[t] B[t] u[t],   y[t] = C[t] . h[t] + D u[t],   Lambda[t, c, n] = exp(delta[t, c] A[c, n])
 *
 * Sequential, states in float64. With `state` it goes on where another scan ended: token by token it is the recurrence. `selectiveScan.withGrad(..., { upstream, ... })` also gives the exact gradients from states kept every 32 tokens.
 *
 * @param input - u, float32 [B, T, C]
 * @param delta - steps, float32 [B, T, C], what softplus made of them
 * @param A - rates, float32 [C, N], usually below 0 (-exp(A_log))
 * @param B - what the input writes, float32 [B, T, N]
 * @param C - what the output reads, float32 [B, T, N]
 * @param options - `D`, `state`
 * @returns output and the state after the last token. T = 0: empty, and the state as it was. A gate of 0 (delta A = -Infinity) forgets the state whatever it was; delta = 0 keeps it. NaN stays in its channel
 * @throws RangeError for shapes that do not fit
 * @example
 *   selectiveScan([[[1], [0]]], [[[1], [1]]], [[Math.log(0.5)]], [[[1], [1]]], [[[1], [1]]]).output.toArray(); // [[[1], [0.5]]]
 * Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, algorithm 2 with its first-order rule for B; Sieber et al., "Understanding the Differences in Foundation Models", NeurIPS 2024, for the frame.
 */
export const selectiveScan: {
  (input: TensorLike, delta: TensorLike, A: TensorLike, B: TensorLike, C: TensorLike, options?: SelectiveScanOptions): SelectiveScanOutput;
  /** The same with gradients for input, delta, A, B, C, D and the first state. */
  withGrad(input: TensorLike, delta: TensorLike, A: TensorLike, B: TensorLike, C: TensorLike, options: SelectiveScanGradientOptions): SelectiveScanWithGrad;
} = /* @__PURE__ */ Object.assign(forward, { withGrad });
