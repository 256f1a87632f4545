import { createRequire } from "node:module";
import * as ort from "onnxruntime-web";
import { multiHeadAttentionModel } from "../models/onnx.ts";
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
