import { TemperatureScaling } from "@logits/calibration";
import { core, matmul, softmax, topK } from "@logits/core-wasm";
import { sampleNormal } from "@logits/statistics";
import { Tensor, randomSource } from "@logits/tensor";
import type { Control } from "../worker/protocol.ts";
import { plainMatmul, plainSoftmax, plainTemperature, plainTopK } from "./plainLoops.ts";

/** One line of the table. */
export interface Timing {
  readonly name: string;
  readonly size: string;
  /** Largest difference between the two results, and what is allowed. */
  readonly error: number;
  readonly allowed: number;
  /** Median milliseconds of one call; absent where the results differ. */
  readonly library?: number;
  readonly plain?: number;
}

/** The table, and where it was measured. */
export interface SpeedTable {
  readonly timings: readonly Timing[];
  readonly variant: string;
  readonly rounds: number;
}

interface Case {
  readonly name: string;
  readonly size: string;
  readonly allowed: number;
  readonly library: () => ArrayLike<number>;
  readonly plain: () => ArrayLike<number>;
}

const ROUNDS = 9, SAMPLE_MS = 20;

function cases(): Case[] {
  const random = randomSource(1, 41);
  const normal = (size: number, scale = 1): Float32Array => Float32Array.from({ length: size }, () => scale * sampleNormal(random));
  const [rows, width] = [64, 1000], x = normal(rows * width, 3), z = new Tensor("float32", [rows, width], x);
  const [m, k, n] = [64, 512, 256], a = normal(m * k), b = normal(k * n), left = new Tensor("float32", [m, k], a), right = new Tensor("float32", [k, n], b);
  const vocabulary = 50257, one = normal(vocabulary, 3), last = new Tensor("float32", [1, vocabulary], one);
  const [samples, classes] = [1000, 100], scores = normal(samples * classes, 4), labels = Int32Array.from({ length: samples }, (_, i) => {
    const row = scores.subarray(i * classes, (i + 1) * classes);
    return random.uniform() < 0.7 ? row.indexOf(Math.max(...row)) : random.integer(classes);
  });
  const logits = new Tensor("float32", [samples, classes], scores), y = new Tensor("int32", [samples], labels);
  return [
    { name: "softmax", size: `${rows} × ${width}`, allowed: 1e-6, library: () => softmax(z).data, plain: () => plainSoftmax(x, rows, width) },
    { name: "softmax", size: "1 × 50,257", allowed: 1e-6, library: () => softmax(last).data, plain: () => plainSoftmax(one, 1, vocabulary) },
    { name: "topK, 10 largest", size: "1 × 50,257", allowed: 0, library: () => topK(last, 10).values.data, plain: () => plainTopK(one, 1, vocabulary, 10).values },
    { name: "matmul", size: `${m} × ${k} by ${k} × ${n}`, allowed: 1e-3, library: () => matmul(left, right).data, plain: () => plainMatmul(a, b, m, k, n) },
    { name: "temperature fit", size: `${samples} × ${classes}`, allowed: 1e-5, library: () => [TemperatureScaling.fit(logits, y).temperature], plain: () => [plainTemperature(scores, labels, classes)] },
  ];
}

/** Checks each pair of results, then times library and loops in turn: the median of some rounds. */
export async function measure(_: null, control: Control): Promise<SpeedTable> {
  const timings: Timing[] = [], all = cases();
  const pause = async (done: number): Promise<void> => {
    control.progress(done / all.length, `Timing ${all[Math.min(all.length - 1, Math.floor(done))].name}`);
    await new Promise((resume) => setTimeout(resume));
    control.signal.throwIfAborted();
  };
  for (const [i, { name, size, allowed, library, plain }] of all.entries()) {
    await pause(i);
    const error = difference(library(), plain());
    if (!(error <= allowed)) {
      timings.push({ name, size, error, allowed });
      continue;
    }
    const pairs = [{ call: library, repeats: 1, times: [] as number[] }, { call: plain, repeats: 1, times: [] as number[] }];
    for (const pair of pairs) {
      // Often enough that the clock's steps do not matter; this also warms the code up.
      while (timeOf(pair.call, pair.repeats) < SAMPLE_MS && pair.repeats < 2 ** 16) pair.repeats *= 2;
      await pause(i + 0.1);
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const pair of pairs) pair.times.push(timeOf(pair.call, pair.repeats) / pair.repeats);
      await pause(i + 0.1 + (0.9 * (round + 1)) / (ROUNDS + 1));
    }
    const [own, other] = pairs.map(({ times }) => times.sort((p, q) => p - q)[ROUNDS >> 1]);
    timings.push({ name, size, error, allowed, library: own, plain: other });
  }
  control.progress(1);
  return { timings, variant: core.variant, rounds: ROUNDS };
}

function timeOf(call: () => unknown, repeats: number): number {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) call();
  return performance.now() - start;
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i] - b[i]);
    if (!(apart <= largest)) largest = apart;
  }
  return largest;
}
