/**
 * Preferences of which a share is the wrong way round: `npx -y pnpm@12 experiments preference` writes docs/data/experiments/preference.json.
 * The policy chooses one item of a list (LightGBM's example of graded relevance); pairs of items of a query are preferences, the more relevant one chosen, 30 % of them swapped.
 * The reference is the uniform policy: log-ratios differ by the scores' difference, so every loss of the margin applies as it is.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dpoLoss, exoLoss, ipoLoss, robustDpoLoss, slicLoss, type ReferenceLoss } from "@logits/losses/preference";
import { Tensor, randomSource } from "@logits/tensor";
import { effectOf, roundedEffect, train, type Mlp } from "./mlp.ts";
import { queries, type Queries } from "./ranking.ts";

const FEATURES = 300, SWAPPED = 0.3;

/** Losses with beta 1, and the margin of IPO 1. */
const LOSSES: Readonly<Record<string, readonly [loss: ReferenceLoss<any>, options: object]>> = {
  dpo: [dpoLoss, { beta: 1 }],
  "conservative dpo": [dpoLoss, { beta: 1, labelSmoothing: SWAPPED }],
  "robust dpo": [robustDpoLoss, { beta: 1, labelSmoothing: SWAPPED }],
  ipo: [ipoLoss, { beta: 0.5 }],
  slic: [slicLoss, { beta: 1 }],
  exo: [exoLoss, { beta: 1, labelSmoothing: SWAPPED }],
};
/** Names of the losses. */
export const METHODS: readonly string[] = Object.keys(LOSSES);

/** Rows of the chosen and the rejected item of each preference. */
interface Pairs {
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
}

/** Preferences of queries from `from` to `to`: up to `most` for each, a share of them swapped. */
function preferences({ relevance, offsets }: Queries, from: number, to: number, most: number, swapped: number, seed: number): Pairs {
  const random = randomSource(seed, 3), chosen: number[] = [], rejected: number[] = [];
  for (let q = from; q < to; q++) {
    const items = Array.from({ length: offsets[q + 1] - offsets[q] }, (_, i) => offsets[q] + i), all = items.flatMap((i) => items.filter((j) => relevance[i] > relevance[j]).map((j) => [i, j]));
    random.permutation(all.length).slice(0, most).forEach((k) => {
      const [i, j] = random.uniform() < swapped ? [all[k][1], all[k][0]] : all[k];
      chosen.push(i);
      rejected.push(j);
    });
  }
  return { chosen: Int32Array.from(chosen), rejected: Int32Array.from(rejected) };
}

/** The share of pairs in the right order, for each query; NaN where there are none. */
function rightOrder(scores: ArrayLike<number>, { relevance, offsets }: Queries): Float64Array {
  return Float64Array.from({ length: offsets.length - 1 }, (_, q) => {
    let right = 0, all = 0;
    for (let i = offsets[q]; i < offsets[q + 1]; i++) for (let j = offsets[q]; j < offsets[q + 1]; j++) if (relevance[i] > relevance[j]) {
      all++;
      right += scores[i] > scores[j] ? 1 : 0;
    }
    return right / all;
  });
}

function policy(method: string, data: Queries, { chosen, rejected }: Pairs, seed: number, rate: number, epochs: number, each?: (network: Mlp, epoch: number) => void): Mlp {
  const [loss, options] = LOSSES[method], n = data.relevance.length, zeros = new Float32Array(chosen.length);
  return train(data.x, { widths: [FEATURES, 16, 1], seed, epochs, batch: n, rate, decay: 1e-3 }, (outputs, order) => {
    const scores = new Float32Array(n), grad = new Float32Array(n);
    order.forEach((row, k) => (scores[row] = outputs.data[k]));
    const { grads } = loss.withGrad(Float32Array.from(chosen, (i) => scores[i]), Float32Array.from(rejected, (i) => scores[i]), zeros, zeros, options);
    chosen.forEach((i, k) => (grad[i] += grads.chosen.data[k]));
    rejected.forEach((i, k) => (grad[i] += grads.rejected.data[k]));
    return new Tensor("float32", [n, 1], Float32Array.from(order, (row) => grad[row]));
  }, each);
}

/** Chooses step size and epochs on the last quarter of the queries, by pairs without noise, so that the choice does not hang on luck; then trains on all and tests on pairs without noise. */
export function run(options: { readonly methods: readonly string[]; readonly seeds: number; readonly epochs: number; readonly rates: readonly number[] }): Record<string, { rate: number; epochs: number; right: Float64Array[] }> {
  const { methods, seeds, epochs, rates } = options, data = queries("train"), test = queries("test"), count = data.offsets.length - 1, split = Math.floor(0.75 * count);
  const kept = Array.from(rightOrder(new Float32Array(test.relevance.length), test).keys()).filter((q) => new Set(test.relevance.slice(test.offsets[q], test.offsets[q + 1])).size > 1);
  return Object.fromEntries(methods.map((method) => {
    let best = { value: -1, rate: 0, epochs: 0 };
    for (const rate of rates) {
      const curve = new Float64Array(epochs);
      for (const seed of [70, 71]) policy(method, data, preferences(data, 0, split, 20, SWAPPED, seed), seed, rate, epochs, (network, epoch) => {
        if (epoch % 5 !== 4) return;
        const all = rightOrder(network.outputs(data.x).data, data).subarray(split).filter((share) => share === share);
        curve[epoch] += all.reduce((sum, share) => sum + share, 0) / all.length;
      });
      curve.forEach((value, epoch) => value > best.value && (best = { value, rate, epochs: epoch + 1 }));
    }
    const right = Array.from({ length: seeds }, (_, s) => {
      const all = rightOrder(policy(method, data, preferences(data, 0, count, 20, SWAPPED, s), s, best.rate, best.epochs).outputs(test.x).data, test);
      return Float64Array.from(kept, (q) => all[q]);
    });
    return [method, { rate: best.rate, epochs: best.epochs, right }];
  }));
}

if (process.argv[1] === import.meta.filename) {
  const results = run({ methods: METHODS, seeds: 6, epochs: 60, rates: [3, 1, 0.3] });
  const result = {
    data: `lightgbm-ranking: up to 20 pairs of each of 201 training queries, 30 % swapped; network 300-16-1, 6 seeds; rate and epochs by clean pairs of the last quarter of the queries; tested on clean pairs of ${results.dpo.right[0].length} test queries`,
    interval: "a: the method, b: dpo; share of pairs in the right order, mean over queries; 95 %, bootstrap over test queries of the paired difference, mean over seeds",
    methods: METHODS.map((method) => ({ method, rate: results[method].rate, epochs: results[method].epochs, right: roundedEffect(effectOf(results[method].right, results.dpo.right)) })),
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/preference.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result, null, 1));
}
