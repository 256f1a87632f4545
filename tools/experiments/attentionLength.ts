/**
 * A key-value store with overwrites, read by one layer of attention that was trained on 64 steps, at up to 8 times that length: `npx -y pnpm@12 experiments attentionLength` writes docs/data/experiments/attention-length.json.
 * Each step writes a value under a key, a new one or one that was written before; then some key is asked for, and the answer is the value last written under it. Keys are random signs, so nothing but their likeness can be learned.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RotaryEmbedding, alibi, alibiSlopes, attention, kerple, t5Bias, type AttentionOptions, type PositionBias } from "@logits/attention";
import { entmax15 } from "@logits/attention/normalizers";
import { linearAttention, type FeatureMapName, type LinearAttentionOptions } from "@logits/attention/linear";
import { matmul } from "@logits/core-wasm";
import { crossEntropy } from "@logits/losses";
import { adam } from "@logits/optimize";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { predictions, type Rows } from "./mlp.ts";

/** Numbers of a key, different values, heads, features of a head for keys and for values, steps of a training sequence. */
export const CODE = 32, VALUES = 16, HEADS = 4, WIDTH = 32, LENGTH = 64;

/** What a method adds to plain attention: a normaliser, and a way to tell recent from old. */
export interface Method {
  readonly name: string;
  readonly normalizer: "softmax" | "softmax-one" | "sigmoid" | "entmax15" | "linear elu" | "linear exp";
  readonly position: "none" | "ALiBi" | "KERPLE" | "T5" | "RoPE" | "RoPE, interpolated" | "RoPE, YaRN" | "window" | "window, KERPLE" | "decay";
}

/** In the order of the page. */
export const METHODS: readonly Method[] = (
  [
    ["softmax", "none"], ["softmax", "ALiBi"], ["softmax", "KERPLE"], ["softmax", "T5"], ["softmax", "RoPE"], ["softmax", "RoPE, interpolated"], ["softmax", "RoPE, YaRN"], ["softmax", "window"], ["softmax", "window, KERPLE"],
    ["softmax-one", "ALiBi"], ["softmax-one", "KERPLE"], ["sigmoid", "ALiBi"], ["sigmoid", "KERPLE"], ["entmax15", "ALiBi"], ["entmax15", "KERPLE"], ["linear elu", "none"], ["linear elu", "decay"], ["linear exp", "none"], ["linear exp", "decay"],
  ] as const
).map(([normalizer, position]) => ({ name: `${normalizer}, ${position}`, normalizer, position }));

/** Sequences: what is written, what is asked for, and the answer. */
export interface Batch {
  readonly batch: number;
  readonly length: number;
  /** float32 [B T, CODE]: the key written at a step, and the key asked for after it. */
  readonly written: Rows;
  readonly asked: Rows;
  /** int32 [B T]: the value written, and the answer. */
  readonly values: Int32Array;
  readonly answers: Int32Array;
  /** 1 where the key asked for has had another value before. */
  readonly overwritten: Uint8Array;
}

/** Half of the steps write a new key, the others one of the keys so far, a different value than before; the key asked for is one of the keys so far. */
export function sequences(batch: number, length: number, random: RandomSource): Batch {
  const rows = batch * length, written = new Float32Array(rows * CODE), asked = new Float32Array(rows * CODE), values = new Int32Array(rows), answers = new Int32Array(rows), overwritten = new Uint8Array(rows);
  for (let b = 0; b < batch; b++) {
    const keys: { code: Float32Array; value: number; writes: number }[] = [];
    for (let row = b * length; row < (b + 1) * length; row++) {
      if (keys.length === 0 || random.uniform() < 0.5) {
        const bits = random.uint32();
        keys.push({ code: Float32Array.from({ length: CODE }, (_, f) => ((bits >>> f) & 1) * 2 - 1), value: -1, writes: 0 });
        put(keys[keys.length - 1], row);
      } else put(keys[random.integer(keys.length)], row);
      const { code, value, writes } = keys[random.integer(keys.length)];
      asked.set(code, row * CODE);
      answers[row] = value;
      overwritten[row] = Number(writes > 1);
    }
  }
  function put(key: { code: Float32Array; value: number; writes: number }, row: number): void {
    key.value = key.writes === 0 ? random.integer(VALUES) : (key.value + 1 + random.integer(VALUES - 1)) % VALUES;
    key.writes++;
    written.set(key.code, row * CODE);
    values[row] = key.value;
  }
  const like = (data: Float32Array): Rows => new Tensor("float32", [rows, CODE], data);
  return { batch, length, written: like(written), asked: like(asked), values, answers, overwritten };
}

