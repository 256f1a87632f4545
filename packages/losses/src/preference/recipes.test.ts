import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { dpoLoss, ipoLoss, noiseContrastiveAlignmentLoss, simpoLoss, slicLoss } from "./index.ts";

type Vector = ArrayLike<number>;
const random = testRandom(9);

describe("gradient entanglement", () => {
  const { entanglement } = recipe<{ entanglement(chosen: Vector, rejected: Vector, slopes: { chosen: number; rejected: number }): { inner: number; chosen: number; rejected: number; entangled: boolean; cosine: number } }>("gradient-entanglement", ["entanglement"], {});
  // Two answers of a softmax over five, whose scores are linear in three parameters.
  const features = Array.from({ length: 5 }, () => Float64Array.from({ length: 3 }, () => random.normal()));
  const logProb = (theta: Vector, answer: number): number => {
    const s = features.map((f) => f.reduce((sum, v, i) => sum + v * theta[i], 0));
    return s[answer] - Math.log(s.reduce((sum, v) => sum + Math.exp(v), 0));
  };

  it("foretells what a small step does to both answers under any loss [paper:a-common-pitfall-of-margin-based-language-model-alignment]", () => {
    const theta = Float64Array.from({ length: 3 }, () => random.normal()), [w, l] = [0, 3].map((answer) => [logProb(theta, answer), finiteDifferenceGradient((x) => logProb(x, answer), theta)] as const);
    const losses = [dpoLoss, ipoLoss, slicLoss, noiseContrastiveAlignmentLoss].map((loss) => loss.withGrad([w[0]], [l[0]], [-2], [-1.5], { beta: 0.5 }).grads);
    for (const { chosen, rejected } of [...losses, simpoLoss.withGrad([w[0]], [l[0]]).grads]) {
      const slopes = { chosen: chosen.item(), rejected: rejected.item() }, told = entanglement(w[1], l[1], slopes), rate = 1e-5, next = theta.map((v, i) => v - rate * (slopes.chosen * w[1][i] + slopes.rejected * l[1][i]));
      // To the first order: the second is rate times smaller.
      expectClose((logProb(next, 0) - w[0]) / rate, told.chosen, { atol: 1e-4 });
      expectClose((logProb(next, 3) - l[0]) / rate, told.rejected, { atol: 1e-4 });
      expect(told.entangled).toBe(told.chosen < 0 || told.rejected > 0);
    }
  });

  it("is the inner product against the norms for losses of the margin", () => {
    const of = (g: number[], h: number[]): boolean => entanglement(g, h, { chosen: -0.3, rejected: 0.3 }).entangled;
    expect([of([1, 0], [0, 1]), of([1, 0], [2, 0]), of([2, 0], [1, 0]), of([1, 0], [0.5, 1]), of([1, 0], [-1, 0])]).toEqual([false, true, true, false, false]);
    expect(entanglement([1, 0], [0, 0], { chosen: -1, rejected: 1 }).cosine).toBe(NaN);
  });
});
