import { logits } from "../inputs.ts";
import * as plain from "./plainChains.ts";
import type { Case, Suite } from "./suite.ts";
import { versus } from "./versus.ts";

const chains = (): Promise<typeof import("@logits/core-wasm/chains")> => import("@logits/core-wasm/chains");
const TIED: plain.Tied = { types: 8, stay: 0.25, open: -0.5, close: 0.125, reopen: -0.75, inside: 0.375, finish: 0.0625 };

/** Sequences of T rows, as many as B, with dense transitions. */
function dense(batch: number, T: number, K: number, seed: number): { e: Float32Array; A: Float32Array; offsets: Int32Array } {
  return { e: logits(batch * T * K, seed, 3), A: logits(K * K, seed + 1, 1), offsets: Int32Array.from({ length: batch + 1 }, (_, b) => b * T) };
}

const nsPerToken = (tokens: number) => (median: (who: string) => number): Record<string, number> => ({ nsPerToken: (median("ours") * 1e6) / tokens, ...(Number.isNaN(median("textbook")) ? {} : { textbookRatio: median("textbook") / median("ours") }) });

function forwardBackward(batch: number, T: number, K: number, reference: string): Case {
  return versus(`forward-backward B${batch} T${T} K${K}`, reference, async ({ seed }) => {
    const { compileChain, chainForwardBackward } = await chains(), { e, A, offsets } = dense(batch, T, K, seed), A64 = Float64Array.from(A), chain = compileChain({ data: A, shape: [K, K] });
    const items = Array.from({ length: batch }, (_, b) => e.subarray(b * T * K, (b + 1) * T * K));
    const run = (f: typeof plain.scaledForwardBackward): Float64Array => Float64Array.from(items.flatMap((item) => { const { logPartition, marginals } = f(item, A64, T, K); return [logPartition, ...marginals.subarray(0, 8 * K)]; }));
    return {
      ours: () => {
        const { logPartition, marginals } = chainForwardBackward(chain, { data: e, shape: [batch * T, K] }, { offsets, marginals: true, pairs: "counts" });
        return Float64Array.from(items.flatMap((_, b) => [logPartition[b], ...marginals!.subarray(b * T * K, b * T * K + 8 * K)]));
      },
      loops: () => run(plain.scaledForwardBackward),
      // float32 weights: log Z relative, marginals against 1e-3.
      tolerance: 1e-5,
      absolute: 5e-6,
      beside: { textbook: () => void run(plain.textbookForwardBackward) },
      figures: nsPerToken(batch * T),
    };
  });
}

function viterbi(batch: number, T: number, K: number, reference: string): Case {
  return versus(`Viterbi B${batch} T${T} K${K}`, reference, async ({ seed }) => {
    const { compileChain, chainViterbi } = await chains(), { e, A, offsets } = dense(batch, T, K, seed), A64 = Float64Array.from(A), chain = compileChain({ data: A, shape: [K, K] });
    return {
      ours: () => chainViterbi(chain, { data: e, shape: [batch * T, K] }, { offsets }).scores,
      loops: () => Float64Array.from({ length: batch }, (_, b) => { const item = e.subarray(b * T * K, (b + 1) * T * K); return plain.pathScore(item, A64, plain.viterbi(item, A64, T, K), K); }),
      tolerance: 1e-7,
      figures: nsPerToken(batch * T),
    };
  });
}

/** The scores of a token classifier over 131,072 tokens, 33 BIOES labels, tied transitions. */
function long(name: string, reference: string, kind: "path" | "posteriors"): Case {
  const T = 131_072, K = 33;
  return versus(name, reference, async ({ seed }) => {
    const { compileChain, chainForwardBackward, chainViterbi } = await chains(), A = plain.tiedMatrix(TIED), e = logits(T * K, seed, 3), given = { data: e, shape: [T, K] }, chain = compileChain({ data: A, shape: [K, K] });
    if (kind === "path") return { ours: () => chainViterbi(chain, given).scores, loops: () => [plain.pathScore(e, A, plain.tiedViterbi(e, TIED, T), K)], tolerance: 1e-8, figures: nsPerToken(T) };
    const A64 = Float64Array.from(A), shown = 64 * K;
    return {
      ours: () => chainForwardBackward(chain, given, { marginals: true }).marginals!.subarray(0, shown),
      loops: () => plain.scaledForwardBackward(e, A64, T, K).marginals.subarray(0, shown),
      tolerance: 1e-4,
      absolute: 5e-6,
      figures: nsPerToken(T),
    };
  });
}

export const structured: Suite = {
  name: "structured",
  about: "chains beside the same recursion in plain float64 JavaScript; the textbook's log space as a second ratio",
  cases: [
    forwardBackward(8, 512, 33, "pytorch-crf with autograd: 66.5 ms; torch-struct: 2357 ms"),
    forwardBackward(32, 128, 9, "pytorch-crf with autograd: 10.5 ms; torch-struct: 59 ms"),
    viterbi(8, 512, 64, "pytorch-crf decode of 4,096 tokens: 37.7 ms"),
    viterbi(32, 128, 9, "pytorch-crf decode: 10.3 ms"),
    long("BIOES path T131072 K33", "none", "path"),
    long("BIOES posteriors T131072 K33", "dense recursion in plain JavaScript", "posteriors"),
  ],
};
