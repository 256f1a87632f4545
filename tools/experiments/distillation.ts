/**
 * Small students of a larger teacher on images of clothes: `npx -y pnpm@12 experiments distillation` writes docs/data/experiments/distillation.json.
 * The teacher has seen 5,000 rows; the students, of 16 hidden units, see 1,000 of them. Same start, same order of rows for all losses of a seed.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crossEntropy } from "@logits/losses/classification";
import { distillationLoss, distLoss, dkdLoss, jensenShannonLoss, pldLoss } from "@logits/losses/distillation";
import { softmax } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { clothes } from "./data.ts";
import { cosine, effectOf, predictions, recordOf, roundedEffect, taken, train, type Mlp, type Rows } from "./mlp.ts";

/** What a student learns from: cross-entropy alone, or with a distillation loss at the weights of its paper. */
export const METHODS = ["ce", "kd", "kd without labels", "dkd", "dist", "pld", "js"] as const;
type Method = (typeof METHODS)[number];

const sum = (...parts: readonly (readonly [weight: number, grad: Rows])[]): Rows => new Tensor("float32", parts[0][1].shape, parts[0][1].data.map((_, i) => parts.reduce((total, [weight, grad]) => total + weight * grad.data[i], 0)));

/** The gradient of a step. */
function gradient(method: Method, outputs: Rows, teacher: Rows, labels: Int32Array, epoch: number): Rows {
  const ce = (): Rows => crossEntropy.withGrad(outputs, labels).grad, temperature = 4;
  switch (method) {
    case "ce": return ce();
    case "kd": return sum([0.1, ce()], [0.9, distillationLoss.withGrad(outputs, teacher, { temperature }).grad]);
    case "kd without labels": return distillationLoss.withGrad(outputs, teacher, { temperature }).grad;
    case "dkd": return sum([1, ce()], [Math.min(1, (epoch + 1) / 5), dkdLoss.withGrad(outputs, teacher, labels, { temperature }).grad]);
    case "dist": return sum([1, ce()], [1, distLoss.withGrad(outputs, teacher, { temperature, beta: 2, gamma: 2 }).grad]);
    case "pld": return pldLoss.withGrad(outputs, teacher, labels).grad;
    case "js": return sum([0.1, ce()], [0.9, jensenShannonLoss.withGrad(outputs, teacher, { temperature }).grad]);
  }
}

/** Accuracy of one student for each test row, and -log p of its label. */
export interface StudentRows {
  readonly right: Float64Array;
  readonly nll: Float64Array;
}

/** Trains a teacher and the students of each method and seed. */
export function run(options: { readonly seeds: number; readonly epochs: number; readonly rows: number; readonly teacherRows: number; readonly teacherEpochs: number; readonly rates?: readonly number[]; readonly methods?: readonly Method[] }): { teacher: number; rates: Record<Method, number>; students: Record<Method, StudentRows[]> } {
  const { seeds, epochs, rows, teacherRows, teacherEpochs, rates: tried = [0.05, 0.02, 0.005], methods = METHODS } = options, all = clothes("train", teacherRows), test = clothes("test");
  const batch = 50, teacher = train(all.x, { widths: [196, 256, 10], seed: 1, epochs: teacherEpochs, batch, rate: cosine(0.05, teacherEpochs), decay: 1e-3 }, (outputs, chosen) => crossEntropy.withGrad(outputs, chosen.map((i) => all.y[i])).grad);
  const x = taken(all.x, Int32Array.from({ length: rows }, (_, i) => i)), given = teacher.outputs(x), judged = (outputs: Rows): StudentRows => {
    const best = predictions(outputs), p = softmax(outputs).data;
    return { right: Float64Array.from(test.y, (y, i) => Number(best[i] === y)), nll: Float64Array.from(test.y, (y, i) => -Math.log(Math.max(1e-30, p[10 * i + y]))) };
  };
  const student = (method: Method, seed: number, rate: number): Mlp => train(x, { widths: [196, 16, 10], seed, epochs, batch, rate: cosine(rate, epochs) }, (outputs, chosen, epoch) => gradient(method, outputs, taken(given, chosen), chosen.map((i) => all.y[i]), epoch));
  const mean = (values: ArrayLike<number>): number => Array.prototype.reduce.call(values, (a, b) => (a as number) + (b as number), 0) as number / values.length;
  // The step size of each method: the best on rows that no student has learnt from, with seeds of their own.
  const held = Int32Array.from({ length: Math.min(1000, teacherRows - rows) }, (_, i) => rows + i), heldX = taken(all.x, held);
  const rateOf = (method: Method): number => tried.length === 1 ? tried[0] : tried.map((rate) => [rate, mean([100, 101].flatMap((seed) => Array.from(predictions(student(method, seed, rate).outputs(heldX)), (c, i) => Number(c === all.y[held[i]]))))] as const).reduce((best, one) => (one[1] > best[1] ? one : best))[0];
  const rates = recordOf(methods, rateOf);
  return { teacher: mean(judged(teacher.outputs(test.x)).right), rates, students: recordOf(methods, (method) => Array.from({ length: seeds }, (_, s) => judged(student(method, s + 2, rates[method]).outputs(test.x)))) };
}

if (process.argv[1] === import.meta.filename) {
  const { teacher, rates, students } = run({ seeds: 8, epochs: 40, rows: 1000, teacherRows: 5000, teacherEpochs: 20 });
  const result = {
    data: "fashion-mnist-14: teacher 196-256-10 on 5,000 rows, students 196-16-10 on the first 1,000, 2,500 test rows, 8 seeds",
    teacher: { accuracy: Number(teacher.toFixed(4)) },
    methods: METHODS.map((method) => ({ method, rate: rates[method], accuracy: roundedEffect(effectOf(students[method].map((s) => s.right), students.ce.map((s) => s.right))), nll: roundedEffect(effectOf(students[method].map((s) => s.nll), students.ce.map((s) => s.nll))) })),
    interval: "a: the method, b: cross-entropy alone; 95 %, bootstrap over test rows of the paired difference, mean over seeds",
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/distillation.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result, null, 1));
}
