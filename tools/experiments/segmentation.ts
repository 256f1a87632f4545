/**
 * Silhouettes and outlines of clothes under noise and occlusion: `npx -y pnpm@12 experiments segmentation` writes docs/data/experiments/segmentation.json.
 * One network 196-128-196 for each loss, the same start and the same order of rows; a loss for each image, averaged.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binaryCrossEntropy } from "@logits/losses/multi-label";
import { diceLoss, lovaszHingeLoss } from "@logits/losses/segmentation";
import { Tensor, randomSource, type TensorLike } from "@logits/tensor";
import { clothes } from "./data.ts";
import { cosine, effectOf, recordOf, roundedEffect, taken, train, type Rows } from "./mlp.ts";

/** What a network learns from. */
export const METHODS = ["cross-entropy", "dice", "lovasz hinge", "cross-entropy, then lovasz hinge", "cross-entropy + dice"] as const;
type Method = (typeof METHODS)[number];
/** What is to be found: all of the garment, or its edge, which is thin. */
export const TASKS = ["silhouette", "outline"] as const;
type Task = (typeof TASKS)[number];

/** The garment: pixels of at least 3/15, or those of them with a neighbour that is none. */
function masks(x: Rows, task: Task): Rows {
  const on = x.data.map((v) => (v >= 0.199 ? 1 : 0)), at = (image: number, row: number, column: number): number => (row < 0 || row > 13 || column < 0 || column > 13 ? 0 : on[196 * image + 14 * row + column]);
  if (task === "silhouette") return new Tensor("float32", x.shape, on);
  return new Tensor("float32", x.shape, on.map((v, i) => {
    const image = Math.floor(i / 196), row = Math.floor((i % 196) / 14), column = i % 14;
    return v === 1 && at(image, row - 1, column) * at(image, row + 1, column) * at(image, row, column - 1) * at(image, row, column + 1) === 0 ? 1 : 0;
  }));
}

/** The images with noise of standard deviation 0.5 (uniform) and a square of 5 x 5 pixels blanked. */
function spoiled(x: Rows, seed: number): Rows {
  const random = randomSource(seed), data = x.data.map((v) => v + (2 * random.uniform() - 1) * Math.sqrt(0.75));
  for (let image = 0; image < x.shape[0]; image++) {
    const row = random.integer(10), column = random.integer(10);
    for (let k = 0; k < 25; k++) data[196 * image + 14 * (row + Math.floor(k / 5)) + column + (k % 5)] = 0;
  }
  return new Tensor("float32", x.shape, data);
}

/** d loss / d logits of a step, the mean over images; `late` in the second half of the epochs. */
function gradient(method: Method, logits: Rows, targets: Rows, late: boolean): Rows {
  const [images, pixels] = logits.shape, z: TensorLike = { data: logits.data, shape: [images, pixels, 1] }, t: TensorLike = { data: targets.data, shape: [images, pixels, 1] };
  const ce = (): Rows => binaryCrossEntropy.withGrad(logits, targets).grad, regions = (loss: typeof diceLoss | typeof lovaszHingeLoss): Rows => new Tensor("float32", logits.shape, loss.withGrad(z, t, { per: "image" }).grad.data);
  switch (method) {
    case "cross-entropy": return ce();
    case "dice": return regions(diceLoss);
    case "lovasz hinge": return regions(lovaszHingeLoss);
    case "cross-entropy, then lovasz hinge": return late ? regions(lovaszHingeLoss) : ce();
    case "cross-entropy + dice": {
      const a = ce(), b = regions(diceLoss);
      return new Tensor("float32", a.shape, a.data.map((v, i) => v + b.data[i]));
    }
  }
}

/** Intersection over union of each image, of the pixels with a logit above 0; 1 where nothing is and nothing was found. */
function overlaps(logits: Rows, targets: Rows): Float64Array {
  return Float64Array.from({ length: logits.shape[0] }, (_, image) => {
    let both = 0, either = 0;
    for (let i = 196 * image; i < 196 * (image + 1); i++) {
      const a = logits.data[i] > 0 ? 1 : 0, b = targets.data[i];
      both += a * b;
      either += Math.max(a, b);
    }
    return either === 0 ? 1 : both / either;
  });
}

/** For each task and method the overlap of every test image, one list a seed; the step size is chosen among three on rows kept from training. */
export function run(options: { readonly seeds: number; readonly epochs: number; readonly rows: number; readonly testRows: number; readonly rates: readonly number[] }): Record<Task, { share: number; methods: Record<Method, { rate: number; overlaps: Float64Array[] }> }> {
  const { seeds, epochs, rows, testRows, rates } = options, all = clothes("train", rows).x, test = clothes("test", testRows).x, held = Math.floor(rows / 5), first = (from: number, to: number): Int32Array => Int32Array.from({ length: to - from }, (_, i) => from + i);
  const fit = (x: Rows, t: Rows, method: Method, seed: number, rate: number): ReturnType<typeof train> => train(x, { widths: [196, 128, 196], seed, epochs, batch: 50, rate: cosine(rate, epochs) }, (outputs, chosen, epoch) => gradient(method, outputs, taken(t, chosen), 2 * epoch >= epochs));
  const mean = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
  return recordOf(TASKS, (task) => {
    const [t, ofTest, x, xTest] = [masks(all, task), masks(test, task), spoiled(all, 11), spoiled(test, 12)], kept = first(held, rows), out = first(0, held);
    const methods = recordOf(METHODS, (method) => {
      const tried = rates.length === 1 ? [1] : rates.map((rate) => mean(overlaps(fit(taken(x, kept), taken(t, kept), method, 1, rate).outputs(taken(x, out)), taken(t, out)))), rate = rates[tried.indexOf(Math.max(...tried))];
      return { rate, overlaps: Array.from({ length: seeds }, (_, s) => overlaps(fit(x, t, method, s + 2, rate).outputs(xTest), ofTest)) };
    });
    return { share: t.data.reduce((a, b) => a + b, 0) / t.size, methods };
  });
}

if (process.argv[1] === import.meta.filename) {
  const results = run({ seeds: 3, epochs: 10, rows: 2000, testRows: 1500, rates: [1, 3] });
  const result = {
    data: "fashion-mnist-14: 2,000 images to train on, 1,500 to test, uniform noise of standard deviation 0.5 and a blank square of 5 x 5 of 14 x 14 pixels; network 196-128-196, 3 seeds",
    measure: "intersection over union of each test image, pixels with a logit above 0",
    tasks: TASKS.map((task) => ({
      task,
      share: Number(results[task].share.toFixed(3)),
      methods: METHODS.map((method) => ({ method, rate: results[task].methods[method].rate, overlap: roundedEffect(effectOf(results[task].methods[method].overlaps, results[task].methods["cross-entropy"].overlaps)) })),
    })),
    interval: "a: the method, b: cross-entropy; 95 %, bootstrap over test images of the paired difference, mean over seeds. The step size of each method is the better of 1 and 3 on 400 images kept from training",
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/segmentation.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result, null, 1));
}
