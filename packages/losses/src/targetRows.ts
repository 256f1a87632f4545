import { Tensor, lastingData, rangeError, scoreRows, type RowLossOptions, type ScoreRows, type TensorLike } from "@logits/tensor";

/** What stands beside rows of scores, in their shape and with the classes on the same axis: targets, another model's scores. `z.data` may be kept. */
export function targetRows(where: string, argument: string, targets: TensorLike, rows: ScoreRows, { axis = -1 }: RowLossOptions, scores: string = "logits"): ScoreRows {
  const t = scoreRows(where, argument, targets, { axis });
  if (t.classes !== rows.classes || `${t.shape}` !== `${rows.shape}`) throw rangeError(where, argument, `of the shape of \`${scores}\``, `[${[...t.shape, t.classes].join(", ")}] for [${[...rows.shape, rows.classes].join(", ")}]`);
  return { ...t, z: new Tensor("float32", t.z.shape, lastingData(t.z)) };
}
