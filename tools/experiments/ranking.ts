/**
 * A small network that ranks, under several losses: `npx -y pnpm@12 experiments ranking` writes docs/data/experiments/ranking.json.
 * LightGBM's example of graded relevance: 201 queries to train on, 50 to test. Step size and number of epochs of each loss are the best on 50 of the training queries.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { approxNdcgLoss, lambdaLoss, listMleLoss, listNetLoss, listwiseSoftmaxLoss, rankNetLoss, type ListLoss } from "@logits/losses/ranking";
import { Tensor, randomSource } from "@logits/tensor";
import { effectOf, roundedEffect, taken, train, type Mlp, type Rows } from "./mlp.ts";

/** Items of queries, with grades from 0 to 4. */
export interface Queries {
  readonly x: Rows;
  readonly relevance: Float32Array;
  /** [Q + 1]. */
  readonly offsets: Int32Array;
}

const FEATURES = 300, folder = join(import.meta.dirname, "../../data/lightgbm-ranking");

/** The queries of a file. */
export function queries(part: "train" | "test"): Queries {
  const lines = gunzipSync(readFileSync(join(folder, `rank.${part}.gz`))).toString().trim().split("\n"), sizes = readFileSync(join(folder, `rank.${part}.query`), "utf8").trim().split(/\s+/).map(Number);
  const x = new Float32Array(lines.length * FEATURES), relevance = Float32Array.from(lines, (line, i) => {
    const [grade, ...cells] = line.trim().split(/\s+/);
    for (const cell of cells) x[i * FEATURES + Number(cell.split(":")[0]) - 1] = Number(cell.split(":")[1]);
    return Number(grade);
  });
  const offsets = new Int32Array(sizes.length + 1);
  sizes.forEach((size, q) => (offsets[q + 1] = offsets[q] + size));
  return { x: new Tensor("float32", [lines.length, FEATURES], x), relevance, offsets };
}

/** Some of the queries. */
function chosen({ x, relevance, offsets }: Queries, which: ArrayLike<number>): Queries {
  const rows = Array.from(which).flatMap((q) => Array.from({ length: offsets[q + 1] - offsets[q] }, (_, i) => offsets[q] + i)), sizes = Array.from(which, (q) => offsets[q + 1] - offsets[q]);
  return { x: taken(x, rows), relevance: Float32Array.from(rows, (i) => relevance[i]), offsets: Int32Array.from([0, ...sizes].map((_, q) => sizes.slice(0, q).reduce((a, b) => a + b, 0))) };
}

/** NDCG@k of each query, 1 where nothing is relevant, as LightGBM counts. */
export function ndcg(scores: ArrayLike<number>, { relevance, offsets }: Queries, k: number): Float64Array {
  return Float64Array.from({ length: offsets.length - 1 }, (_, q) => {
    const items = Array.from({ length: offsets[q + 1] - offsets[q] }, (_, i) => offsets[q] + i), dcg = (order: number[]): number => order.slice(0, k).reduce((sum, i, place) => sum + (2 ** relevance[i] - 1) / Math.log2(2 + place), 0);
    const best = dcg([...items].sort((a, b) => relevance[b] - relevance[a]));
    return best === 0 ? 1 : dcg([...items].sort((a, b) => scores[b] - scores[a])) / best;
  });
}

const LOSSES: Readonly<Record<string, ListLoss<any> | undefined>> = { pointwise: undefined, listNet: listNetLoss, listwiseSoftmax: listwiseSoftmaxLoss, listMle: listMleLoss, rankNet: rankNetLoss, lambda: lambdaLoss, approxNdcg: approxNdcgLoss };
/** Names of the losses; "pointwise" is the squared error of the grade. */
export const METHODS: readonly string[] = Object.keys(LOSSES);

/** Trains on all queries at once. */
function ranker(method: string, data: Queries, seed: number, rate: number, epochs: number, each?: (network: Mlp, epoch: number) => void): Mlp {
  const { x, relevance, offsets } = data, loss = LOSSES[method], n = relevance.length;
  return train(x, { widths: [FEATURES, 16, 1], seed, epochs, batch: n, rate, decay: 1e-3 }, (outputs, order) => {
    const scores = new Float32Array(n);
    order.forEach((row, k) => (scores[row] = outputs.data[k]));
    const grad = loss === undefined ? scores.map((s, i) => (2 * (s - relevance[i])) / n) : loss.withGrad(scores, relevance, { offsets, ...(method === "approxNdcg" ? { temperature: 1 } : {}) }).grad.data;
    return new Tensor("float32", [n, 1], Float32Array.from(order, (row) => grad[row]));
  }, each);
}

/** NDCG of each test query and seed. */
export interface RankingResult {
  readonly rate: number;
  readonly epochs: number;
  /** For k 1, 3, 10: one list for each seed. */
  readonly ndcg: Readonly<Record<number, Float64Array[]>>;
}

/** Chooses, trains and tests each method. */
export function run(options: { readonly methods: readonly string[]; readonly seeds: number; readonly epochs: number; readonly rates: readonly number[]; readonly choosing?: readonly number[] }): Record<string, RankingResult> {
  const { methods, seeds, epochs, rates } = options, all = queries("train"), test = queries("test"), order = randomSource(3).permutation(all.offsets.length - 1);
  const held = chosen(all, order.slice(0, 50)), fit = chosen(all, order.slice(50)), mean = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
  return Object.fromEntries(methods.map((method) => {
    let best = { value: -1, rate: 0, epochs: 0 };
    for (const rate of rates) {
      const curve = new Float64Array(epochs);
      for (const seed of options.choosing ?? [50, 51]) ranker(method, fit, seed, rate, epochs, (network, epoch) => epoch % 5 === 4 && (curve[epoch] += mean(ndcg(network.outputs(held.x).data, held, 10))));
      curve.forEach((value, epoch) => value > best.value && (best = { value, rate, epochs: epoch + 1 }));
    }
    const scores = Array.from({ length: seeds }, (_, s) => ranker(method, all, s + 1, best.rate, best.epochs).outputs(test.x).data);
    return [method, { rate: best.rate, epochs: best.epochs, ndcg: Object.fromEntries([1, 3, 10].map((k) => [k, scores.map((one) => ndcg(one, test, k))])) }];
  }));
}

if (process.argv[1] === import.meta.filename) {
  const results = run({ methods: METHODS, seeds: 5, epochs: 80, rates: [0.3, 0.1, 0.03] });
  const result = {
    data: "lightgbm-ranking: 201 training and 50 test queries, network 300-16-1, 5 seeds; rate and epochs by NDCG@10 on 50 training queries",
    interval: "a: the method, b: pointwise; 95 %, bootstrap over the 50 test queries of the paired difference, mean over seeds",
    stock: { tool: "LightGBM lambdarank, boosted trees", "ndcg@1": 0.613, "ndcg@3": 0.607 },
    methods: METHODS.map((method) => ({ method, rate: results[method].rate, epochs: results[method].epochs, ...Object.fromEntries([1, 3, 10].map((k) => [`ndcg@${k}`, roundedEffect(effectOf(results[method].ndcg[k], results.pointwise.ndcg[k]))])) })),
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/ranking.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result));
}