/** Parameters, one after the other: queries and keys [CODE, HEADS WIDTH], values [VALUES, HEADS VALUES], output [HEADS VALUES, VALUES], and those of the position. */
const QK = CODE * HEADS * WIDTH, V = VALUES * HEADS * VALUES, BODY = 2 * QK + 2 * V, BUCKETS = 32;

const softplus = (x: number): number => (x > 30 ? x : Math.log1p(Math.exp(x))), slope = (x: number): number => 1 / (1 + Math.exp(-x)), unsoftplus = (y: number): number => Math.log(Math.expm1(y));

function tailOf({ normalizer, position }: Method): number[] {
  const tail = normalizer === "sigmoid" ? new Array<number>(HEADS).fill(0) : [];
  // Half-lives of 2 to 128 steps.
  if (position === "decay") return [...tail, ...[1, 3, 5, 7].map((h) => unsoftplus(Math.LN2 / 2 ** h))];
  if (position.endsWith("KERPLE")) return [...tail, ...new Array<number>(HEADS).fill(unsoftplus(1)), ...[1, 1 / 4, 1 / 16, 1 / 64].map(unsoftplus)];
  if (position === "T5") return [...tail, ...new Array<number>(BUCKETS * HEADS).fill(0)];
  return tail;
}

/** A start: weights uniform with the variance 1 / inputs; keys begin as queries do, so that likeness is seen from the first step. */
export function start(method: Method, random: RandomSource): Float64Array {
  const x = new Float64Array(BODY + tailOf(method).length), uniform = (inputs: number): number => (2 * random.uniform() - 1) * Math.sqrt(3 / inputs);
  for (let i = 0; i < QK; i++) x[i] = x[QK + i] = uniform(CODE);
  for (let i = 2 * QK; i < BODY; i++) x[i] = uniform(i < 2 * QK + V ? VALUES : HEADS * VALUES);
  x.set(tailOf(method), BODY);
  return x;
}

/** [B T, HEADS W] as [B, HEADS, T, W], or back. */
function turned(x: Rows, batch: number, length: number, width: number, back = false): Rows {
  const out = new Float32Array(x.size);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < HEADS; h++) {
      for (let t = 0; t < length; t++) {
        const flat = ((b * length + t) * HEADS + h) * width, apart = ((b * HEADS + h) * length + t) * width;
        out.set(x.data.subarray(back ? apart : flat, (back ? apart : flat) + width), back ? flat : apart);
      }
    }
  }
  return new Tensor("float32", back ? [batch * length, HEADS * width] : [batch, HEADS, length, width], out);
}

interface Layer {
  readonly output: Rows;
  gradient(upstream: Rows): { query: Rows; key: Rows; value: Rows; tail: number[] };
}

const rotaries = new Map<string, RotaryEmbedding>();

/** Rotations for a length; the scaled ones are for models that were trained without. */
function rotaryOf(position: Method["position"], length: number): RotaryEmbedding | undefined {
  if (!position.startsWith("RoPE")) return undefined;
  const name = `${position} ${length}`, factor = length / LENGTH, made = rotaries.get(name);
  if (made) return made;
  const scaling = factor <= 1 || position === "RoPE" ? undefined : position === "RoPE, YaRN" ? ({ type: "yarn", factor, originalLength: LENGTH } as const) : ({ type: "linear", factor } as const);
  const fresh = new RotaryEmbedding(Int32Array.from({ length }, (_, t) => t), { dimensions: WIDTH, ...(scaling ? { scaling } : {}) });
  rotaries.set(name, fresh);
  return fresh;
}

function softLayer({ normalizer, position }: Method, query: Rows, key: Rows, value: Rows, tail: Float64Array): Layer {
  const length = query.shape[2], sigmoid = normalizer === "sigmoid", places = tail.subarray(sigmoid ? HEADS : 0);
  const bias = ((): PositionBias | undefined => {
    switch (position) {
      case "ALiBi": return alibi(alibiSlopes(HEADS));
      case "KERPLE": case "window, KERPLE": return kerple("logarithmic", Float32Array.from(places.subarray(0, HEADS), softplus), Float32Array.from(places.subarray(HEADS), softplus));
      case "T5": return t5Bias(new Tensor("float32", [BUCKETS, HEADS], Float32Array.from(places)), { bidirectional: false, maxDistance: LENGTH });
      default: return undefined;
    }
  })();
  const options: AttentionOptions = {
    causal: true, ...(normalizer === "entmax15" ? { normalizer: entmax15 } : {}),
    ...(bias ? { positionBias: bias } : {}), ...(position.startsWith("window") ? { windowSize: LENGTH } : {}),
    ...(sigmoid ? { normalizer: "sigmoid" as const, sigmoidBias: Float32Array.from(tail.subarray(0, HEADS), (b) => b - Math.log(length)) } : {}), ...(normalizer === "softmax-one" ? { softmaxOne: true } : {}),
  };
  const rotary = rotaryOf(position, length), q = rotary?.rotate(query) ?? query, k = rotary?.rotate(key) ?? key;
  return {
    output: attention(q, k, value, options).output,
    gradient(upstream) {
      const { grads } = attention.withGrad(q, k, value, { ...options, upstream }), of = bias && position !== "ALiBi" ? Array.from(grads.positionBias!.data, (g, i) => (position === "T5" ? g : g * slope(places[i]))) : [];
      return { query: rotary?.gradient(grads.query) ?? grads.query, key: rotary?.gradient(grads.key) ?? grads.key, value: grads.value, tail: [...(sigmoid ? grads.sigmoidBias!.data : []), ...of] };
    },
  };
}

