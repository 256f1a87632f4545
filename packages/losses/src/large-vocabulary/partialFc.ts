import { asFloat32, asInt32, checkInteger, checkLabels, checkShape, rangeError, Tensor, type Loss, type LossOptions, type RandomSource, type TensorLike } from "@logits/tensor";
import type { RowGradient } from "./rowGradient.ts";

/** Options of a loss on a part of the classes. */
export interface PartialOptions {
  /** The classes that take part, ascending, each once; labels of rows that take part are among them. `sampleClasses` draws them. */
  readonly classes: Int32Array;
}

/** A loss with class vectors, whose gradients it gives as `embeddings` and `weights`. */
export type CentersLoss<Options extends LossOptions> = Loss<[embeddings: TensorLike, weights: TensorLike, labels: TensorLike], Options, { readonly grads: { readonly embeddings: Tensor<"float32">; readonly weights: Tensor<"float32"> } }>;

/** The same on a part of the classes. */
export type PartialLoss<Options extends LossOptions> = Loss<[embeddings: TensorLike, weights: TensorLike, labels: TensorLike], Options & PartialOptions, { readonly grads: { readonly embeddings: Tensor<"float32">; readonly weights: RowGradient } }>;

/**
 * The classes of a batch, filled up with others at random: what Partial FC trains in a step.
 *
 * @param labels - int32 [B], in [0, C)
 * @param classes - C >= 1
 * @param count - how many, at most C; where the batch has more classes, these
 * @param random - source of random numbers; every other class is as likely
 * @returns ascending, each once
 * @throws RangeError for a label outside [0, C) (with its index), a count outside [0, C]
 * @example
 *   sampleClasses([2, 2, 5], 10, 4, randomSource(1)); // 2, 5 and two others
 * Source: An et al., "Killing Two Birds with One Stone", CVPR 2022, section 3.3.
 */
export function sampleClasses(labels: TensorLike, classes: number, count: number, random: RandomSource): Int32Array {
  const where = "sampleClasses", y = asInt32(where, "labels", labels);
  checkInteger(where, "classes", classes, 1, 2147483647);
  checkInteger(where, "count", count, 0, classes);
  checkLabels(where, "labels", y, classes);
  const chosen = new Set(y.data), others = classes - chosen.size, missing = Math.max(0, count - chosen.size), own = [...chosen].sort((a, b) => a - b);
  // Floyd's sample of the others by their rank, which is then counted past the batch's own classes.
  const ranks = new Set<number>();
  for (let j = others - missing; j < others; j++) {
    const r = random.integer(j + 1);
    ranks.add(ranks.has(r) ? j : r);
  }
  let passed = 0;
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    while (passed < own.length && own[passed] <= rank + passed) passed++;
    chosen.add(rank + passed);
  }
  return Int32Array.from(chosen).sort();
}

/**
 * Partial FC: any loss with class vectors, on a part of the classes. Labels are renumbered, other class vectors are neither read nor moved.
 *
 *   loss(embeddings, weights[classes], place of labels in classes)
 *
 * @param loss - a loss of embeddings, weights and labels: `arcFaceLoss`, `cosFaceLoss`, `marginSoftmaxLoss`, ...
 * @returns the loss with the option `classes` beside its own; `grads.weights` has the rows of `classes`. With all classes it is the loss itself
 * @throws RangeError for classes that are not ascending in [0, C), a label that is not among them (with its index); and as the loss
 * @example
 *   const loss = partialFcLoss(arcFaceLoss);
 *   const classes = sampleClasses(labels, weights.length, 2, randomSource(1));
 *   loss.withGrad(embeddings, weights, labels, { classes }).grads.weights.rows; // classes
 * Source: An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC", CVPR 2022.
 */
export function partialFcLoss<Options extends LossOptions>(loss: CentersLoss<Options>): PartialLoss<Options> {
  interface Part {
    readonly w: Tensor<"float32">;
    readonly gathered: Tensor<"float32">;
    readonly labels: Tensor<"int32">;
    readonly options: Options;
  }
  const part = (where: string, weights: TensorLike, labels: TensorLike, given: Options & PartialOptions): Part => {
    const w = asFloat32(where, "weights", weights), y = asInt32(where, "labels", labels), { classes, ignoreIndex } = given;
    checkShape(where, "weights", w, ["C", "F"]);
    const [count, width] = w.shape;
    classes.forEach((c, i) => checkInteger(where, `classes[${i}]`, c, i === 0 ? 0 : classes[i - 1] + 1, count - 1));
    const gathered = new Tensor("float32", [classes.length, width], new Float32Array(classes.length * width)), place = new Map<number, number>();
    classes.forEach((c, i) => {
      place.set(c, i);
      gathered.data.set(w.data.subarray(c * width, (c + 1) * width), i * width);
    });
    const own = y.data.map((label) => (label === ignoreIndex ? -1 : (place.get(label) ?? -2))), missing = own.indexOf(-2);
    if (missing >= 0) throw rangeError(where, "labels", "among `classes`", `${y.data[missing]} at index ${missing}`);
    return { w, gathered, labels: new Tensor("int32", y.shape, own), options: { ...given, classes: undefined, ...(ignoreIndex !== undefined && { ignoreIndex: -1 }) } };
  };
  const plain = (embeddings: TensorLike, weights: TensorLike, labels: TensorLike, given: Options & PartialOptions): Tensor<"float32"> => {
    const { gathered, labels: own, options } = part("partialFcLoss", weights, labels, given);
    return loss(embeddings, gathered, own, options);
  };
  const withGrad = (embeddings: TensorLike, weights: TensorLike, labels: TensorLike, given: Options & PartialOptions): ReturnType<PartialLoss<Options>["withGrad"]> => {
    const { w, gathered, labels: own, options } = part("partialFcLoss.withGrad", weights, labels, given), { loss: value, grads } = loss.withGrad(embeddings, gathered, own, options);
    return { loss: value, grads: { embeddings: grads.embeddings, weights: { shape: [w.shape[0], w.shape[1]], rows: given.classes.slice(), values: grads.weights } } };
  };
  return Object.assign(plain, { withGrad }) as PartialLoss<Options>;
}
