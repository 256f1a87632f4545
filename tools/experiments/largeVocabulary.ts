/**
 * Whether losses on sampled words end where the exact one does, as Gao et al. (2021) say, if the sampling is corrected for. `npx -y pnpm@12 experiments largeVocabulary` writes docs/data/experiments/large-vocabulary.json.
 *
 * The word that follows a word in short messages (WNUT-17): z = W e[word] + b, by Adagrad; the measure is the log-probability of the next word under a softmax over all words.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { denseRows, countNoise, linearCrossEntropy, linearStatistics, nceLoss, sampledBinaryLoss, sampledSoftmaxLoss, sampleNegatives, samplingCorrection, type Negatives } from "@logits/losses/large-vocabulary";
import { randomSource, Tensor } from "@logits/tensor";
import { effectOf, roundedEffect, type Effect } from "./mlp.ts";

const WIDTH = 24, BATCH = 128, SAMPLES = 64;

/** Pairs of a word and the next one, as numbers from frequent to rare. */
export interface Pairs {
  readonly counts: readonly number[];
  readonly train: readonly (readonly [number, number])[];
  readonly test: readonly (readonly [number, number])[];
}

function sentences(part: string): string[][] {
  const text = gunzipSync(readFileSync(join(import.meta.dirname, "../../data/wnut17", `${part}.tsv.gz`))).toString("utf8");
  return text.split("\n").slice(1).join("\n").split(/\n\s*\n/).map((block) => block.split("\n").map((line) => line.split("\t")[0].toLowerCase()).filter((word) => word !== ""));
}

/** Words that occur twice or more; all others are one word. */
export function pairs(limit = Infinity): Pairs {
  const train = sentences("train").slice(0, limit), test = sentences("dev"), counted = new Map<string, number>();
  for (const word of train.flat()) counted.set(word, (counted.get(word) ?? 0) + 1);
  const known = [...counted].filter(([, n]) => n > 1).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)), place = new Map(known.map(([word], i) => [word, i])), rest = known.length;
  const of = (all: string[][]): [number, number][] => all.flatMap((words) => words.slice(1).map((word, i): [number, number] => [place.get(words[i]) ?? rest, place.get(word) ?? rest]));
  const made = of(train), counts = new Array<number>(rest + 1).fill(0);
  for (const [, next] of made) counts[next]++;
  return { counts, train: made, test: of(test).slice(0, 4000) };
}

interface Step {
  readonly hidden: ArrayLike<number>;
  readonly weights: Tensor<"float32">;
  readonly bias: ArrayLike<number>;
}

type Method = (hidden: Tensor<"float32">, weights: Tensor<"float32">, labels: Int32Array, bias: Float32Array, negatives: Negatives) => Step;

const dense = ({ grads: { hidden, weights, bias } }: ReturnType<typeof sampledSoftmaxLoss.withGrad>): Step => ({ hidden: hidden.data, weights: denseRows(weights), bias: bias!.data });

/** Every loss, and what is added to its logits before they are scored. `start`: the first biases, where the loss would have them if all words came as often as in the noise. */
export const METHODS: Readonly<Record<string, { readonly step: Method; readonly correction?: (negatives: Negatives) => Float32Array; readonly start: (logQ: number) => number }>> = {
  "cross-entropy": { start: (logQ) => logQ, step: (h, w, y, bias) => { const { grads } = linearCrossEntropy.withGrad(h, w, y, { bias }); return { hidden: grads.hidden.data, weights: grads.weights, bias: grads.bias!.data }; } },
  "sampled softmax": { start: (logQ) => logQ, step: (h, w, y, bias, negatives) => dense(sampledSoftmaxLoss.withGrad(h, w, y, { bias, negatives })) },
  "sampled softmax, not corrected": { start: () => 0, step: (h, w, y, bias, negatives) => dense(sampledSoftmaxLoss.withGrad(h, w, y, { bias, negatives: { ...negatives, logExpected: () => 0 } })) },
  "noise-contrastive estimation": { start: (logQ) => logQ, step: (h, w, y, bias, negatives) => dense(nceLoss.withGrad(h, w, y, { bias, negatives })) },
  "negative sampling": { start: () => -Math.log(SAMPLES), step: (h, w, y, bias, negatives) => dense(sampledBinaryLoss.withGrad(h, w, y, { bias, negatives })), correction: (negatives) => samplingCorrection("monteCarlo", negatives).data },
  "negative sampling, not corrected": { start: () => -Math.log(SAMPLES), step: (h, w, y, bias, negatives) => dense(sampledBinaryLoss.withGrad(h, w, y, { bias, negatives })) },
};

