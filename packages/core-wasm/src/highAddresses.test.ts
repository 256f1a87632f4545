import { Tensor } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { ctcPath, ctcSums } from "./families/alignments.ts";
import { chainForwardBackward, chainViterbi, compileChain } from "./families/chains.ts";
import { labelSums } from "./families/labels.ts";
import { pairsWon } from "./families/order.ts";
import { drawToken } from "./families/sampling.ts";
import { intervalSums, segmentPairs, segmentShares, segmentSums, segmentTables } from "./families/segments.ts";
import { labelRanks, massSets } from "./families/sets.ts";
import { similarityPass } from "./families/similarity.ts";
import { vocabularyPass } from "./families/vocabulary.ts";
import { allocate } from "./heap.ts";
import { argsort, logitStatistics, sampleCategorical, softmax, temperatureMoments, topK } from "./index.ts";
import { scratch } from "./memory.ts";

const random = testRandom(17);
const floats = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
const x = new Tensor("float32", [9, 21], floats(189)), labels = Int32Array.from({ length: 9 }, () => random.integer(21)), p = softmax(x), row = floats(2000);
const ctc = { scores: x, classes: 21, labels: Int32Array.of(1, 2, 2), blank: 0 };
const tables = segmentTables({ labels: 3, longest: 4, durations: floats(12), transitions: floats(9), start: floats(3), end: floats(3) }), sequence = { length: 20, content: floats(60) }, intervals = floats(300);
const transitions = new Tensor("float32", [5, 5], floats(25)), emissions = new Tensor("float32", [30, 5], floats(150)), far = new Tensor("float32", [30, 5], floats(150).map((v) => 500 * v)), few = new Tensor("float32", [5, 5], transitions.data.map((v, i) => (i % 5 === (i / 5 + 1) % 5 ? v : -Infinity)));
const words = new Tensor("float32", [40, 21], floats(840)), spread = new Tensor("float32", [9, 3], floats(27));

/** What a visitor sees, and what is returned. */
const seen = (run: (see: (values: ArrayLike<number>) => void) => unknown): unknown[] => {
  const all: number[][] = [], result = run((values) => void all.push(Array.from(values)));
  return [result, all];
};
const CASES: readonly (readonly [name: string, run: () => unknown])[] = [
  ["argsort", () => argsort(x)],
  ["topK", () => topK(x, 3)],
  ["logitStatistics", () => logitStatistics(x)],
  ["temperatureMoments", () => temperatureMoments(x, new Tensor("int32", [9], labels))],
  ["sampleCategorical", () => sampleCategorical(p, 4, { seed: 3 })],
  ["labelRanks", () => labelRanks(p.data, labels, 21)],
  ["massSets", () => { const out = { mask: new Uint8Array(189), sizes: new Int32Array(9) }; massSets(p.data, 21, new Float64Array(9).fill(0.8), new Float64Array(9), out); return out; }],
  ["pairsWon", () => pairsWon(x.data, Uint8Array.from(x.data, (v) => Number(v > 0.3)))],
  ["labelSums", () => seen((see) => { const grad = new Float32Array(189); labelSums("test", x, labels, (_, gap, others, max, scales) => { see([gap, others, max]); scales.scale = 1; }, grad); return grad; })],
  ["ctcSums", () => { const grad = new Float32Array(189); return [ctcSums("test", ctc, { grad }), grad]; }],
  ["ctcPath", () => ctcPath("test", ctc)],
  ["segmentSums", () => segmentSums("test", tables, sequence, { keep: true })],
  ["segmentShares", () => { const { last, first } = segmentSums("test", tables, sequence, { keep: true }), lengths = new Float64Array(12), content = new Float64Array(60); segmentShares(tables, sequence, first!, last, last, { lengths, content, weight: 1 }); return [lengths, content]; }],
  ["segmentPairs", () => { const { last, first } = segmentSums("test", tables, sequence, { keep: true }), sums = new Float64Array(9); segmentPairs(tables, last, first!, sums, 1); return sums; }],
  ["intervalSums", () => seen((see) => intervalSums("test", { frames: 10, tracks: 3, scores: (t) => intervals.subarray(t * 30, t * 30 + 3 * (t + 1)), shared: true }, { posteriors: (_, __, q) => see(q) }))],
  ["drawToken", () => [0.1, 0.9].map((u) => drawToken("test", row, 0, { temperature: 0.7, topK: 50, topP: 0.9, typicalP: 0.9, minP: 0.01 }, u))],
  ["similarityPass", () => seen((see) => similarityPass(spread, undefined, 3, "euclidean", (_, distances) => see(distances), true))],
  ["vocabularyPass", () => vocabularyPass("test", { hidden: x, weights: words, rows: Int32Array.of(0, 4), labels, smoothing: 0.1, zLoss: 0, softCap: 0, skip: 0, k: 2 }, new Float64Array(9).fill(1))],
  ...(["dense", "sparse"] as const).flatMap((structure) => [chainForwardBackward, chainViterbi].map((run) => [`${run.name}, ${structure}`, () => {
    const chain = compileChain(transitions, { structure });
    try {
      return run(chain, emissions);
    } finally {
      chain.dispose();
    }
  }] as const)),
  ["chainForwardBackward, extended", () => { const chain = compileChain(few); try { return chainForwardBackward(chain, far); } finally { chain.dispose(); } }],
];

/** All numbers of a result. */
function numbers(result: unknown): number[] {
  if (typeof result === "number" || typeof result === "boolean") return [Number(result)];
  if (result instanceof Tensor) return Array.from(result.data as ArrayLike<number>);
  if (ArrayBuffer.isView(result)) return Array.from(result as unknown as ArrayLike<number>);
  return Object.values(result ?? {}).flatMap(numbers);
}

// Resident tensors can fill 4 GiB; from 2 GiB on an address has its highest bit set.
describe("addresses beyond 2 GiB", () => {
  const want = CASES.map(([, run]) => numbers(run()));
  beforeAll(() => {
    // Address space, not memory: nothing is written to it.
    allocate(2 ** 31);
    expect(scratch(2 ** 21)).toBeGreaterThan(2 ** 31);
    while (allocate(64) < 2 ** 31);
  });

  it.each(CASES.map(([name, run], i) => [name, run, want[i]] as const))("give the same bits: %s", (_, run, before) => {
    expect(before.length).toBeGreaterThan(0);
    expectExact(numbers(run()), before);
  });
});