/** The loss of a batch and which answers are right; writes the gradient in the parameters into `gradient`. */
export function evaluate(method: Method, parameters: ArrayLike<number>, data: Batch, gradient?: Float64Array): { loss: number; right: Uint8Array } {
  const x = Float32Array.from(parameters), { batch, length } = data, part = (from: number, rows: number, columns: number): Rows => new Tensor("float32", [rows, columns], x.slice(from, from + rows * columns));
  const ofQuery = part(0, CODE, HEADS * WIDTH), ofKey = part(QK, CODE, HEADS * WIDTH), ofValue = part(2 * QK, VALUES, HEADS * VALUES), ofOutput = part(2 * QK + V, HEADS * VALUES, VALUES);
  const values = new Float32Array(data.values.length * VALUES);
  data.values.forEach((v, row) => (values[row * VALUES + v] = 1));
  const oneHot: Rows = new Tensor("float32", [data.values.length, VALUES], values);
  const query = turned(matmul(data.asked, ofQuery), batch, length, WIDTH), key = turned(matmul(data.written, ofKey), batch, length, WIDTH), value = turned(matmul(oneHot, ofValue), batch, length, VALUES);
  const tail = Float64Array.from(parameters).subarray(BODY), layer = method.normalizer.startsWith("linear") ? linearLayer(method, method.normalizer === "linear elu" ? "elu" : "exp", query, key, value, tail) : softLayer(method, query, key, value, tail);
  const read = turned(layer.output, batch, length, VALUES, true), logits = matmul(read, ofOutput), right = Uint8Array.from(predictions(logits), (p, row) => Number(p === data.answers[row]));
  if (!gradient) return { loss: crossEntropy(logits, data.answers).item(), right };
  const { loss, grad } = crossEntropy.withGrad(logits, data.answers), back = layer.gradient(turned(matmul(grad, ofOutput, { transposeB: true }), batch, length, VALUES));
  const put = (inputs: Rows, upstream: Rows, from: number): void => gradient.set(matmul(inputs, upstream, { transposeA: true }).data, from);
  put(data.asked, turned(back.query, batch, length, WIDTH, true), 0);
  put(data.written, turned(back.key, batch, length, WIDTH, true), QK);
  put(oneHot, turned(back.value, batch, length, VALUES, true), 2 * QK);
  put(read, grad, 2 * QK + V);
  gradient.set(back.tail, BODY);
  return { loss: loss.item(), right };
}

/** Linear attention, with a decay for each head or without. */
function linearLayer({ position }: Method, map: FeatureMapName, query: Rows, key: Rows, value: Rows, tail: Float64Array): Layer {
  const [batch, , length] = query.shape, decays = position === "decay";
  const gates: Rows = new Tensor("float32", [batch, HEADS, length], Float32Array.from({ length: batch * HEADS * length }, (_, i) => (decays ? -softplus(tail[Math.floor(i / length) % HEADS]) : 0)));
  const options: LinearAttentionOptions = { causal: true, featureMap: map, ...(decays ? { logGates: gates } : {}) };
  return {
    output: linearAttention(query, key, value, options).output,
    gradient(upstream) {
      const { grads } = linearAttention.withGrad(query, key, value, { ...options, upstream }), ofRates = new Array<number>(decays ? HEADS : 0).fill(0);
      if (decays) grads.logGates!.data.forEach((g, i) => (ofRates[Math.floor(i / length) % HEADS] -= g));
      return { query: grads.query, key: grads.key, value: grads.value, tail: ofRates.map((g, h) => g * slope(tail[h])) };
    },
  };
}

