import {
  argsort, configureWasm, entropy, entmax15, erf, exp, expm1, gumbelSoftmax, log, log1p, logitStatistics, logSoftmax, logSumExp, matmul, sampleCategorical, sigmoid, softmax, softplus,
  sparsemax, sum, tanh, topK, twoPassSoftmax,
} from "@logits/core-wasm";
import { ctcSums } from "@logits/core-wasm/alignments";
import { labelSums } from "@logits/core-wasm/labels";
import { drawToken } from "@logits/core-wasm/sampling";
import { exp as exp64, log as log64, pow } from "@logits/statistics";
import { Tensor, randomSource } from "@logits/tensor";

/** A 64-bit FNV-1a hash of the bits of many results in deterministic mode: the same in every engine, or something is not deterministic. */
export function digest(): Record<string, string> {
  configureWasm({ deterministic: true });
  const random = randomSource(20261121);
  const rows = (shape: number[], scale: number): Tensor<"float32"> => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (random.uniform() - 0.5) * 2 * scale);
    for (let i = 0; i < data.length; i += 97) data[i] = -Infinity;
    return new Tensor("float32", shape, data);
  };
  const finite = (shape: number[], scale: number): Tensor<"float32"> => {
    const x = rows(shape, scale);
    return new Tensor("float32", shape, x.data.map((v) => (v === -Infinity ? 0 : v)));
  };
  const out: Record<string, string> = {};
  const shapes = [[7, 3], [33, 10], [5, 100], [3, 1000], [1, 32000]];
  const over = (name: string, f: (x: Tensor<"float32">) => Tensor | readonly Tensor[], make = rows): void => {
    let hash = "";
    for (const shape of shapes) for (const result of [f(make(shape, 20))].flat() as Tensor[]) hash = fnv(result.data, hash);
    out[name] = hash;
  };
  over("softmax", (x) => softmax(x, { temperature: 1.7 }));
  over("logSoftmax", (x) => logSoftmax(x));
  over("logSumExp", (x) => logSumExp(x));
  over("twoPassSoftmax", (x) => twoPassSoftmax(x));
  over("entropy", (x) => entropy(x));
  over("sum", (x) => sum(x), finite);
  over("sparsemax", (x) => sparsemax(x));
  over("entmax15", (x) => entmax15(x));
  over("argsort", (x) => argsort(x));
  over("topK", (x) => { const { values, indices } = topK(x, 3); return [values, indices]; });
  over("gumbelSoftmax", (x) => gumbelSoftmax(x, { temperature: 0.7, seed: 5 }));
  over("sampleCategorical", (x) => sampleCategorical(x, 4, { seed: 5 }));
  over("drawToken", (x) => [{ topP: 0.9 }, { topK: 7 }, { minP: 0.01 }, { typicalP: 0.8 }, { eta: 0.01 }, {}].map((rules) => {
    const { token, kept, logProbability, drawLogProbability, entropy } = drawToken("digest", x.data.subarray(0, x.shape[1]), 0, { temperature: 0.8, ...rules }, 0.7);
    return new Tensor("float32", [5], Float32Array.of(token, kept, logProbability, drawLogProbability, entropy));
  }));
  over("labelSums", (x) => {
    const grad = new Float32Array(x.size), sums: number[] = [];
    labelSums("digest", x, Int32Array.from({ length: x.shape[0] }, (_, i) => i % x.shape[1]), (row, gap, others, max, scales) => {
      sums.push(gap, others, max);
      scales.scale = 1 / (1 + others);
      scales.label = row;
    }, grad);
    return [new Tensor("float32", [sums.length], Float32Array.from(sums)), new Tensor("float32", [x.size], grad)];
  }, finite);
  over("ctcSums", (x) => {
    const grad = new Float32Array(x.size), { mantissa, exponent } = ctcSums("digest", { scores: x, classes: x.shape[1], labels: Int32Array.of(1, 2).subarray(0, x.shape[0]), blank: 0 }, { grad });
    return [new Tensor("float32", [2], Float32Array.of(mantissa, exponent)), new Tensor("float32", [x.size], grad)];
  }, finite);
  for (const [name, f] of Object.entries({ exp, log, log1p, expm1, tanh, erf, sigmoid, softplus })) over(name, (x) => f(x), finite);
  out.matmul = fnv(matmul(finite([65, 70], 3), finite([70, 33], 3)).data, "");
  over("logitStatistics", (x) => Object.values(logitStatistics(x, { temperature: 1.7 })));
  out.float64 = fnv(Float64Array.from({ length: 3000 }, (_, i) => exp64(i / 100 - 15) + log64(i + 0.5) + pow(i + 1, 0.3)), "");
  return out;
}

function fnv(data: ArrayBufferView, seed: string): string {
  let hash = seed ? BigInt(`0x${seed}`) : 0xcbf29ce484222325n;
  for (const byte of new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
