import { divergence, forwardKl, type DistillationLoss } from "./divergence.ts";

/**
 * Knowledge distillation: the Kullback-Leibler divergence of the student's distribution from the teacher's, both at temperature T.
 *
 *   loss[b] = T^2 KL(t || s),   s = softmax(logits[b] / T),   t = softmax(teacher[b] / T), or their mean over several teachers
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores; -Infinity = impossible class
 * @param teacher - float32, the same shape, or [teachers, B, ..., C]: their probabilities are averaged. No gradient
 * @param options - `temperature` (1; Hinton's experiments use 2 to 20), `standardize` (logit standardisation, false), and those of every loss; `axis` of the classes
 * @returns float32 [B, ...] ("none") or []; 0 where both agree, +Infinity where the student excludes a class that the teacher does not. A row with NaN or +Infinity, or of -Infinity only: NaN.
 *   `withGrad`: `grad`, T (s - t), the shape of the logits
 * @throws RangeError for other shapes, a temperature that is not positive, weights or a mask that are none
 * @example
 *   distillationLoss([[2, 0]], [[1, 0]], { temperature: 2 }); // 0.1118
 * Source: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015); averaged teachers: Shen, Savvides, MEAL V2 (2020); Sun, Ren, Li, Wang, Cao, "Logit standardization in knowledge distillation", CVPR 2024.
 */
export const distillationLoss: DistillationLoss = /* @__PURE__ */ divergence("distillationLoss", () => forwardKl);
