import { asFloat32, checkShape, rangeError, type Steps, type TensorLike } from "@logits/tensor";

/** A checked table of losses: a row for each of n rows of data, a column for each of L settings. */
export interface LossTable {
  readonly losses: Float32Array;
  readonly rows: number;
  readonly settings: number;
  /** Mean loss of each setting. */
  readonly means: number[];
}

/** Losses in [0, bound], float32 [n, L]; sums of each column in float64. */
export function* lossTableOf(where: string, losses: TensorLike, bound: number): Steps<LossTable> {
  const x = asFloat32(where, "losses", losses);
  checkShape(where, "losses", x, ["n", "L"]);
  const [rows, settings] = x.shape;
  if (rows === 0 || settings === 0) throw rangeError(where, "losses", "with at least one row and one setting", `shape [${rows}, ${settings}]`);
  const sums = new Float64Array(settings), limit = Math.fround(bound), piece = Math.max(1, Math.floor(262144 / settings));
  for (let i = 0; i < rows; i++) {
    for (let l = 0; l < settings; l++) {
      const loss = x.data[i * settings + l];
      if (!(loss >= 0 && loss <= limit)) throw rangeError(where, "losses", `in [0, ${bound}]`, `${loss} in row ${i}, column ${l}`);
      sums[l] += loss;
    }
    if (i % piece === piece - 1) yield i / rows;
  }
  return { losses: x.data, rows, settings, means: Array.from(sums, (sum) => sum / rows) };
}