/** Log-probability of each test word, after training. */
export function scores({ counts, train, test }: Pairs, name: string, seed: number, epochs: number, rate: number): Float64Array {
  const words = counts.length, random = randomSource(seed, 3), noise = countNoise(counts.map((n) => n + 1)), normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => (random.uniform() - 0.5) / Math.sqrt(WIDTH));
  const e = normals(words * WIDTH), w = normals(words * WIDTH), bias = Float32Array.from({ length: words }, (_, v) => METHODS[name].start(noise.logProbability(v))), squares = [e, w, bias].map((x) => new Float32Array(x.length).fill(0.1)), { step, correction } = METHODS[name];
  const move = (x: Float32Array, k: number, i: number, g: number): void => {
    squares[k][i] += g * g;
    x[i] -= (rate * g) / Math.sqrt(squares[k][i]);
  };
  const hiddenOf = (rows: readonly (readonly [number, number])[]): Tensor<"float32"> => {
    const h = new Tensor("float32", [rows.length, WIDTH], new Float32Array(rows.length * WIDTH));
    rows.forEach(([from], b) => h.data.set(e.subarray(from * WIDTH, (from + 1) * WIDTH), b * WIDTH));
    return h;
  };
  const weights = new Tensor("float32", [words, WIDTH], w);
  let negatives = sampleNegatives(noise, SAMPLES, random);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = random.permutation(train.length);
    for (let at = 0; at + BATCH <= train.length; at += BATCH) {
      const rows = Array.from({ length: BATCH }, (_, b) => train[order[at + b]]);
      negatives = sampleNegatives(noise, SAMPLES, random);
      const g = step(hiddenOf(rows), weights, Int32Array.from(rows, ([, next]) => next), bias, negatives);
      rows.forEach(([from], b) => { for (let d = 0; d < WIDTH; d++) move(e, 0, from * WIDTH + d, BATCH * g.hidden[b * WIDTH + d]); });
      for (let i = 0; i < w.length; i++) if (g.weights.data[i] !== 0) move(w, 1, i, BATCH * g.weights.data[i]);
      for (let i = 0; i < words; i++) if (g.bias[i] !== 0) move(bias, 2, i, BATCH * g.bias[i]);
    }
  }
  const added = correction?.(negatives), { labelLogProb } = linearStatistics(hiddenOf(test), weights, Int32Array.from(test, ([, next]) => next), { bias: added ? bias.map((b, v) => b + added[v]) : bias });
  return Float64Array.from(labelLogProb.data);
}

/** Each method beside cross-entropy: the mean log-probability of a test word. Rates by the best of two on the first seed's training words. */
export function largeVocabulary(seeds: number, epochs: number, limit: number, rates: readonly number[] = [0.03, 0.1]): { words: number; train: number; test: number; methods: Record<string, Effect & { rate: number }> } {
  const data = pairs(limit), held = Math.floor(data.train.length / 10), choosing = { ...data, train: data.train.slice(held), test: data.train.slice(0, held) }, mean = (x: Float64Array): number => x.reduce((a, b) => a + b, 0) / x.length;
  const results = Object.keys(METHODS).map((name) => {
    const rate = rates.length === 1 ? rates[0] : rates.map((r) => [mean(scores(choosing, name, 1, epochs, r)), r]).sort((a, b) => b[0] - a[0])[0][1];
    return { name, rate, values: Array.from({ length: seeds }, (_, s) => scores(data, name, s + 1, epochs, rate)) };
  });
  return { words: data.counts.length, train: data.train.length, test: data.test.length, methods: Object.fromEntries(results.map(({ name, rate, values }) => [name, { rate, ...effectOf(values, results[0].values, { repetitions: 500 }) }])) };
}

if (process.argv[1] === import.meta.filename) {
  const { words, train, test, methods } = largeVocabulary(2, 2, 600);
  const out = {
    data: `wnut17: ${train} training and ${test} test pairs of a word and the next, ${words} words; width ${WIDTH}, ${SAMPLES} sampled words, 2 epochs, 2 seeds; rate by held-out training pairs`,
    interval: "mean log-probability of a test word in nats, a: the method, b: cross-entropy; 95 %, bootstrap over the test words of the paired difference",
    methods: Object.entries(methods).map(([method, { rate, ...effect }]) => ({ method, rate, ...roundedEffect(effect) })),
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/large-vocabulary.json"), `${JSON.stringify(out, null, 2)}\n`);
}
