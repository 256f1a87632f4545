import { exp } from "@logits/statistics";
import type { Loss, TensorLike } from "@logits/tensor";
import { logSoftmaxRow, studentLoss, type DistillationOptions } from "./studentLoss.ts";

/** A loss of a student's scores against a teacher's. */
export type DistillationLoss<Options extends DistillationOptions = DistillationOptions> = Loss<[logits: TensorLike, teacher: TensorLike], Options>;

/** The part of one class: its value, and its derivative by log s. s and t are the probabilities of student and teacher. */
export type ClassTerm = (s: number, logS: number, t: number, logT: number) => readonly [value: number, slope: number];

/** Makes a loss that is a sum over classes of a function of the two probabilities. */
export function divergence<Options extends DistillationOptions = DistillationOptions>(name: string, term: (options: Options, where: string) => ClassTerm): DistillationLoss<Options> {
  return studentLoss<[logits: TensorLike, teacher: TensorLike], Options>(name, 2, (options, where) => {
    const part = term(options, where);
    return (s, t, grad) => {
      logSoftmaxRow(s);
      logSoftmaxRow(t);
      let value = 0, sum = 0;
      for (let c = 0; c < s.length; c++) {
        const [v, slope] = part(exp(s[c]), s[c], exp(t[c]), t[c]);
        value += v;
        sum += grad[c] = slope;
      }
      for (let c = 0; c < s.length; c++) grad[c] -= exp(s[c]) * sum;
      return value;
    };
  });
}

/** KL(p || q) of one class, and 0 where p is 0. */
export function klTerm(p: number, logP: number, logQ: number): number {
  return p === 0 ? 0 : p * (logP - logQ);
}
