/**
 * Letters, 20 classes to learn and 6 that are never seen: `npx -y pnpm@12 experiments metricLearning` writes docs/data/experiments/metric-learning.json.
 * One network, 16-128-32, whose 32 outputs are the embedding; losses differ, step sizes were chosen by recall on training rows that were left out.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { matmul } from "@logits/core-wasm";
import { similarityPass } from "@logits/core-wasm/similarity";
import { crossEntropy } from "@logits/losses/classification";
import { supConLoss } from "@logits/losses/contrastive";
import { arcFaceLoss, multiSimilarityLoss, normalizedSoftmaxLoss, proxyAnchorLoss, tripletMarginLoss, type ClassLoss } from "@logits/losses/metric-learning";
import { auroc } from "@logits/metrics";
import { bootstrap, percentileInterval, sampleNormal } from "@logits/statistics";
import { Tensor, randomSource, type TensorLike } from "@logits/tensor";
import { letters, type Labelled } from "./data.ts";
import { cosine, descend, effectOf, roundedEffect, taken, train, type Effect, type Rows } from "./mlp.ts";

/** D, H, L, P, T and X are not trained on. */
const UNKNOWN = new Set([3, 7, 11, 15, 19, 23]), EMBEDDING = 32;

type Gradient = (z: Rows, y: Int32Array, rate: number) => Rows;
/** A loss, made for a number of classes, with the step size that was chosen for it. */
interface Method {
  readonly rate: number;
  gradient(classes: number, seed: number): Gradient;
}

/** Class vectors that learn along with the network. */
function withVectors(classes: number, seed: number, rateFactor: number, step: (z: Rows, w: Rows, y: Int32Array) => { readonly embeddings: Rows; readonly weights: Rows }): Gradient {
  const random = randomSource(seed, 3), w = new Tensor("float32", [classes, EMBEDDING], Float32Array.from({ length: classes * EMBEDDING }, () => sampleNormal(random) / Math.sqrt(EMBEDDING))), speed = new Float32Array(w.size);
  return (z, y, rate) => {
    const { embeddings, weights } = step(z, w, y);
    descend(w.data, speed, weights.data, rateFactor * rate, 0.9, 0);
    return embeddings;
  };
}

const classMethod = (loss: ClassLoss<any>, options: object, rate: number): Method => ({ rate, gradient: (classes, seed) => withVectors(classes, seed, 1, (z, w, y) => loss.withGrad(z, w, y, options).grads) });
const pairMethod = (loss: { withGrad(z: TensorLike, y: TensorLike, options: any): { readonly grad: Rows } }, options: object, rate: number): Method => ({ rate, gradient: () => (z, y) => loss.withGrad(z, y, options).grad });

export const METHODS: Readonly<Record<string, Method>> = {
  "cross-entropy": {
    rate: 0.2,
    gradient: (classes, seed) => withVectors(classes, seed, 1, (z, w, y) => {
      const { grad } = crossEntropy.withGrad(matmul(z, w, { transposeB: true }), y);
      return { embeddings: matmul(grad, w), weights: matmul(grad, z, { transposeA: true }) };
    }),
  },
  "normalised softmax": classMethod(normalizedSoftmaxLoss, { scale: 16 }, 0.06),
  ArcFace: classMethod(arcFaceLoss, { scale: 16, margin: 0.3 }, 0.06),
  "proxy anchor": classMethod(proxyAnchorLoss, {}, 0.06),
  SupCon: pairMethod(supConLoss, {}, 0.2),
  "multi-similarity": pairMethod(multiSimilarityLoss, {}, 0.6),
  triplet: pairMethod(tripletMarginLoss, { distance: "cosine", average: "nonZero" }, 0.6),
};

/** The rows of some letters, the letters numbered from 0. */
function part({ x, y }: Labelled, known: boolean, most = Infinity): Labelled {
  const names = Array.from({ length: 26 }, (_, c) => c).filter((c) => UNKNOWN.has(c) !== known), rows = Array.from(y.keys()).filter((i) => names.includes(y[i])).slice(0, most);
  return { x: taken(x, rows), y: Int32Array.from(rows, (i) => names.indexOf(y[i])) };
}

/** Embeddings after training on the given rows. */
export function embedding(method: Method, { x, y }: Labelled, seed: number, epochs: number, rate: number = method.rate): (x: Rows) => Rows {
  const gradient = method.gradient(20, seed), rates = cosine(rate, epochs);
  return train(x, { widths: [16, 128, EMBEDDING], seed, epochs, batch: 256, rate: rates, decay: 1e-4 }, (z, rows, epoch) => gradient(z, rows.map((i) => y[i]), rates(epoch))).outputs;
}

