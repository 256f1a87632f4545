import { testRandom } from "@logits/testkit";
import { beforeAll, expect, it, vi } from "vitest";

type Any = any;
let core: Any, root: Any, normalizers: Any, tokens: Any, pooling: Any, linear: Any;

// WebAssembly memory that grows at every operation: views of resident tensors that were kept have length 0 then.
beforeAll(async () => {
  vi.resetModules();
  vi.doMock("../../core-wasm/src/memory.ts", async (original) => {
    const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
    return { ...memory, scratch(size: number) {
      memory.grow(1);
      return memory.scratch(size);
    } };
  });
  [{ core }, root, normalizers, tokens, pooling, linear] = await Promise.all([import("@logits/core-wasm"), import("./index.ts"), import("./normalizers/index.ts"), import("./tokens/index.ts"), import("./pooling/index.ts"), import("./linear/index.ts")]);
});

const random = (shape: number[], seed: number): Any => {
  const { normal } = testRandom(seed);
  return { dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()) };
};
const bits = (shape: number[]): Any => ({ dtype: "uint8", shape, data: Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Number(i % 3 !== 0)) });
const integers = (...data: number[]): Any => ({ dtype: "int32", shape: [data.length], data: Int32Array.from(data) });

/** The arguments with every tensor in WebAssembly memory. */
function resident(x: Any): Any {
  if (Array.isArray(x)) return x.map(resident);
  if (typeof x !== "object" || x === null || typeof x.forward === "function") return x;
  if (x.dtype === undefined) return Object.fromEntries(Object.entries(x).map(([name, value]) => [name, resident(value)]));
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data);
  return held;
}

/** A result as plain numbers. */
const numbers = (x: Any): Any => (x && x.data ? Array.from(x.data) : x && typeof x === "object" ? Object.fromEntries(Object.entries(x).map(([name, value]) => [name, numbers(value)])) : typeof x);

const q = random([2, 4, 7, 5], 1), k = random([2, 2, 9, 5], 2), v = random([2, 2, 9, 6], 3), upstream = random([2, 4, 7, 6], 4), each = random([2, 4, 7], 5), perHead = random([4], 6), table = random([4, 5], 7);
const narrowed = { mask: bits([7, 9]), bias: random([4, 1, 9], 8), lengths: integers(5, 9), documents: integers(0, 0, 0, 1, 1, 1, 2, 2, 2), ranges: { from: integers(0, 0, 0, 0, 0, 0, 0), to: integers(9, 9, 9, 9, 9, 9, 8) } };
const blocks = { size: 3, offsets: integers(0, 1, 2, 3), from: integers(0, 1, 2), to: integers(5, 7, 9) }, softmaxed = { ...narrowed, blocks, softCap: 3 };
const set = random([2, 8, 5], 9), protect = bits([8]), network = { hidden: random([3, 5], 1), hiddenBias: random([3], 2), gate: random([3, 5], 3), gateBias: random([3], 4), score: random([3], 5) };

const positive = (shape: number[], seed: number): Any => ({ ...random(shape, seed), data: random(shape, seed).data.map(Math.abs) }), gates = { ...random([2, 2, 9], 10), data: random([2, 2, 9], 10).data.map((x: number) => -Math.abs(x)) };

