import { log, logAddExp } from "@logits/statistics";
import { asFloat32, checkPositive, defineLoss, rangeError, scoreRows, Tensor, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";

/** Options of the losses that compare a student's scores with a teacher's. */
export interface DistillationOptions extends RowLossOptions {
  /** T, divides the scores of both; values are multiplied by T^2, so that the gradient keeps its size. Default 1. */
  readonly temperature?: number;
  /** Brings both rows of scores to mean 0 and standard deviation 1 (n - 1) before they are divided. Default false. */
  readonly standardize?: boolean;
}

/** A row: the student's scores / T, the teacher's, the label (-1 where there are none). Writes the derivative by the student's scores / T, returns the value. */
export type StudentTerms = (s: Float64Array, t: Float64Array, grad: Float64Array, label: number) => number;

/** Makes a loss of rows of student's scores against a teacher's, or against the mean probabilities of several teachers: one function gives the value and the gradient of a row. `most`: the number of teachers. */
export function studentLoss<Arguments extends readonly [logits: TensorLike, teacher: TensorLike, labels?: TensorLike], Options extends DistillationOptions>(
  name: string,
  count: 2 | 3,
  terms: (options: Options, where: string) => StudentTerms,
  most: number = Infinity,
): Loss<Arguments, Options> {
  return defineLoss<Arguments, Options>(name, count as Arguments["length"], (where, [logits, teacher, labels], options) => {
    const x = asFloat32(where, "logits", logits), t = asFloat32(where, "teacher", teacher), { temperature = 1, standardize } = options;
    checkPositive(where, "temperature", temperature);
    const student = scoreRows(where, "logits", x, options), { z, rows, classes, shape } = student, same = t.shape.length - x.shape.length, teachers = same === 1 ? t.shape[0] : 1;
    if ((same !== 0 && same !== 1) || x.shape.some((n, i) => n !== t.shape[i + same]) || (same === 1 && !(t.shape[0] >= 1 && most > 1))) throw rangeError(where, "teacher", `of shape [${x.shape.join(", ")}]${most > 1 ? ` or [teachers, ${x.shape.join(", ")}]` : ""}`, `[${t.shape.join(", ")}]`);
    const given = Array.from({ length: teachers }, (_, m) => scoreRows(where, "teacher", new Tensor("float32", x.shape, t.data.subarray(m * x.size, (m + 1) * x.size)), { axis: options.axis }).z.data);
    const { y, weights } = count === 3 ? labelled(where, labels!, shape, classes, options, student.weights) : { y: undefined, weights: student.weights }, row = terms(options, where);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(rows), s = new Float64Array(classes), mean = new Float64Array(classes), next = new Float64Array(classes), g = new Float64Array(classes);
        const grad = new Float32Array(coefficients ? z.size : 0);
        for (let r = 0; r < rows; r++) {
          if (weights?.[r] === 0) continue;
          const spread = load(s, z.data, r), at = r * classes;
          given.forEach((data, m) => {
            load(m ? next : mean, data, r);
            if (teachers > 1) logSoftmaxRow(m ? next : mean);
            if (m) next.forEach((v, c) => (mean[c] = logAddExp(mean[c], v)));
          });
          if (teachers > 1) for (let c = 0; c < classes; c++) mean[c] -= log(teachers);
          values[r] = temperature * temperature * row(s, mean, g.fill(0), y ? y[r] : -1);
          if (coefficients === undefined || coefficients[r] === 0) continue;
          const scale = coefficients[r] * temperature;
          if (!standardize) for (let c = 0; c < classes; c++) grad[at + c] = scale * g[c];
          else if (spread > 0) {
            // Of the scores before they were standardised: s T is (z - mean) / spread.
            load(s, z.data, r);
            let sum = 0, along = 0;
            for (let c = 0; c < classes; c++) {
              sum += g[c];
              along += g[c] * s[c];
            }
            for (let c = 0; c < classes; c++) grad[at + c] = (scale / spread) * (g[c] - sum / classes - (s[c] * temperature * temperature * along) / (classes - 1));
          }
        }
        return { values, gradients: () => ({ grad: student.gradient(grad) }) };
      },
    };

    /** A row divided by the temperature; its standard deviation where it is standardised. */
    function load(out: Float64Array, data: Float32Array, r: number): number {
      const at = r * classes;
      let mean = 0, square = 0, scale = temperature;
      if (standardize) {
        for (let c = 0; c < classes; c++) mean += data[at + c] / classes;
        for (let c = 0; c < classes; c++) square += (data[at + c] - mean) * (data[at + c] - mean);
      }
      const spread = Math.sqrt(square / (classes - 1));
      if (spread > 0) scale *= spread;
      for (let c = 0; c < classes; c++) out[c] = (data[at + c] - mean) / scale;
      return spread;
    }
  });
}