/** Whether the nearest other row has the same label, for each row. */
export function recalls(z: Rows, y: Int32Array): Float64Array {
  const hits = new Float64Array(y.length);
  similarityPass({ data: z.data }, undefined, z.shape[1], "cosine", (i, row) => {
    let best = -1;
    for (let j = 0; j < row.length; j++) if (j !== i && (best < 0 || row[j] > row[best])) best = j;
    hits[i] = Number(y[best] === y[i]);
  }, false);
  return hits;
}

/** How far each row is from the nearest class mean of the training rows, 1 - cos. */
function strangeness(z: Rows, trained: Rows, y: Int32Array): Float64Array {
  const means = new Float32Array(20 * EMBEDDING), out = new Float64Array(z.shape[0]);
  for (let i = 0; i < y.length; i++) {
    const size = Math.sqrt(trained.row(i).data.reduce((sum, v) => sum + v * v, 0)) || 1;
    for (let f = 0; f < EMBEDDING; f++) means[y[i] * EMBEDDING + f] += trained.data[i * EMBEDDING + f] / size;
  }
  similarityPass({ data: z.data }, { data: means }, EMBEDDING, "cosine", (i, row) => (out[i] = 1 - row.reduce((most, v) => Math.max(most, v), -1)), false);
  return out;
}

/** The paired difference of areas under the curve, means over seeds, resampled over known and unknown rows. */
function areaEffect(a: readonly Float64Array[], b: readonly Float64Array[], unknown: Uint8Array, repetitions: number): Effect {
  const area = (all: readonly Float64Array[], rows: ArrayLike<number>): number => all.reduce((sum, values) => sum + auroc(Float64Array.from(rows, (i) => values[i]), Uint8Array.from(rows, (i) => unknown[i])) / all.length, 0);
  const every = Int32Array.from({ length: unknown.length }, (_, i) => i), [x, y] = [area(a, every), area(b, every)];
  const [low, high] = percentileInterval(bootstrap(unknown.length, (rows) => area(a, rows) - area(b, rows), { random: randomSource(2), repetitions }), 0.95);
  return { a: x, b: y, difference: x - y, low, high };
}

export interface MetricLearningResult {
  readonly data: string;
  readonly methods: readonly { readonly method: string; readonly rate: number; readonly recallKnown: Effect; readonly recallUnknown: Effect; readonly rejection: Effect }[];
}

export function metricLearning(seeds: number, epochs: number, rows: number, repetitions: number, names: readonly string[] = Object.keys(METHODS)): MetricLearningResult {
  const seen = part(letters("train"), true, rows), known = part(letters("test"), true), unknown = part(letters("test"), false), isUnknown = Uint8Array.from({ length: known.y.length + unknown.y.length }, (_, i) => Number(i >= known.y.length));
  const results = names.map((name) => Array.from({ length: seeds }, (_, seed) => {
    const embed = embedding(METHODS[name], seen, seed + 1, epochs), [trained, a, b] = [seen, known, unknown].map(({ x }) => embed(x));
    return { known: recalls(a, known.y), unknown: recalls(b, unknown.y), far: Float64Array.from([...strangeness(a, trained, seen.y), ...strangeness(b, trained, seen.y)]) };
  }));
  const base = results[0];
  return {
    data: `letter: 20 letters to train on (${seen.y.length} rows), ${known.y.length} test rows of them and ${unknown.y.length} of 6 other letters; network 16-128-32, ${epochs} epochs, ${seeds} seeds`,
    methods: names.map((method, m) => ({
      method,
      rate: METHODS[method].rate,
      recallKnown: roundedEffect(effectOf(results[m].map((r) => r.known), base.map((r) => r.known))),
      recallUnknown: roundedEffect(effectOf(results[m].map((r) => r.unknown), base.map((r) => r.unknown))),
      rejection: roundedEffect(areaEffect(results[m].map((r) => r.far), base.map((r) => r.far), isUnknown, repetitions)),
    })),
  };
}

if (import.meta.main) {
  const result = metricLearning(4, 20, 4096, 300);
  for (const { method, recallKnown, recallUnknown, rejection } of result.methods) console.log(method.padEnd(20), [recallKnown, recallUnknown, rejection].map(({ a, difference, low, high }) => `${a} (${difference}: ${low} to ${high})`).join("  "));
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/metric-learning.json"), `${JSON.stringify(result, null, 2)}\n`);
}
