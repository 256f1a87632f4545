import * as core from "@logits/core-wasm";
import * as classification from "@logits/losses/classification";
import * as distillation from "@logits/losses/distillation";
import * as multiLabel from "@logits/losses/multi-label";
import * as ranking from "@logits/losses/ranking";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { expectClose, finiteDifferenceGradient, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";

type Rows = tensors.Tensor<"float32">;
const { Tensor } = tensors, modules = { "@logits/core-wasm": core, "@logits/losses/classification": classification, "@logits/losses/distillation": distillation, "@logits/losses/multi-label": multiLabel, "@logits/losses/ranking": ranking, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = testRandom(12), rows = (n: number, width: number, scale = 1): Rows => new Tensor("float32", [n, width], Float32Array.from({ length: n * width }, () => scale * random.normal()));
// Differences of values that are rounded to float32.
const bound = { atol: 1e-3 };

describe("partial ranking distillation", () => {
  const { partialRanking } = recipe<{ partialRanking(student: Rows, teacher: Rows, k: number, temperature?: number): { loss: Rows; grad: Rows } }>("partial-ranking-distillation", ["partialRanking"], modules);

  it("is a likelihood of partial rankings that sees the teacher's order only [paper:how-to-make-cross-encoder-a-good-teacher-for]", () => {
    const s = rows(1, 4), pairs = [0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].filter((b) => b !== a).map((b) => [a, b]));
    expectClose(pairs.reduce((sum, pair) => sum + Math.exp(-ranking.plackettLuceLoss(s, [pair]).item()), 0), 1, { atol: 1e-6 });
    const student = rows(3, 6), teacher = rows(3, 6), { loss, grad } = partialRanking(student, teacher, 3, 0.5);
    expectClose(partialRanking(student, new Tensor("float32", [3, 6], teacher.data.map((t) => Math.exp(3 * t) - 7)), 3, 0.5).loss.item(), loss.item(), { atol: 0 });
    // k = 1: InfoNCE of the hardest negative.
    const hardest = [0, 1, 2].map((q) => Array.from(student.row(q).data).indexOf(Math.max(...student.row(q).data)));
    expectClose(partialRanking(student, teacher, 1, 1).loss.item(), classification.crossEntropy(student, hardest).item(), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient((x) => partialRanking(new Tensor("float32", [3, 6], Float32Array.from(x)), teacher, 3, 0.5).loss.item(), student.data, { step: 1e-3 }), bound);
  });
});

describe("class relation distillation", () => {
  const { classRelation, balanced } = recipe<{ classRelation(logits: Rows, old: Rows, temperature: number): { loss: number; grad: Rows }; balanced(z: Rows, epsilon?: number, steps?: number): Float64Array }>("class-relation-distillation", ["classRelation", "balanced"], modules);

  it("is distillation on the known classes with weights of mean 1, and balances classes [paper:class-relation-knowledge-distillation-for-novel-class-discovery]", () => {
    const old = rows(4, 3), temperature = 2, same = new Tensor("float32", [4, 5], Float32Array.from({ length: 20 }, (_, k) => (k % 5 < 3 ? old.at(Math.floor(k / 5), k % 5) : 0.5)));
    expectClose(classRelation(same, old, temperature).loss, 0, { atol: 1e-7 });
    // New classes at -Infinity: every row is known, weights are equal.
    const known = rows(4, 3), certain = new Tensor("float32", [4, 4], Float32Array.from({ length: 16 }, (_, k) => (k % 4 < 3 ? known.at(Math.floor(k / 4), k % 4) : -Infinity)));
    expectClose(classRelation(certain, old, temperature).loss, distillation.distillationLoss(known, old, { temperature }).item(), { rtol: 1e-5 });
    const logits = rows(4, 5), { loss, grad } = classRelation(logits, old, temperature), p = core.softmax(logits, { temperature }), w = [0, 1, 2, 3].map((i) => p.row(i).data.slice(0, 3).reduce((a, b) => a + b, 0)), mean = w.reduce((a, b) => a + b, 0) / 4;
    const each = distillation.distillationLoss(new Tensor("float32", [4, 3], Float32Array.from({ length: 12 }, (_, k) => logits.at(Math.floor(k / 3), k % 3))), old, { temperature, reduction: "none" }).data;
    expectClose(loss, each.reduce((sum, v, i) => sum + ((w[i] / mean) * v) / 4, 0), { rtol: 1e-5 });
    expect([0, 1, 2, 3].every((i) => grad.at(i, 3) === 0 && grad.at(i, 4) === 0)).toBe(true);
    const q = balanced(rows(6, 3), 0.5, 60);
    for (let i = 0; i < 6; i++) expectClose(q.subarray(3 * i, 3 * i + 3).reduce((a, b) => a + b, 0), 1, { atol: 1e-12 });
    for (let c = 0; c < 3; c++) expectClose([0, 1, 2, 3, 4, 5].reduce((sum, i) => sum + q[3 * i + c], 0), 2, { atol: 1e-6 });
  });
});

describe("aspect distillation", () => {
  const { answers, aspectLoss } = recipe<{ answers(yes: Rows, no: Rows): Rows; aspectLoss(logits: Rows, labels: Int32Array, targets: Rows, alpha: number): { loss: number; grad: Rows } }>("aspect-distillation", ["answers", "aspectLoss"], modules);

  it("is cross-entropy with binary cross-entropy of the answers, a softmax over two tokens [paper:multi-aspect-knowledge-distillation-with-large-language-model]", () => {
    const yes = rows(3, 2), no = rows(3, 2), targets = answers(yes, no), logits = rows(3, 6), labels = Int32Array.of(0, 3, 1);
    for (let k = 0; k < 6; k++) expectClose(targets.data[k], core.softmax([yes.data[k], no.data[k]]).data[0], { rtol: 1e-6 });
    const { loss, grad } = aspectLoss(logits, labels, targets, 0.7), bce = (z: number, q: number): number => Math.max(z, 0) - z * q + Math.log1p(Math.exp(-Math.abs(z)));
    const value = (x: ArrayLike<number>): number => [0, 1, 2].reduce((sum, i) => {
      const row = Array.from({ length: 6 }, (_, c) => x[6 * i + c]), classes = row.slice(0, 4);
      return sum + (Math.log(classes.reduce((s, v) => s + Math.exp(v), 0)) - row[labels[i]] + 0.7 * (bce(row[4], targets.at(i, 0)) + bce(row[5], targets.at(i, 1)))) / 3;
    }, 0);
    expectClose(loss, value(logits.data), { rtol: 1e-6 });
    expectClose(grad.data, finiteDifferenceGradient(value, logits.data), { atol: 1e-6 });
  });
});

describe("similarity distillation", () => {
  const { similarityLoss } = recipe<{ similarityLoss(features: Rows, teacher: Rows): { loss: number; grad: Rows } }>("similarity-distillation", ["similarityLoss"], modules);

  it("is 0 for rotated features and has the gradient of its definition [paper:robust-training-of-federated-models-with-extremely-label-deficiency]", () => {
    const f = rows(4, 3), g = rows(4, 5), angle = 0.7, turned = new Tensor("float32", [4, 3], Float32Array.from({ length: 12 }, (_, k) => {
      const row = f.row(Math.floor(k / 3)).data;
      return 3 * [Math.cos(angle) * row[0] - Math.sin(angle) * row[1], Math.sin(angle) * row[0] + Math.cos(angle) * row[1], row[2]][k % 3];
    }));
    expectClose(similarityLoss(f, turned).loss, 0, { atol: 1e-12 });
    expectClose(similarityLoss(turned, g).loss, similarityLoss(f, g).loss, { rtol: 1e-5 });
    const value = (x: ArrayLike<number>): number => {
      const cos = (z: ArrayLike<number>, w: number, i: number, j: number): number => {
        const dot = (a: number, b: number): number => Array.from({ length: w }, (_, c) => z[w * a + c] * z[w * b + c]).reduce((p, q) => p + q, 0);
        return dot(i, j) / Math.sqrt(dot(i, i) * dot(j, j));
      };
      return [0, 1, 2, 3].reduce((sum, i) => sum + [0, 1, 2, 3].reduce((s, j) => s + (cos(x, 3, i, j) - cos(g.data, 5, i, j)) ** 2 / 16, 0), 0);
    };
    const { loss, grad } = similarityLoss(f, g);
    expectClose(loss, value(f.data), { rtol: 1e-5 });
    expectClose(grad.data, finiteDifferenceGradient(value, f.data), { atol: 1e-5 });
  });
});

describe("soft labels from a map", () => {
  type Stored = { classes: Int32Array; scores: Float32Array; size: number; kept: number };
  const { cropLabel, mixed } = recipe<{ cropLabel(stored: Stored, box: readonly number[], count: number): Rows; mixed(p: Rows, q: Rows, share: number): Rows }>("relabel", ["cropLabel", "mixed"], modules);
  const map = (of: (x: number, y: number, c: number) => number, size = 5, kept = 3): Stored => ({ size, kept, classes: Int32Array.from({ length: size * size * kept }, (_, i) => i % kept), scores: Float32Array.from({ length: size * size * kept }, (_, i) => of(Math.floor(i / kept) % size, Math.floor(i / kept / size), i % kept)) });

  it("averages what lies in the box, and is the target of a soft cross-entropy [paper:re-labeling-imagenet-from-single-to-multi-labels-from]", () => {
    expectClose(cropLabel(map((_x, _y, c) => c), [0.13, 0.4, 0.77, 0.9], 4).data, core.softmax([0, 1, 2, 0]).data, { atol: 1e-6 });
    const any = map(() => random.normal()), mean = [0, 1, 2].map((c) => any.scores.reduce((sum, v, i) => sum + (i % 3 === c ? v / 25 : 0), 0));
    expectClose(cropLabel(any, [0, 0, 1, 1], 3).data, core.softmax(mean).data, { atol: 1e-6 });
    // Scores that are linear in the place have the value of the middle of a box within the map: bilinear samples are exact.
    const [left, top, right, bottom] = [0.2, 0.3, 0.66, 0.81], x = (5 * (left + right)) / 2 - 0.5, y = (5 * (top + bottom)) / 2 - 0.5;
    expectClose(cropLabel(map((u, v, c) => (c === 0 ? u : c === 1 ? 2 * v : 0)), [left, top, right, bottom], 3).data, core.softmax([x, 2 * y, 0]).data, { atol: 1e-6 });
    const p = cropLabel(any, [0, 0, 0.5, 0.5], 3), q = cropLabel(any, [0.5, 0.5, 1, 1], 3), target = mixed(p, q, 0.3), z = rows(1, 3), { grads } = classification.softCrossEntropy.withGrad(z, [Array.from(target.data)]);
    expectClose(target.data.reduce((a, b) => a + b, 0), 1, { atol: 1e-6 });
    expectClose(grads.logits.data, core.softmax(z).data.map((v, c) => v - target.data[c]), { atol: 1e-6 });
  });
});

describe("attention maps and distances", () => {
  type Features = readonly Float32Array[];
  const { attentionTransfer, relationalDistances } = recipe<Record<"attentionTransfer" | "relationalDistances", (student: Features, teacher: Features) => { loss: number; grad: Float64Array[] }>>("feature-distillation", ["attentionTransfer", "relationalDistances"], {});
  const features = (n: number, width: number): Float32Array[] => Array.from({ length: n }, () => rows(1, width).data.slice()), split = (x: ArrayLike<number>, width: number): Float64Array[] => Array.from({ length: x.length / width }, (_, i) => Float64Array.from({ length: width }, (_, f) => x[i * width + f]));

  it("have the gradients of their values, and do not depend on scale", () => {
    for (const of of [attentionTransfer, relationalDistances]) {
      const f = features(5, 3), t = features(5, 4), { loss, grad } = of(f, t), flat = Float32Array.from(f.flatMap((row) => Array.from(row)));
      expectClose(grad.flatMap((row) => Array.from(row)), finiteDifferenceGradient((x) => of(split(x, 3) as unknown as Features, t).loss, flat), { atol: 1e-7 });
      expectClose(of(f.map((row) => row.map((v) => 4 * v)), t).loss, loss, { rtol: 1e-6 });
      expectClose(of(f, f.map((row) => row.map((v) => 2 * v))).loss, 0, { atol: 1e-12 });
    }
  });
});
