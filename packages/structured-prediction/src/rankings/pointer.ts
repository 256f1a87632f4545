import { logSoftmax, matmul, softmax, tanh } from "@logits/core-wasm";
import { Tensor, asFloat32, asInt32, checkInteger, checkShape, defineLoss, lastingData, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** Weights of a pointer head. */
export interface PointerWeights {
  /** float32 [E, H], of the positions. */
  readonly encoder: TensorLike;
  /** float32 [D, H], of the query. */
  readonly decoder: TensorLike;
  /** float32 [H]. */
  readonly v: TensorLike;
}

/**
 * Scores of input positions for each step of a decoder, by additive attention.
 *
 *   scores[m, n] = v . tanh(positions[n] encoder + queries[m] decoder)
 *
 * @param positions - float32 [N, E], what the encoder says of each input
 * @param queries - float32 [M, D], the states of the decoder
 * @param weights - `encoder` [E, H], `decoder` [D, H], `v` [H]
 * @returns float32 [M, N]: logits over positions
 * @throws RangeError for shapes that do not fit
 * @example
 *   pointerScores(encoded, states, weights);
 * Source: Vinyals, Fortunato, Jaitly, "Pointer networks", NIPS 2015 (arXiv:1506.03134), equation 3.
 */
export function pointerScores(positions: TensorLike, queries: TensorLike, { encoder, decoder, v }: PointerWeights): Tensor<"float32"> {
  const where = "pointerScores", x = asFloat32(where, "positions", positions), q = asFloat32(where, "queries", queries), a = asFloat32(where, "weights.encoder", encoder), b = asFloat32(where, "weights.decoder", decoder), o = asFloat32(where, "weights.v", v);
  checkShape(where, "positions", x, ["N", "E"]);
  checkShape(where, "queries", q, ["M", "D"]);
  const H = o.size, [N] = x.shape, [M] = q.shape;
  checkShape(where, "weights.encoder", a, [x.shape[1], H]);
  checkShape(where, "weights.decoder", b, [q.shape[1], H]);
  const left = matmul(x, a).data, right = matmul(q, b).data, column = new Tensor("float32", [H, 1], lastingData(o)), out = new Float32Array(M * N);
  for (let m = 0; m < M; m++) {
    const hidden = tanh(new Tensor("float32", [N, H], left.map((value, k) => value + right[m * H + (k % H)])));
    out.set(matmul(hidden, column).data, m * N);
  }
  return new Tensor("float32", [M, N], out);
}

/**
 * Cross-entropy of a sequence of pointers, each to a position that none before it took.
 *
 *   loss[b] = sum_t (log sum_(n not among targets[b, 0 ... t - 1]) exp(scores[b, t, n]) - scores[b, t, targets[b, t]])
 *
 * @param scores - float32 [B, T, N], logits over positions at each step; -Infinity = a position that cannot be
 * @param targets - int32 [B, T], in [0, N), different within a sequence; -1 fills up shorter ones, at the end
 * @param options - those of every loss, over sequences
 * @returns float32 [B] ("none") or []; +Infinity where a target cannot be. `withGrad`: `grad` [B, T, N], p - onehot over the positions that are left, 0 elsewhere
 * @throws RangeError for another shape, a target outside [0, N) or taken before (with its index)
 * @example
 *   pointerLoss([[[1, 0], [0, 0]]], [[0, 1]]); // the second step has one position left: log(1 + exp(-1)) = 0.3133
 * Source: Vinyals, Fortunato, Jaitly, "Pointer networks", NIPS 2015; the positions that are left: Bello et al., "Neural combinatorial optimization with reinforcement learning", 2016 (arXiv:1611.09940).
 */
export const pointerLoss: Loss<[scores: TensorLike, targets: TensorLike], LossOptions> = /* @__PURE__ */ defineLoss("pointerLoss", 2, (where, [scores, targets], options) => {
  const s = asFloat32(where, "scores", scores), y = asInt32(where, "targets", targets);
  checkShape(where, "scores", s, ["B", "T", "N"]);
  const [B, T, N] = s.shape;
  checkShape(where, "targets", y, [B, T]);
  const weights = rowWeights(where, B, options), masked = s.data.slice(), ended = new Int32Array(B).fill(T);
  for (let b = 0; b < B; b++) {
    if (weights?.[b] === 0) continue;
    const taken = new Set<number>();
    for (let t = 0; t < T; t++) {
      const at = b * T + t, label = y.data[at];
      if (label === -1) ended[b] = Math.min(ended[b], t);
      else if (!(label >= 0 && label < N) || t > ended[b]) throw rangeError(where, "targets", `in [0, ${N}), with -1 only at the end`, `${label} at index ${at}`);
      else if (taken.has(label)) throw rangeError(where, "targets", "of positions that were not taken before", `${label} again at index ${at}`);
      for (const position of taken) masked[at * N + position] = -Infinity;
      taken.add(label);
    }
  }
  return {
    shape: [B],
    weights,
    pass(coefficients) {
      const rows = new Tensor("float32", [B * T, N], masked), logP = N === 0 ? masked : logSoftmax(rows).data, p = coefficients && N > 0 ? softmax(rows).data : undefined, values = new Float64Array(B), grad = new Float32Array(p ? masked.length : 0);
      for (let b = 0; b < B; b++) {
        if (weights?.[b] === 0) continue;
        for (let t = 0; t < ended[b]; t++) {
          const at = b * T + t, label = at * N + y.data[at];
          values[b] -= logP[label];
          if (p) for (let k = at * N; k < (at + 1) * N; k++) grad[k] = coefficients![b] * (p[k] - Number(k === label));
        }
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", s.shape, grad) }) };
    },
  };
});

/** What `pointerBeam` asks its caller. */
export interface PointerSearch {
  /** Log-probabilities or logits of the next position, [N], given those before. */
  scores(prefix: readonly number[]): ArrayLike<number>;
  /** Positions that may come next. Default: those that the prefix does not have. */
  allowed?(position: number, prefix: readonly number[]): boolean;
  /** How many positions a sequence has. */
  readonly length: number;
}

/** A sequence of pointers. */
export interface PointerPath {
  readonly positions: readonly number[];
  /** log p. */
  readonly logProb: number;
}

/**
 * Sequences of pointers by beam search: at each step a softmax over the positions that are allowed. Width 1 is greedy.
 *
 * @param search - `scores`, `allowed` (positions not yet taken), `length`
 * @param options - `width`, an integer from 1 up (1)
 * @returns at most `width` sequences, best first; none where no sequence of that length is allowed
 * @throws RangeError for a width below 1, NaN among the scores
 * @example
 *   pointerBeam({ length: 3, scores: (prefix) => model(prefix) }, { width: 8 })[0].positions;
 * Source: Vinyals, Fortunato, Jaitly, "Pointer networks", NIPS 2015, section 4.
 */
export function pointerBeam({ scores, allowed = (position, prefix) => !prefix.includes(position), length }: PointerSearch, { width = 1 }: { readonly width?: number } = {}): PointerPath[] {
  const where = "pointerBeam";
  checkInteger(where, "width", width, 1, 2147483647);
  checkInteger(where, "length", length, 0, 2147483647);
  let beam: PointerPath[] = [{ positions: [], logProb: 0 }];
  for (let step = 0; step < length; step++) {
    const next: PointerPath[] = [];
    for (const { positions, logProb } of beam) {
      const row = Float32Array.from(scores(positions), (x, n) => {
        if (!(x < Infinity)) throw rangeError(where, "scores", "finite, or -Infinity", `${x} at position ${n} after [${positions.join(", ")}]`);
        return allowed(n, positions) ? x : -Infinity;
      });
      if (row.every((x) => x === -Infinity)) continue;
      logSoftmax(row).data.forEach((own, n) => { if (own > -Infinity) next.push({ positions: [...positions, n], logProb: logProb + own }); });
    }
    // Stable: at equal probability the smaller position.
    beam = next.sort((a, b) => b.logProb - a.logProb).slice(0, width);
  }
  return beam;
}
