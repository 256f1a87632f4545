import type { Loss, TensorLike } from "@logits/tensor";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";
import { studentLoss, type DistillationOptions } from "./studentLoss.ts";

/** A loss of a student's scores against a teacher's. */
export type DistillationLoss<Options extends DistillationOptions = DistillationOptions> = Loss<[logits: TensorLike, teacher: TensorLike], Options>;

/** The value of a row, from the student's probabilities s and their logarithms and the teacher's t. Writes d value / d log s[c], as if each could move alone. */
export type RowTerm = (s: Float64Array, logS: Float64Array, t: Float64Array, logT: Float64Array, slope: Float64Array) => number;

/** Makes a loss of two distributions. */
export function divergence<Options extends DistillationOptions = DistillationOptions>(name: string, term: (options: Options, where: string) => RowTerm): DistillationLoss<Options> {
  return studentLoss<[logits: TensorLike, teacher: TensorLike], Options>(name, 2, (options, where) => {
    const of = term(options, where);
    let p = new Float64Array(0), q = p;
    return (s, t, grad) => {
      if (p.length !== s.length) [p, q] = [new Float64Array(s.length), new Float64Array(s.length)];
      logSoftmaxRow(s, p);
      logSoftmaxRow(t, q);
      const value = of(p, s, q, t, grad);
      let sum = 0;
      for (let c = 0; c < s.length; c++) sum += grad[c];
      for (let c = 0; c < s.length; c++) grad[c] -= p[c] * sum;
      return value;
    };
  });
}

/** KL(p || q) of one class, and 0 where p is 0. */
export function klTerm(p: number, logP: number, logQ: number): number {
  return p === 0 ? 0 : p * (logP - logQ);
}

/** KL(t || s). */
export function forwardKl(_s: Float64Array, logS: Float64Array, t: Float64Array, logT: Float64Array, slope: Float64Array): number {
  let value = 0;
  for (let c = 0; c < t.length; c++) {
    value += klTerm(t[c], logT[c], logS[c]);
    slope[c] = -t[c];
  }
  return value;
}
