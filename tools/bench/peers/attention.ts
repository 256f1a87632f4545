import { createRequire } from "node:module";
import * as ort from "onnxruntime-web";
import { groupQueryAttentionModel, multiHeadAttentionModel } from "../models/onnx.ts";
import type { Contender } from "../types.ts";

/** Attention of one sequence: query [H, T, D], keys and values [G, S, D]; the last query stands at the last key. */
export interface AttentionCase {
  heads: number;
  groups: number;
  queries: number;
  keys: number;
  size: number;
  causal: boolean;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

/** [groups, rows, size] to [heads, rows, size]. */
function repeated(x: Float32Array, groups: number, heads: number): Float32Array {
  const each = x.length / groups, out = new Float32Array(heads * each);
  for (let h = 0; h < heads; h++) out.set(x.subarray(Math.floor((h * groups) / heads) * each, (Math.floor((h * groups) / heads) + 1) * each), h * each);
  return out;
}

/** [heads, rows, size] to [rows, heads, size], or back with heads and rows exchanged. */
function turned(x: Float32Array, heads: number, rows: number, size: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let h = 0; h < heads; h++) for (let i = 0; i < rows; i++) out.set(x.subarray((h * rows + i) * size, (h * rows + i + 1) * size), (i * heads + h) * size);
  return out;
}

