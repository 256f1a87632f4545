import { expectExact, testRandom } from "@logits/testkit";
import { expect, it } from "vitest";
import { SplitConformal } from "./index.ts";

it("keepProbabilities: false gives the same sets, also empty ones that get a class, over several pieces", () => {
  const random = testRandom(3), rows = 700, classes = 257, logits = { data: Float32Array.from({ length: rows * classes }, () => 3 * random.normal()), shape: [rows, classes] };
  const labels = Int32Array.from({ length: rows }, () => random.integer(classes));
  for (const method of ["aps", "raps", "lac", "topk", "margin"] as const) {
    const fitted = SplitConformal.fit(logits, labels, { method, ...(method === "raps" && { penalty: 0.01, freeRanks: 2 }) });
    for (const alpha of [0.1, 0.95, 1]) {
      const kept = fitted.predictionSet(logits, { alpha }), passed = fitted.predictionSet(logits, { alpha, keepProbabilities: false });
      expectExact(passed.mask, kept.mask, `${method} at ${alpha}`);
      expectExact(passed.sizes, kept.sizes);
      expect(() => passed.probabilities).toThrowErrorMatchingInlineSnapshot(`[RangeError: PredictionSets.probabilities: expected \`keepProbabilities\` true in \`predictionSet\`, got false]`);
    }
  }
});
