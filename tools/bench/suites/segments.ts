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

export const segments: Suite = {
  name: "segments",
  about: "segments and alignments beside the same recursion in plain float64 JavaScript; the textbook's log space as a second ratio",
  cases: [ctc(1500, 32, 300, "none"), ctc(300, 32, 40, "none")],
};
