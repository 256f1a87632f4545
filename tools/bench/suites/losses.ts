import { createRequire } from "node:module";
import { PLAN, RedCheckError, alternate, compare, gate, type Check } from "../harness.ts";
import { logits } from "../inputs.ts";
import { peak, peakGflops } from "../peak.ts";
import { logSumExpOf } from "../reference.ts";
import type { Contender } from "../types.ts";
import { supConCase } from "./contrastive.ts";
import type { Case, Outcome, Suite } from "./suite.ts";
import { versus } from "./versus.ts";

const largeVocabulary = (): Promise<typeof import("@logits/losses/large-vocabulary")> => import("@logits/losses/large-vocabulary");

const RATE = "multiply-add rate";

/** Two runs as one. */
function both(first: Contender, second: Contender): Contender {
  return {
    async run() {
      for (const one of [first, second]) {
        const pending = one.run();
        if (pending !== undefined) await pending;
      }
    },
    read: () => first.read(),
    dispose() {
      first.dispose();
      second.dispose();
    },
  };
}

/** Cross-entropy of a linear layer against what a library without it does: the product, then a softmax of its result. Each is checked on the first rows. */
function linearCrossEntropyCase(rows: number, width: number, words: number): Case {
  const name = `linearCrossEntropy ${rows}x${width}x${words}`, few = 4;
  return {
    name,
    async run({ variant, library: { core, matmul, softmax }, peers, seed, clock }): Promise<Outcome> {
      const { linearCrossEntropy } = await largeVocabulary(), label = `${name} (${variant})`;
      const x = logits(rows * width, seed, 1), w = logits(words * width, seed + 1, 0.1), y = Int32Array.from({ length: rows }, (_, b) => (b * 7919) % words), columns = new Float32Array(w.length);
      for (let v = 0; v < words; v++) for (let f = 0; f < width; f++) columns[f * words + v] = w[v * width + f];
      const z = Array.from({ length: few }, (_, b) => Float32Array.from({ length: words }, (_, v) => {
        let sum = 0;
        for (let f = 0; f < width; f++) sum += x[b * width + f] * w[v * width + f];
        return sum;
      }));
      const want = z.map((row, b) => logSumExpOf(row) - row[y[b]]);
      const check: Check = ({ values }, whose) => {
        for (let b = 0; b < few; b++) {
          if (whose === "ours" && !(Math.abs(values[b] - want[b]) <= 2e-5 * Math.max(1, Math.abs(want[b])))) return { failure: `${values[b]} instead of ${want[b]} for row ${b}` };
          if (whose === "peer") for (let v = 0; v < words; v += 97) if (!(Math.abs(values[b * words + v] - z[b][v]) <= 1e-4)) return { failure: `${values[b * words + v]} instead of ${z[b][v]} at [${b}, ${v}]` };
        }
        return {};
      };
      const hidden = core.alloc([rows, width]), weights = core.alloc([words, width]);
      hidden.data.set(x);
      weights.data.set(w);
      const held = 4 * (x.length + w.length), wordsOf = { data: w, shape: [words, width] };
      let values: ArrayLike<number> = [], scratch = 0;
      const work = (run: () => ArrayLike<number> | void): Contender => ({ run: () => void (values = run() ?? values), read: () => ({ values }), dispose: () => {} });
      const ours = work(() => linearCrossEntropy(hidden, weights, y, { reduction: "none" }).data), others = new Map<string, Contender>();
      linearCrossEntropy.withGrad(hidden, weights, y);
      // Everything that is not one of the two operands: static data and scratch.
      scratch = core.bytesInUse - held;
      for (const peer of peers) {
        if (!peer.wasm || peer.name.includes("constant weights")) continue;
        const product = await peer.prepare({ op: "matmul", m: rows, k: width, n: words, a: x, b: columns }, "resident"), rest = await peer.prepare({ op: "softmax", rows, cols: words, x: logits(rows * words, seed + 2, 3) }, "resident");
        if (product !== undefined && rest !== undefined) others.set(peer.name, both(product, rest));
      }
      const { refused } = await gate(label, ours, others, check);
      for (const who of Object.keys(refused)) { others.get(who)?.dispose(); others.delete(who); }
      const out = core.alloc([rows, words]), peaked = { data: x.map((value) => 4 * value), shape: [rows, width] };
      const beside: Record<string, () => void> = {
        arrays: () => void linearCrossEntropy({ data: x, shape: [rows, width] }, wordsOf, y),
        gradient: () => void linearCrossEntropy.withGrad(hidden, weights, y),
        // Rows whose softmax is as peaked as that of a trained model: logits of standard deviation 11 instead of 3.
        skip: () => void linearCrossEntropy.withGrad(peaked, weights, y, { skip: 2 ** -12 }),
        product: () => void softmax(matmul(hidden, weights, { transposeB: true, out }), { out }),
      };
      const timings = await alternate(new Map([["ours", ours], ...others, ...Object.entries(beside).map(([who, run]) => [who, work(run)] as const), [RATE, peak(variant)] as const]), { ...PLAN, clock, rounds: 7 });
      const after = check(await (ours.run(), ours.read()), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${label}: our result went wrong while timing: ${after.failure}`);
      for (const one of others.values()) one.dispose();
      for (const tensor of [hidden, weights, out]) tensor.dispose();
      const own = timings.get("ours") as NonNullable<ReturnType<typeof timings.get>>, median = (who: string): number => timings.get(who)?.median ?? Number.NaN;
      const gflops = (2 * rows * width * words) / own.median / 1e6, rate = peakGflops(median(RATE));
      return {
        ours: own.median,
        peers: Object.fromEntries([...others.keys()].map((who) => [who, median(who)])),
        ...compare(own, new Map([...timings].filter(([who]) => others.has(who)))),
        refused,
        figures: {
          gflops, peakGflops: rate, fractionOfPeak: gflops / rate, scratchMiB: scratch / 1048576, fromArraysMs: median("arrays"), ownProductAndSoftmaxMs: median("product"),
          gradientMs: median("gradient"), gradientGflops: (8 * rows * width * words) / median("gradient") / 1e6, gradientSkipMs: median("skip"),
        },
        rounds: 7,
      };
    },
  };
}

/** A step of the spherical Z-loss, forward, backward and update of all weights: its time for vocabularies from a thousand to a million words. */
function sphericalCase(rows: number, width: number): Case {
  const sizes = [1e3, 1e4, 1e5, 1e6];
  return versus(`spherical Z-loss step ${rows}x${width}`, "all logits of 1,000 classes, forward and gradient of the hidden states, in float64", async ({ seed }) => {
    const { SphericalHead } = await largeVocabulary(), x = logits(rows * width, seed, 1), hidden = { data: x, shape: [rows, width] }, y = Int32Array.from({ length: rows }, (_, b) => (b * 7919) % sizes[0]);
    const w = logits(sizes[0] * width, seed + 1, 0.1), ours = SphericalHead.from({ data: w, shape: [sizes[0], width] });
    const heads = sizes.map((count) => SphericalHead.from({ data: logits(count * width, seed + 1, 0.1), shape: [count, width] }));
    return {
      ours: () => { const { loss, grad } = ours.withGrad(hidden, y); return Float64Array.of(loss.item(), ...grad.data); },
      loops: () => plainSpherical(x, w, y, width),
      tolerance: 1e-4,
      absolute: 1e-6,
      beside: Object.fromEntries(heads.map((head, i) => [`step of ${sizes[i]}`, () => void head.step(hidden, y, 1e-6)])),
      figures: (median) => {
        const ms = sizes.map((count) => median(`step of ${count}`));
        return { ...Object.fromEntries(sizes.map((count, i) => [`stepMs${count}`, ms[i]])), millionOverThousand: ms[3] / ms[0], slowestOverFastest: Math.max(...ms) / Math.min(...ms) };
      },
    };
  });
}

/** Loss and gradient of the hidden states with all logits: a = 1, b = 10. */
function plainSpherical(x: Float32Array, w: Float32Array, y: Int32Array, width: number): Float64Array {
  const rows = y.length, count = w.length / width, out = new Float64Array(1 + x.length), o = new Float64Array(count);
  for (let b = 0; b < rows; b++) {
    let mean = 0, squares = 0;
    for (let c = 0; c < count; c++) {
      o[c] = 0;
      for (let d = 0; d < width; d++) o[c] += x[b * width + d] * w[c * width + d];
      mean += o[c] / count;
    }
    for (let c = 0; c < count; c++) squares += (o[c] - mean) ** 2 / count;
    const deviation = Math.sqrt(squares), z = (o[y[b]] - mean) / deviation, slope = -1 / (1 + Math.exp(z - 10)) / deviation / rows;
    out[0] += Math.log1p(Math.exp(10 - z)) / rows;
    for (let c = 0; c < count; c++) for (let d = 0, g = slope * (Number(c === y[b]) - (1 + (z * (o[c] - mean)) / deviation) / count); d < width; d++) out[1 + b * width + d] += g * w[c * width + d];
  }
  return out;
}

/** Value and gradient of the cross-entropy of given logits, in softmax passes of the same rounds, and the loss of TensorFlow.js without a gradient. Arrays in, arrays out. */
function crossEntropyCase(rows: number, classes: number): Case {
  return versus(`crossEntropy and gradient ${rows}x${classes}`, "TensorFlow.js: softmaxCrossEntropy of one-hot labels, forward only", async ({ library: { softmax }, peers, seed }) => {
    const { crossEntropy } = await import("@logits/losses/classification"), x = logits(rows * classes, seed, 3), z = { data: x, shape: [rows, classes] }, y = Int32Array.from({ length: rows }, (_, b) => (b * 7919) % classes);
    const beside: Record<string, () => void> = { pass: () => void softmax(z), value: () => void crossEntropy(z, y) };
    if (peers.some(({ name }) => name === "tfjs-wasm")) {
      // The peer has set its backend up.
      const tf = createRequire(import.meta.url)("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core"), hot = new Float32Array(x.length);
      y.forEach((label, b) => (hot[b * classes + label] = 1));
      const labels = tf.tensor(hot, [rows, classes], "float32");
      beside.tfjs = () => tf.tidy(() => void tf.losses.softmaxCrossEntropy(labels, tf.tensor(x, [rows, classes], "float32")).dataSync());
    }
    return {
      ours: () => { const { loss, grad } = crossEntropy.withGrad(z, y); return [loss.item(), ...grad.data.subarray(0, 1000)]; },
      loops: () => plainCrossEntropy(x, y, classes),
      tolerance: 1e-5,
      absolute: 1e-7 / rows,
      beside: { ...beside, all: () => void crossEntropy.withGrad(z, y) },
      figures: (median) => ({ softmaxPassMs: median("pass"), softmaxPasses: median("all") / median("pass"), valueOnlyPasses: median("value") / median("pass"), ...(beside.tfjs && { tfjsForwardMs: median("tfjs"), timesTfjsForward: median("tfjs") / median("all") }) }),
    };
  });
}

/** The mean loss, and the first 1,000 elements of its gradient. */
function plainCrossEntropy(x: Float32Array, y: Int32Array, classes: number): Float64Array {
  const grad = new Float64Array(x.length), rows = y.length;
  let loss = 0;
  for (let b = 0, at = 0; b < rows; b++, at += classes) {
    let top = -Infinity, sum = 0;
    for (let c = 0; c < classes; c++) top = Math.max(top, x[at + c]);
    for (let c = 0; c < classes; c++) sum += grad[at + c] = Math.exp(x[at + c] - top);
    for (let c = 0; c < classes; c++) grad[at + c] /= sum * rows;
    grad[at + y[b]] -= 1 / rows;
    loss += (top + Math.log(sum) - x[at + y[b]]) / rows;
  }
  return Float64Array.of(loss, ...grad.subarray(0, 1000));
}

/** One list, in the order of the table. */
const CASES: readonly Case[] = [crossEntropyCase(32, 151_936), crossEntropyCase(256, 1000), crossEntropyCase(50_000, 10), linearCrossEntropyCase(128, 768, 32_000), sphericalCase(32, 32), supConCase(2048, 256)];

export const losses: Suite = {
  name: "losses",
  about: "cross-entropy of a linear layer beside the peers' product and softmax, losses whose cost does not depend on the vocabulary, losses over all pairs of a batch",
  cases: CASES,
};
