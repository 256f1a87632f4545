import { createRequire } from "node:module";
import { logits } from "../inputs.ts";
import type { Case } from "./suite.ts";
import { versus } from "./versus.ts";

const TEMPERATURE = 0.1;

/** Value and gradient of the supervised contrastive loss of a batch, and the memory it takes; of its first quarter beside plain loops and a composition of TensorFlow.js's operations. */
export function supConCase(rows: number, width: number): Case {
  return versus(`supCon and gradient ${rows}x${width}`, "TensorFlow.js: the same loss and its gradient composed of its operations, resident embeddings", async ({ library: { core, matmul }, peers, seed }) => {
    const { supConLoss } = await import("@logits/losses/contrastive"), { similarityPass } = await import("@logits/core-wasm/similarity");
    const whole = logits(rows * width, seed, 1), z = { data: whole, shape: [rows, width] }, labels = Int32Array.from({ length: rows }, (_, b) => (b * 7919) % 26), options = { temperature: TEMPERATURE };
    // The loops would need seconds for the whole.
    const few = rows / 4, x = whole.subarray(0, few * width), y = labels.subarray(0, few), part = { data: x, shape: [few, width] };
    const beside: Record<string, () => void> = { all: () => void supConLoss.withGrad(z, labels, options), value: () => void supConLoss(z, labels, options), product: () => void matmul(z, z, { transposeB: true }) };
    let tfjsDifference = Number.NaN;
    if (peers.some(({ name }) => name === "tfjs-wasm")) {
      // The peer has set its backend up.
      const tf = createRequire(import.meta.url)("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
      const data = tf.tensor(x, [few, width], "float32"), others = new Float32Array(few * few).fill(1), share = new Float32Array(few * few);
      for (let i = 0; i < few; i++) {
        let count = -1;
        for (let j = 0; j < few; j++) count += Number(y[i] === y[j]);
        for (let j = 0; j < few; j++) if (i !== j && y[i] === y[j]) share[i * few + j] = 1 / count;
        others[i * few + i] = 0;
      }
      const open = tf.tensor(others, [few, few], "float32"), weights = tf.tensor(share, [few, few], "float32");
      // The gradient by hand, with as few operations: the Node build of tfjs-core registers no gradients. Cosines are at most 1, so that is what exponents are measured from.
      const run = (): number => tf.tidy(() => {
        const norms = tf.sqrt(tf.sum(tf.square(data), 1, true)), u = tf.div(data, norms), s = tf.sub(tf.div(tf.matMul(u, u, false, true), TEMPERATURE), 1 / TEMPERATURE);
        const e = tf.mul(tf.exp(s), open), sums = tf.sum(e, 1, true), value = tf.mean(tf.sub(tf.log(sums), tf.sum(tf.mul(s, weights), 1, true)));
        const g = tf.div(tf.sub(tf.div(e, sums), weights), TEMPERATURE * few), du = tf.add(tf.matMul(g, u), tf.matMul(g, u, true, false));
        tf.div(tf.sub(du, tf.mul(u, tf.sum(tf.mul(du, u), 1, true))), norms).dataSync();
        return value.dataSync()[0];
      });
      tfjsDifference = Math.abs(run() - supConLoss(part, y, options).item());
      beside.tfjs = () => void run();
    }
    // Both sides, their gradients, the tile: what a pass holds at its height. The gradient that is returned comes on top.
    const before = core.bytesInUse;
    let height = 0;
    similarityPass({ data: whole }, undefined, width, "cosine", () => { height = Math.max(height, core.bytesInUse); }, true);
    return {
      ours: () => { const { loss, grad } = supConLoss.withGrad(part, y, options); return [loss.item(), ...grad.data.subarray(0, 1000)]; },
      loops: () => plainSupCon(x, y, width),
      tolerance: 1e-4,
      absolute: 1e-6 / few,
      beside,
      figures: (median) => ({
        memoryMiB: (height - before + 4 * whole.length) / 1048576, wholeMs: median("all"), valueMs: median("value"), products: median("all") / median("product"), gflops: (6 * rows * rows * width) / median("all") / 1e6,
        ...(beside.tfjs && { tfjsMs: median("tfjs"), timesTfjs: median("tfjs") / median("ours"), tfjsDifference }),
      }),
    };
  });
}

/** The mean loss, and the first 1,000 elements of its gradient: the similarities once, then two products, float32 arrays and float64 sums. */
function plainSupCon(x: Float32Array, y: Int32Array, width: number): Float64Array {
  const rows = y.length, u = new Float32Array(x.length), norms = new Float64Array(rows), s = new Float32Array(rows * rows), du = new Float64Array(x.length), out = new Float64Array(1001);
  for (let i = 0; i < rows; i++) {
    for (let f = 0; f < width; f++) norms[i] += x[i * width + f] ** 2;
    norms[i] = Math.sqrt(norms[i]);
    for (let f = 0; f < width; f++) u[i * width + f] = x[i * width + f] / norms[i];
  }
  for (let i = 0; i < rows; i++) {
    const row = s.subarray(i * rows, (i + 1) * rows), own = u.subarray(i * width, (i + 1) * width);
    let top = -Infinity, sum = 0, count = 0, target = 0;
    for (let j = 0; j < rows; j++) {
      let dot = 0;
      for (let f = 0, at = j * width; f < width; f++, at++) dot += own[f] * u[at];
      row[j] = dot / TEMPERATURE;
      if (i !== j) top = Math.max(top, row[j]);
      if (i !== j && y[i] === y[j]) {
        count++;
        target += row[j];
      }
    }
    for (let j = 0; j < rows; j++) {
      row[j] = i === j ? 0 : Math.exp(row[j] - top);
      sum += row[j];
    }
    out[0] += (Math.log(sum) + top - target / count) / rows;
    for (let j = 0; j < rows; j++) row[j] = (row[j] / sum - (i !== j && y[i] === y[j] ? 1 / count : 0)) / TEMPERATURE / rows;
  }
  for (let i = 0; i < rows; i++) {
    const to = du.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < rows; j++) {
      const g = s[i * rows + j] + s[j * rows + i];
      for (let f = 0, at = j * width; f < width; f++, at++) to[f] += g * u[at];
    }
  }
  for (let at = 0; at < 1000; at++) {
    const i = Math.floor(at / width);
    let along = 0;
    for (let f = i * width; f < (i + 1) * width; f++) along += du[f] * u[f];
    out[1 + at] = (du[at] - along * u[at]) / norms[i];
  }
  return out;
}