const cases: [name: string, run: (...given: Any[]) => unknown, ...given: Any[]][] = [
  ["attention", (o) => root.attention.withGrad(q, k, v, o), { ...softmaxed, sinks: perHead, upstream, upstreamLogSumExp: each }],
  ["attention, all arguments", (a, b, c, o) => root.attention.withGrad(a, b, c, o), q, k, v, { upstream }],
  ["a sigmoid", (o) => root.attention.withGrad(q, k, v, o), { normalizer: "sigmoid", sigmoidBias: perHead, upstream }],
  ["row normalisers", (a, b, c, o) => ["softmax", "sparsemax", "entmax15", "relu", "softplus"].map((name) => root.attention.withGrad(a, b, c, { ...o, normalizer: normalizers[name] })), q, k, v, { ...softmaxed, upstream }],
  ["toeplitz", (t) => root.attention.withGrad(q, k, v, { positionBias: root.toeplitz(t), positionWeights: root.toeplitz(t), normalizer: normalizers.softmax, upstream }), table],
  ["biases made before", (t, s) => {
    const made = [root.t5Bias(t), root.alibi(s), root.kerple("power", s, s)];
    core.memory.grow(1);
    return made.map((positionBias) => root.attention(q, k, v, { positionBias }));
  }, random([8, 4], 1), { dtype: "float32", shape: [4], data: Float32Array.of(1, 2, 1.5, 0.5) }],
  ["logCpb", (parameters, from, to, u) => {
    const { bias, gradient } = root.logCpb(parameters, from, to);
    return { bias, grads: gradient(u) };
  }, { hiddenWeights: random([3, 2], 1), hiddenBias: random([3], 2), outputWeights: random([2, 3], 3), outputBias: random([2], 4) }, random([4, 2], 5), random([5, 2], 6), random([2, 4, 5], 7)],
  ["mergeAttention", (parts) => root.mergeAttention(parts), [{ output: upstream, logSumExp: each }, { output: upstream, logSumExp: random([2, 4, 7], 9) }]],
  ["rotations", (positions, x) => new root.RotaryEmbedding(positions, { dimensions: 4 }).rotate(x), integers(0, 1, 2, 3, 4, 5, 6), q],
  ["entropy", (a, b, o) => tokens.attentionEntropy.withGrad(a, b, o), q, k, { ...softmaxed, upstream: each }],
  ["entropy with sinks", (a, b, o) => tokens.attentionEntropy.withGrad(a, b, o), q, k, { lengths: narrowed.lengths, sinks: perHead, upstream: each }],
  ["attention received", (a, b, o) => tokens.attentionReceived(a, b, o), q, k, { ...softmaxed, weights: each }],
  ["attention sink", (a, b, c, o) => tokens.attentionSink(a, b, c, o), q, k, v, { ...softmaxed, sink: 3 }],
  ["rollout", (layers, start) => tokens.attentionRollout(layers, { start }), [{ query: random([4, 5, 3], 1), key: random([2, 5, 3], 2) }, { query: random([4, 5, 3], 3), key: random([2, 5, 3], 4), options: { mask: bits([5, 5]) } }], random([2, 5], 5)],
  ["relevance", (a, b, c, o) => tokens.attentionRelevance(a, b, c, o), q, k, v, { mask: narrowed.mask, relevance: upstream }],
  ["relevance of a softmax", (a, b) => tokens.softmaxRelevance(a, b), random([2, 8], 1), random([2, 8], 3)],
  ["relevance of a product", (a, b, c) => tokens.matmulRelevance(a, b, c), random([2, 3, 4], 1), random([2, 4, 5], 2), random([2, 3, 5], 3)],
  ["relevance of a layer", (a, b, c, bias) => tokens.linearRelevance(a, b, c, { bias }), random([2, 3, 4], 1), random([5, 4], 2), random([2, 3, 5], 3), random([5], 4)],
  ["keepTokens", (a, b, o) => tokens.keepTokens.withGrad(a, b, o), set, random([2, 8], 1), { count: 6, always: protect, upstream: random([2, 6, 5], 2) }],
  ["mergeTokens", (a, o, x, y) => {
    const made = tokens.mergeTokens.withGrad(a, o);
    return [made, made.merge(x), made.unmerge(y)];
  }, set, { count: 1, metric: random([2, 8, 3], 3), sizes: { dtype: "float32", shape: [2, 8], data: Float32Array.from({ length: 16 }, (_, i) => 1 + (i % 3)) }, protect, upstream: random([2, 7, 5], 1) }, random([2, 8, 2], 4), random([2, 7, 2], 5)],
  ["pooling", (a, b, o) => pooling.attentionPooling.withGrad(a, b, o), set, network, { mask: bits([2, 8]), upstream: random([2, 5], 1) }],
  ["Hopfield step", (a, b, o) => pooling.hopfieldStep.withGrad(a, b, o), random([3, 5], 1), random([4, 5], 2), { softmaxOne: true, upstream: random([3, 5], 4) }],
  ["Hopfield retrieval", (a, b) => pooling.hopfieldRetrieve(a, b), random([3, 5], 1), random([4, 5], 2)],
  ["slots", (a, b, c, o) => pooling.slotAttention.withGrad(a, b, c, o), random([2, 3, 5], 1), random([2, 6, 5], 2), random([2, 6, 4], 3), { upstream: random([2, 3, 4], 4) }],
  ["a cache", (a, b, c, o) => ["float32", "float16", "int8"].map((dtype) => {
    const cache = new root.KeyValueCache({ heads: 2, features: 8, width: 8, dtype, pageSize: 64 });
    cache.append(b, c);
    const made = cache.attend(a, o);
    cache.dispose();
    return made;
  }), random([4, 3, 8], 1), random([2, 9, 8], 2), random([2, 9, 8], 3), { sinks: perHead }],
  ["linear attention", (a, b, c, o) => [linear.linearAttention.withGrad(a, b, c, o), linear.linearAttention.withGrad(a, b, c, { normalize: "count", countPower: o.logGates && perHead, featureMap: "exp", upstream: o.upstream })], q, k, v, { logGates: gates, upstream }],
  ["linear attention with maps of its own", (a, b, c, o) => ["relu", "exp", "cosine", "identity"].map((featureMap) => linear.linearAttention.withGrad(a, b, c, { ...o, featureMap, normalize: "count" })), q, k, v, { countPower: perHead, lengths: narrowed.lengths, upstream }],
  ["linear attention with a map that keeps its features in WebAssembly", (a, b, c, o) => linear.linearAttention.withGrad(a, b, c, { ...o, featureMap: { name: "held", apply: resident, gradient: (_: Any, u: Any) => resident(u) } }), q, k, v, { upstream }],
  ["hidden attention", (a, b, o) => linear.hiddenAttention(a, b, o), q, k, { logGates: gates }],
  ["a linear state", (a, b, c, o) => {
    const state = new linear.LinearAttentionState({ heads: 2, features: 5, width: 6 });
    state.append(b, c, o);
    return state.attend(a);
  }, random([4, 5], 1), random([2, 9, 5], 2), random([2, 9, 6], 3), { logGates: { ...gates, shape: [2, 9], data: gates.data.slice(0, 18) } }],
  ["selective scan", (u, delta, a, b, c, o) => linear.selectiveScan.withGrad(u, delta, a, b, c, o), random([2, 7, 3], 1), positive([2, 7, 3], 2), { ...positive([3, 4], 3), data: positive([3, 4], 3).data.map((x: number) => -x) }, random([2, 7, 4], 4), random([2, 7, 4], 5), { D: random([3], 6), state: random([2, 3, 4], 7), upstream: random([2, 7, 3], 8), upstreamState: random([2, 3, 4], 9) }],
  ["softmax-free attention", (a, b, c, o) => linear.softmaxFreeAttention.withGrad(a, b, c, o), random([2, 9, 4], 1), random([2, 9, 3], 2), random([2, 3, 4], 3), { upstream: random([2, 9, 3], 4) }],
];

it.each(cases)("%s: the same from resident tensors, though memory grows at every operation", (_name, run, ...given) => {
  const want = numbers(run(...given));
  expect(numbers(run(...given.map(resident)))).toEqual(want);
});
