import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import * as tensors from "@logits/tensor";
import { describe, expect, it } from "vitest";
import * as classification from "../classification/index.ts";
import * as multiLabel from "../multi-label/index.ts";
import * as regression from "../regression/index.ts";
import * as segmentation from "./index.ts";
import { concordanceRef } from "../regression/regression.ref.ts";
import { sigmoidRef, softmaxRef, structuralSimilarityRef } from "./segmentation.ref.ts";

const { Tensor } = tensors;
type Rows = tensors.Tensor<"float32">;
const modules = { "@logits/tensor": tensors, "@logits/losses/classification": classification, "@logits/losses/multi-label": multiLabel, "@logits/losses/regression": regression, "@logits/losses/segmentation": segmentation };
const random = testRandom(17), normal = (...shape: number[]): Rows => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()));

describe("recipes", () => {
  it("partial cross-entropy counts annotated pixels alone", () => {
    const { partialCrossEntropy, hardCrossEntropy } = recipe<{ partialCrossEntropy(z: Rows, y: tensors.Tensor<"int32">): { loss: number; grad: Rows }; hardCrossEntropy(z: Rows, y: tensors.Tensor<"int32">, share?: number, least?: number): { loss: Rows; grad: Rows } }>("partial-cross-entropy", ["partialCrossEntropy", "hardCrossEntropy"], modules);
    const z = normal(2, 3, 2, 2), y = new Tensor("int32", [2, 2, 2], Int32Array.of(0, -1, 1, 1, -1, 2, -1, 0)), w = [1 - 2 / 5, 1 - 2 / 5, 1 - 1 / 5];
    const definition = (x: ArrayLike<number>): number => y.data.reduce((sum, label, i) => sum + (label < 0 ? 0 : (w[label] * -Math.log(softmaxRef([0, 1, 2].map((c) => x[(Math.floor(i / 4) * 3 + c) * 4 + (i % 4)]))[label])) / 5), 0);
    const { loss, grad } = partialCrossEntropy(z, y);
    expectClose(loss, definition(z.data), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(definition, z.data), { atol: 1e-6 });
    y.data.forEach((label, i) => label < 0 && [0, 1, 2].forEach((c) => expect(grad.data[(Math.floor(i / 4) * 3 + c) * 4 + (i % 4)]).toBe(0)));
    expect(partialCrossEntropy(z, new Tensor("int32", [2, 2, 2], new Int32Array(8).fill(-1))).loss).toBe(0);
    const full = new Tensor("int32", [2, 2, 2], y.data.map((label) => Math.max(0, label))), each = Array.from(classification.crossEntropy(z, full, { axis: 1, reduction: "none" }).data).sort((a, b) => b - a);
    expectClose(hardCrossEntropy(z, full, 0.25, Infinity).loss.item(), (each[0] + each[1]) / 2, { rtol: 1e-6 });
    expectClose(hardCrossEntropy(z, full, 1).loss.item(), classification.crossEntropy(z, full, { axis: 1 }).item(), { rtol: 1e-6 });
  });

  it("the hybrid loss is the sum of its three parts [paper:boundary-aware-segmentation-network-for-mobile-and-web-applications]", () => {
    const { hybridLoss } = recipe<{ hybridLoss(outputs: readonly Rows[], t: Rows): { loss: number; grads: Rows[] } }>("boundary-aware-hybrid", ["hybridLoss"], modules);
    const outputs = [normal(2, 3, 4), normal(2, 3, 4)], t = new Tensor("float32", [2, 3, 4], Float32Array.from({ length: 24 }, () => random.integer(2)));
    const one = (x: ArrayLike<number>): number => [0, 1].reduce((sum, m) => {
      const p = Array.from(x).slice(12 * m, 12 * m + 12).map(sigmoidRef), mask = Array.from(t.data.slice(12 * m, 12 * m + 12)), both = p.reduce((s, v, i) => s + v * mask[i], 0);
      return sum + (p.reduce((s, v, i) => s - Math.log(mask[i] ? v : 1 - v), 0) / 12 + structuralSimilarityRef(p, mask, 3, 4, {}) + 1 - both / (p.reduce((s, v, i) => s + v + mask[i], 0) - both)) / 2;
    }, 0);
    const { loss, grads } = hybridLoss(outputs, t);
    expectClose(loss, one(outputs[0].data) + one(outputs[1].data), { rtol: 1e-6 });
    outputs.forEach((z, k) => expectClose(grads[k].data, finiteDifferenceGradient(one, z.data), { atol: 1e-6 }));
  });

  it("Betti numbers obey Euler's formula, and boundaries are measured as by brute force [paper:topomortar-a-dataset-to-evaluate-image-segmentation-methods-focused]", () => {
    const { bettiNumbers, hausdorff95 } = recipe<{ bettiNumbers(mask: Uint8Array, width: number): [number, number]; hausdorff95(a: Uint8Array, b: Uint8Array, width: number): number }>("topology-measures", ["bettiNumbers", "hausdorff95"], modules);
    const of = (...rows: string[]): Uint8Array => Uint8Array.from(rows.join(""), (c) => (c === "#" ? 1 : 0));
    expect(bettiNumbers(of("###", "#.#", "###"), 3)).toEqual([1, 1]);
    expect(bettiNumbers(of("#..", ".#.", "..."), 3)).toEqual([1, 0]);
    expect(bettiNumbers(of("#.#", "...", "#.#"), 3)).toEqual([4, 0]);
    expect(bettiNumbers(new Uint8Array(9), 3)).toEqual([0, 0]);
    for (let trial = 0; trial < 30; trial++) {
      const width = 3 + random.integer(6), height = 3 + random.integer(6), mask = Uint8Array.from({ length: width * height }, () => random.integer(2)), at = (r: number, c: number): number => (r < 0 || c < 0 || r >= height || c >= width ? 0 : mask[r * width + c]);
      // Vertices - edges + faces of the pixels as closed squares: 8-connected pieces less holes.
      let euler = 0;
      for (let r = 0; r <= height; r++) for (let c = 0; c <= width; c++) {
        euler += at(r - 1, c - 1) | at(r - 1, c) | at(r, c - 1) | at(r, c);
        euler -= (at(r - 1, c) | at(r, c)) + (at(r, c - 1) | at(r, c));
        euler += at(r, c);
      }
      const [pieces, holes] = bettiNumbers(mask, width);
      expect(pieces - holes).toBe(euler);
    }
    const a = of("......", ".###..", ".###..", "......"), b = of("......", "..##..", "..##..", "......");
    expect(hausdorff95(a, a, 6)).toBe(0);
    expect(hausdorff95(a, b, 6)).toBe(1);
    expect(hausdorff95(a, new Uint8Array(24), 6)).toBe(NaN);
  });

  it("a complex ratio mask turns the noisy spectrum into the clean one [paper:frcrn-boosting-feature-representation-using-frequency-recurrence-for-monaural]", () => {
    const { idealRatioMask, enhancementLoss } = recipe<{ idealRatioMask(s: Rows, y: Rows, epsilon?: number): Rows; enhancementLoss(m: Rows, ideal: Rows, x: Rows, t: Rows, lambda?: number): { loss: number; grads: { mask: Rows; signal: Rows } } }>("speech-enhancement", ["idealRatioMask", "enhancementLoss"], modules);
    const clean = normal(4, 2), noisy = normal(4, 2), mask = idealRatioMask(clean, noisy, 0), signal = normal(1, 8), target = normal(1, 8);
    for (let i = 0; i < 8; i += 2) expectClose([mask.data[i] * noisy.data[i] - mask.data[i + 1] * noisy.data[i + 1], mask.data[i] * noisy.data[i + 1] + mask.data[i + 1] * noisy.data[i]], [clean.data[i], clean.data[i + 1]], { atol: 2e-6, rtol: 2e-6 });
    const guess = normal(4, 2), { loss, grads } = enhancementLoss(guess, mask, signal, target, 0.5);
    const error = (m: ArrayLike<number>): number => (0.5 * mask.data.reduce((sum, v, i) => sum + (m[i] - v) ** 2, 0)) / 4;
    expectClose(loss, regression.scaleInvariantSnrLoss(signal, target).item() + error(guess.data), { rtol: 1e-6 });
    expectClose(grads.mask.data, finiteDifferenceGradient(error, guess.data), { atol: 1e-5, rtol: 1e-6 });
    expectClose(enhancementLoss(mask, mask, signal, target).loss, regression.scaleInvariantSnrLoss(signal, target).item(), { rtol: 1e-6 });
  });

  it("the graph of labels has rows that sum to 1, and traits learn by concordance [paper:exploiting-emotional-dependencies-with-graph-convolutional-networks-for-facial]", () => {
    const { labelAdjacency, emotionLoss } = recipe<{ labelAdjacency(r: Rows, threshold?: number, share?: number): Rows; emotionLoss(...args: unknown[]): { loss: number; grads: { traits: Rows } } }>("label-graph", ["labelAdjacency", "emotionLoss"], modules);
    const r = new Tensor("float32", [4, 4], Float32Array.of(1, 0.5, -0.3, 0, 0.5, 1, 0.05, 0, -0.3, 0.05, 1, 0, 0, 0, 0, 1));
    // A: rows [.5 .25 .25 0], [.5 .5 0 0], [.5 0 .5 0], [0 0 0 .5]; D = 1, 1, 1, .5; then the transpose.
    expectClose(labelAdjacency(r).data, [0.5, 0.5, 0.5, 0, 0.25, 0.5, 0, 0, 0.25, 0, 0.5, 0, 0, 0, 0, 1], { atol: 1e-6 });
    const z = normal(5, 3), traits = normal(5, 2), targets = normal(5, 2), y = [0, 1, 2, 0, 1], { loss, grads } = emotionLoss(z, y, traits, targets);
    const ccc = (x: ArrayLike<number>): number => [0, 1].reduce((s, f) => s + concordanceRef(Array.from(x).filter((_, i) => i % 2 === f), Array.from(targets.data).filter((_, i) => i % 2 === f)) / 2, 0);
    expectClose(loss, classification.crossEntropy(z, y).item() + ccc(traits.data), { rtol: 1e-6 });
    expectClose(grads.traits.data, finiteDifferenceGradient(ccc, traits.data), { atol: 1e-6 });
    expectClose(emotionLoss(z, y, targets, targets).loss, classification.crossEntropy(z, y).item(), { atol: 1e-6 });
  });
});