/** ONNX Runtime's MultiHeadAttention, its inputs in its own layout with heads repeated; that is not timed. */
export async function ortAttention({ heads, groups, queries, keys, size, causal, q, k, v }: AttentionCase): Promise<Contender> {
  const session = await ort.InferenceSession.create(multiHeadAttentionModel(heads, queries, keys, size, causal), { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const tensor = (x: Float32Array, rows: number): ort.Tensor => new ort.Tensor("float32", turned(x, heads, rows, size), [1, rows, heads * size]);
  const feeds = { q: tensor(q, queries), k: tensor(repeated(k, groups, heads), keys), v: tensor(repeated(v, groups, heads), keys) };
  let output = new Float32Array(0);
  return {
    async run(): Promise<void> {
      output = (await session.run(feeds)).y.data as Float32Array<ArrayBuffer>;
    },
    read: () => ({ values: turned(output, queries, heads, size) }),
    dispose: () => void session.release(),
  };
}

/** ONNX Runtime's GroupQueryAttention: grouped heads as they are; all keys but those of the queries come as its cache, which it copies to a longer one in every run. Always causal. */
export async function ortGroupedAttention({ heads, groups, queries, keys, size, q, k, v }: AttentionCase): Promise<Contender> {
  const session = await ort.InferenceSession.create(groupQueryAttentionModel(heads, groups, queries, keys, size), { executionProviders: ["wasm"], graphOptimizationLevel: "all" }), past = keys - queries;
  const rows = (x: Float32Array, from: number, to: number): Float32Array => {
    const out = new Float32Array(groups * (to - from) * size);
    for (let g = 0; g < groups; g++) out.set(x.subarray((g * keys + from) * size, (g * keys + to) * size), g * (to - from) * size);
    return out;
  };
  const fresh = (x: Float32Array): ort.Tensor => new ort.Tensor("float32", turned(rows(x, past, keys), groups, queries, size), [1, queries, groups * size]), held = (x: Float32Array): ort.Tensor => new ort.Tensor("float32", rows(x, 0, past), [1, groups, past, size]);
  const feeds = { q: new ort.Tensor("float32", turned(q, heads, queries, size), [1, queries, heads * size]), k: fresh(k), v: fresh(v), ...(past > 0 && { past_k: held(k), past_v: held(v) }) };
  let output = new Float32Array(0);
  return {
    async run(): Promise<void> {
      output = (await session.run(feeds)).y.data as Float32Array<ArrayBuffer>;
    },
    read: () => ({ values: turned(output, queries, heads, size) }),
    dispose: () => void session.release(),
  };
}

/** jax-js: dotProductAttention, jitted, its inputs in its own layout and its own memory. */
export async function jaxAttention({ heads, groups, queries, keys, size, causal, q, k, v }: AttentionCase): Promise<Contender> {
  const { numpy, nn, jit } = await import("@jax-js/jax");
  type JaxArray = ReturnType<typeof numpy.array>;
  const upload = (x: Float32Array, of: number, rows: number): JaxArray => numpy.array(turned(x, of, rows, size) as Float32Array<ArrayBuffer>, { shape: [rows, of, size] });
  const kept = [upload(q, heads, queries), upload(k, groups, keys), upload(v, groups, keys)], attend = jit((x: JaxArray, y: JaxArray, z: JaxArray) => nn.dotProductAttention(x, y, z, { isCausal: causal }));
  let output: JaxArray | undefined;
  return {
    async run(): Promise<void> {
      output?.dispose();
      // A call consumes its arguments; `.ref` keeps one for the next run.
      output = attend(kept[0].ref, kept[1].ref, kept[2].ref);
      await output.blockUntilReady();
    },
    read: () => ({ values: turned(output!.ref.dataSync() as Float32Array, queries, heads, size) }),
    dispose(): void {
      output?.dispose();
      for (const input of kept) input.dispose();
    },
  };
}

/** Plain JavaScript, a query at a time. */
export function loopsAttention({ heads, groups, queries, keys, size, causal, q, k, v }: AttentionCase): Contender {
  const out = new Float32Array(heads * queries * size), weights = new Float32Array(keys), scale = 1 / Math.sqrt(size);
  return {
    run(): void {
      out.fill(0);
      for (let row = 0; row < heads * queries; row++) {
        const first = Math.floor((Math.floor(row / queries) * groups) / heads) * keys, count = causal ? (row % queries) + keys - queries + 1 : keys, at = row * size;
        let top = -Infinity, total = 0;
        for (let j = 0; j < count; j++) {
          let s = 0;
          for (let f = 0, from = (first + j) * size; f < size; f++) s += q[at + f] * k[from + f];
          weights[j] = s * scale;
          if (weights[j] > top) top = weights[j];
        }
        for (let j = 0; j < count; j++) total += weights[j] = Math.exp(weights[j] - top);
        for (let j = 0; j < count; j++) {
          const w = weights[j] / total, from = (first + j) * size;
          for (let f = 0; f < size; f++) out[at + f] += w * v[from + f];
        }
      }
    },
    read: () => ({ values: out }),
    dispose: () => {},
  };
}

/** TensorFlow.js: two products and a softmax, heads repeated beforehand. */
export function tfjsAttention({ heads, groups, queries, keys, size, causal, q, k, v }: AttentionCase): Contender {
  const tf = createRequire(import.meta.url)("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
  const hidden = Float32Array.from({ length: queries * keys }, (_, at) => (causal && at % keys > Math.floor(at / keys) + keys - queries ? -1e9 : 0));
  const held = [tf.tensor(q, [heads, queries, size]), tf.tensor(repeated(k, groups, heads), [heads, keys, size]), tf.tensor(repeated(v, groups, heads), [heads, keys, size]), tf.tensor(hidden, [1, queries, keys])];
  const [x, y, z, mask] = held, scale = tf.scalar(1 / Math.sqrt(size));
  let output: import("@tensorflow/tfjs-core").Tensor | undefined;
  return {
    run(): void {
      output?.dispose();
      output = tf.tidy(() => {
        const scores = tf.mul(tf.matMul(x, y, false, true), scale);
        return tf.matMul(tf.softmax(causal ? tf.add(scores, mask) : scores), z);
      });
    },
    read: () => ({ values: output!.dataSync() as Float32Array }),
    dispose(): void {
      for (const tensor of [...held, scale]) tensor.dispose();
      output?.dispose();
    },
  };
}
