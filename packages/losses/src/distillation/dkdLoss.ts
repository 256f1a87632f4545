import { exp, softplus } from "@logits/statistics";
import type { Loss, TensorLike } from "@logits/tensor";
import { logSumExpRow } from "../logSoftmaxRow.ts";
import { klTerm } from "./divergence.ts";
import { studentLoss, type DistillationOptions } from "./studentLoss.ts";

/** Options of `dkdLoss`. */
export interface DkdOptions extends DistillationOptions {
  /** Weight of the labelled class against all others. Default 1. */
  readonly alpha?: number;
  /** Weight of the distribution over the others. Default 8. */
  readonly beta?: number;
}

/** A loss of a student's scores against a teacher's and labels. */
export type LabelledDistillationLoss<Options extends DistillationOptions> = Loss<[logits: TensorLike, teacher: TensorLike, labels: TensorLike], Options>;

/**
 * Decoupled knowledge distillation: the divergence in two parts, the label against the rest (TCKD) and the rest among themselves (NCKD), each with its own weight.
 *
 *   loss[b] = T^2 (alpha KL((t_y, 1 - t_y) || (s_y, 1 - s_y)) + beta KL(t' || s')),   t', s' = the distributions over the classes other than y
 *
 * With beta = alpha (1 - t_y) in each row it is alpha times `distillationLoss`. The rest is summed without the label: nothing is masked by a large number, so small probabilities keep their digits.
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores
 * @param teacher - float32, the same shape or [teachers, B, ..., C]. No gradient
 * @param labels - int32 [B, ...], in [0, C)
 * @param options - `alpha` (1), `beta` (8, the paper's for CIFAR-100; 0.5 to 2 for ImageNet), and those of `distillationLoss`; `ignoreIndex`
 * @returns float32 [B, ...] ("none") or []; one class: 0. `withGrad`: `grad`; label: T alpha (s_y - t_y), class c: -T alpha (s_y - t_y) s'_c + T beta (s'_c - t'_c)
 * @throws RangeError as `distillationLoss`, and for a label outside [0, C) (with its index)
 * @example
 *   dkdLoss([[2, 0, 0]], [[1, 0, 1]], [0], { temperature: 4 }); // 1.2706
 * Source: Zhao, Cui, Song, Qiu, Liang, "Decoupled knowledge distillation", CVPR 2022.
 */
export const dkdLoss: LabelledDistillationLoss<DkdOptions> = /* @__PURE__ */ studentLoss("dkdLoss", 3, ({ alpha = 1, beta = 8 }: DkdOptions) => (s, t, grad, y) => {
  const restS = logSumExpRow(s, y), restT = logSumExpRow(t, y), [logS, logRestS] = labelAndRest(s[y], restS), [logT, logRestT] = labelAndRest(t[y], restT), sy = exp(logS), ty = exp(logT);
  let rest = 0;
  for (let c = 0; c < s.length; c++) {
    if (c === y) continue;
    const logSc = within(s[c], restS), logTc = within(t[c], restT), sc = exp(logSc), tc = exp(logTc);
    rest += klTerm(tc, logTc, logSc);
    grad[c] = beta * (sc - tc) - alpha * (sy - ty) * sc;
  }
  grad[y] = alpha * (sy - ty);
  return alpha * (klTerm(ty, logT, logS) + klTerm(exp(logRestT), logRestT, logRestS)) + beta * rest;
});

/** Log-probability within the rest: an impossible class stays one where the others are impossible too. */
const within = (score: number, rest: number): number => (score === -Infinity ? score : score - rest);

/** Log-probabilities of the label and of the rest, from the log odds; none for +Infinity, as in a softmax. */
function labelAndRest(score: number, rest: number): readonly [number, number] {
  const odds = score === Infinity ? NaN : score - rest;
  return [-softplus(-odds), -softplus(odds)];
}
