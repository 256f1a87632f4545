import { asFloat32, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";

/** One score per row, without NaN: float64 stays float64 (as do plain numbers), everything else is read as float32. */
export function scoresOf(where: string, argument: string, x: TensorLike): ArrayLike<number> {
  const plain = Array.isArray(x) && x.every((value) => typeof value === "number");
  const scores = x instanceof Float64Array || plain ? (x as ArrayLike<number>) : oneAxis(where, argument, x);
  for (let i = 0; i < scores.length; i++) if (scores[i] !== scores[i]) throw rangeError(where, argument, "without NaN", `NaN in row ${i}`);
  return scores;
}

function oneAxis(where: string, argument: string, x: TensorLike): Float32Array {
  const t = asFloat32(where, argument, x);
  checkShape(where, argument, t, ["N"]);
  return lastingData(t);
}
