import type { ChainModel } from "./chainModel.ts";

/** float32 [N, C] of [N, S]: what the states of each label have together; where states are labels, what came. */
export function unaryByLabel({ machine, labels: C, states: { labelOf } }: ChainModel, x: Float32Array): Float32Array {
  if (machine === undefined) return x;
  const S = labelOf.length, rows = x.length / S, out = new Float32Array(rows * C);
  for (let t = 0, at = 0; t < rows; t++) for (let s = 0; s < S; s++, at++) out[t * C + labelOf[s]] += x[at];
  return out;
}

/** float32 [N, C, C] of [N, S, S], likewise. */
export function pairsByLabel({ machine, labels: C, states: { labelOf } }: ChainModel, x: Float32Array): Float32Array {
  if (machine === undefined) return x;
  const S = labelOf.length, rows = x.length / (S * S), out = new Float32Array(rows * C * C);
  for (let t = 0, at = 0; t < rows; t++) for (let i = 0; i < S; i++) for (let j = 0; j < S; j++, at++) out[(t * C + labelOf[i]) * C + labelOf[j]] += x[at];
  return out;
}