/** Trains a method; a new batch at every step. */
export function trained(method: Method, options: { readonly seed: number; readonly steps: number; readonly batch: number; readonly rate: number; readonly length?: number }): { x: Float64Array; loss: number } {
  const { seed, steps, batch, rate, length = LENGTH } = options, random = randomSource(seed, 1);
  let x = start(method, randomSource(seed)), loss = 0;
  // Two thirds at the full rate, the rest at a fifth of it.
  for (const [share, at] of [[2 / 3, rate], [1 / 3, rate / 5]] as const) {
    ({ x, value: loss } = adam((at, g) => evaluate(method, at, sequences(batch, length, random), g).loss, x, { learningRate: at, maxIterations: Math.round(steps * share), beta2: 0.99 }));
  }
  return { x, loss };
}

/** Shares of right answers in the last quarter of the steps: of all, and of keys that were written once, and more than once. */
export interface Accuracy {
  readonly all: number;
  readonly once: number;
  readonly overwritten: number;
}

/** Accuracy at a length, on the same sequences for all methods and seeds, with about so many questions. */
export function accuracy(method: Method, x: ArrayLike<number>, length: number, questions: number): Accuracy {
  const sums = { all: [0, 0], once: [0, 0], overwritten: [0, 0] }, random = randomSource(1000, length), size = Math.max(1, Math.floor(512 / length));
  for (let done = 0; done < questions; done += (size * length) / 4) {
    const data = sequences(size, length, random), { right } = evaluate(method, x, data);
    for (let row = 0; row < right.length; row++) {
      if (row % length < (3 * length) / 4) continue;
      for (const one of [sums.all, data.overwritten[row] === 1 ? sums.overwritten : sums.once]) {
        one[0] += right[row];
        one[1]++;
      }
    }
  }
  return { all: sums.all[0] / sums.all[1], once: sums.once[0] / sums.once[1], overwritten: sums.overwritten[0] / sums.overwritten[1] };
}

/** Trains every method with every seed, and reads at every length; methods that differ in the reading alone share the training. */
export function run(options: { readonly methods: readonly Method[]; readonly lengths: readonly number[]; readonly seeds: number; readonly steps: number; readonly batch: number; readonly rate: number; readonly questions: number; readonly each?: (method: Method, accuracies: readonly Accuracy[][]) => void }): { method: Method; losses: number[]; accuracies: Accuracy[][] }[] {
  const { methods, lengths, seeds, questions } = options, models = new Map<string, ReturnType<typeof trained>[]>();
  return methods.map((method) => {
    const as: Method = method.position.startsWith("RoPE") ? { ...method, position: "RoPE" } : method, name = `${as.normalizer}, ${as.position}`;
    if (!models.has(name)) models.set(name, Array.from({ length: seeds }, (_, s) => trained(as, { ...options, seed: s + 1 })));
    const accuracies = models.get(name)!.map(({ x }) => lengths.map((length) => accuracy(method, x, length, questions)));
    options.each?.(method, accuracies);
    return { method, accuracies, losses: models.get(name)!.map(({ loss }) => loss) };
  });
}

if (process.argv[1] === import.meta.filename) {
  const training = { seeds: 5, steps: 600, batch: 8, rate: 0.003, questions: 8192 }, lengths = [1, 2, 4, 8].map((times) => times * LENGTH), round = (x: number): number => Number(x.toFixed(4)), began = process.cpuUsage().user;
  const over = (values: readonly number[]): object => ({ mean: round(values.reduce((a, b) => a + b, 0) / values.length), low: round(Math.min(...values)), high: round(Math.max(...values)) });
  const methods = run({ methods: METHODS, lengths, ...training, each: ({ name }, all) => console.error(name, all.map((one) => one.map((a) => a.all.toFixed(2)).join(" ")).join(" | ")) }).map(({ method, losses, accuracies }) => ({
    ...method, loss: over(losses), ...Object.fromEntries((["all", "once", "overwritten"] as const).map((of) => [of, lengths.map((_, i) => over(accuracies.map((one) => one[i][of])))])),
  }));
  const result = {
    data: `a key-value store with overwrites: keys of ${CODE} random signs, ${VALUES} values, one layer of ${HEADS} heads; ${training.steps} steps of Adam with ${training.batch} sequences of ${LENGTH}, rate ${training.rate} for all methods`,
    measure: `share of right answers in the last quarter of a sequence, ${training.questions} questions a length, the same for all; chance is ${1 / VALUES}. Mean, lowest and highest of ${training.seeds} seeds`,
    lengths, methods,
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/attention-length.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.error(`${((process.cpuUsage().user - began) / 1e6).toFixed(0)} s of processor time`);
}
