import { logits } from "../inputs.ts";
import * as plain from "./plainSegments.ts";
import type { Case, Suite } from "./suite.ts";
import { versus } from "./versus.ts";

/** Loss and gradient of one utterance: a speech model's frames, peaked at an alignment. */
function ctc(T: number, C: number, S: number, reference: string): Case {
  return versus(`CTC loss and gradient T${T} C${C} S${S}`, reference, async ({ seed }) => {
    const { ctcSums } = await import("@logits/core-wasm/alignments"), { Tensor } = await import("@logits/tensor");
    const data = logits(T * C, seed, 2), labels = Int32Array.from({ length: S }, (_, i) => 1 + ((7 * i * i + 3 * i) % (C - 1))), shown = Math.min(T * C, 4096);
    for (let t = 0; t < T; t++) data[t * C + (t % 5 === 2 ? labels[Math.floor((t * S) / T)] : 0)] += 6;
    const scores = new Tensor("float32", [T, C], data), grad = new Float32Array(T * C);
    return {
      ours: () => {
        const { mantissa, exponent, sums } = ctcSums("bench", { scores, classes: C, labels, blank: 0 }, { grad });
        return Float64Array.of(sums.reduce((sum, z) => sum + Math.log(z), 0) - Math.log(mantissa) - exponent * Math.LN2, ...grad.subarray(0, shown));
      },
      loops: () => {
        const got = plain.scaledCtc(data, T, C, labels, 0);
        return Float64Array.of(got.loss, ...got.grad.subarray(0, shown));
      },
      tolerance: 1e-5,
      absolute: 1e-5,
      beside: { textbook: () => void plain.textbookCtc(data, T, C, labels, 0) },
      figures: (median) => ({ nsPerState: (median("ours") * 1e6) / (T * (2 * S + 1)), textbookValueRatio: median("textbook") / median("ours") }),
    };
  });
}

/** log Z of a semi-Markov model. */
function semiMarkov(T: number, D: number, C: number): Case {
  return versus(`semi-CRF logPartition T${T} L${D} C${C}`, "none", async ({ seed }) => {
    const { segmentSums, segmentTables } = await import("@logits/core-wasm/segments"), { core } = await import("@logits/core-wasm");
    const given: plain.PlainSegments = { T, D, C, content: logits(T * C, seed, 1), durations: logits(D * C, seed + 1, 1), transitions: logits(C * C, seed + 2, 1), start: logits(C, seed + 3, 1), end: logits(C, seed + 4, 1) };
    const tables = segmentTables({ labels: C, longest: D, durations: given.durations, transitions: given.transitions, start: given.start, end: given.end });
    const before = core.memory.buffer.byteLength;
    return {
      ours: () => {
        const { last: { mantissas, exponents }, shifts } = segmentSums("bench", tables, { length: T, content: given.content });
        return Float64Array.of(shifts[T] + exponents[0] * Math.LN2 + Math.log(mantissas.reduce((sum, m, c) => sum + m * 2 ** (exponents[c] - exponents[0]) * Math.exp(given.end[c]), 0)));
      },
      loops: () => Float64Array.of(plain.scaledSegments(given)),
      tolerance: 1e-6,
      ...(T <= 1000 && { beside: { textbook: () => void plain.textbookSegments(given) } }),
      figures: (median) => ({ nsPerCell: (median("ours") * 1e6) / (T * D * C), ...(T <= 1000 && { textbookRatio: median("textbook") / median("ours") }), memoryGrownMiB: (core.memory.buffer.byteLength - before) / 2 ** 20, memoryMiB: core.memory.buffer.byteLength / 2 ** 20 }),
    };
  });
}

/** log Z of interval sets on parallel tracks, as a piano transcriber has 88 keys and two pedals. */
function intervals(T: number, K: number): Case {
  return versus(`interval semi-CRF logPartition T${T} tracks ${K}`, "none", async ({ seed }) => {
    const { intervalSums } = await import("@logits/core-wasm/segments"), scores = logits(T * T * K, seed, 1).map((x) => x - 4), step = T * K;
    return {
      ours: () => {
        const { mantissas, exponents } = intervalSums("bench", { frames: T, tracks: K, shared: true, scores: (t) => scores.subarray(t * step, t * step + (t + 1) * K) });
        return Float64Array.from(mantissas, (m, k) => Math.log(m) + exponents[k] * Math.LN2);
      },
      loops: () => plain.scaledIntervals(scores, T, K),
      tolerance: 1e-5,
      beside: { textbook: () => void plain.textbookIntervals(scores, T, K) },
      figures: (median) => ({ nsPerInterval: (median("ours") * 1e6) / ((K * T * (T + 1)) / 2), textbookRatio: median("textbook") / median("ours") }),
    };
  });
}

export const segments: Suite = {
  name: "segments",
  about: "segments and alignments beside the same recursion in plain float64 JavaScript; the textbook's log space as a second ratio",
  cases: [semiMarkov(100_000, 100, 24), semiMarkov(1000, 50, 12), intervals(689, 90), ctc(1500, 32, 300, "none"), ctc(300, 32, 40, "none")],
};
