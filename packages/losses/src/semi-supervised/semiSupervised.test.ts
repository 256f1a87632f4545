import { softmax } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { batchLossChecks, expectClose, expectExact, lossChecks, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { crossEntropy } from "../classification/crossEntropy.ts";
import { DistributionAlignment, batchPriorLoss, consistencyLoss, crossPseudoLoss, doublyRobustLoss, fairnessLoss, labelPropagation, negativeLabelLoss, negativeMeanEntropy, pseudoLabelLoss, sharpen, topPerClass } from "./index.ts";

const random = testRandom(11);
const floats = (shape: number[], draw: () => number): { dtype: "float32"; shape: number[]; data: Float32Array } => ({ dtype: "float32", shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw) });
const logits = floats([8, 4], () => 2 * random.normal()), other = floats([8, 4], () => 2 * random.normal());
const labels = { dtype: "int32" as const, shape: [8], data: Int32Array.from({ length: 8 }, () => random.integer(4)) };
const trust = floats([8], () => Math.max(0, random.uniform() - 0.2));
const p64 = (z: ArrayLike<number>, T = 1): number[] => {
  const max = Math.max(...Array.from(z)), e = Array.from(z, (x) => Math.exp((x - max) / T)), sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
};
const logP64 = (z: ArrayLike<number>, c: number): number => { const max = Math.max(...Array.from(z)); return z[c] - max - Math.log(Array.from(z).reduce((sum, x) => sum + Math.exp(x - max), 0)); };
const close = { bound: { rtol: 3e-6, atol: 3e-7 }, gradientBound: { atol: 2e-6 } }; // float32 softmax and one rounding

describe("pseudoLabelLoss", () => {
  it.each(lossChecks({ name: "pseudoLabelLoss", loss: pseudoLabelLoss, cases: [{ name: "trusted in part", arguments: [logits, labels, trust] }], reference: ([z, [y], [t]]) => (t === 0 ? 0 : -t * logP64(z, y)), ...close, labels: { argument: 1, classes: 4 }, extreme: 1e3 }))("$name", ({ run }) => run());

  it("is cross-entropy where all are trusted, and keeps untrusted rows in the mean", () => {
    expectExact(pseudoLabelLoss(logits, labels, new Float32Array(8).fill(1)), crossEntropy(logits, labels));
    const half = Float32Array.of(1, 0, 1, 0, 1, 0, 1, 0);
    expectClose(pseudoLabelLoss(logits, labels, half).item(), crossEntropy(logits, labels, { where: Uint8Array.from(half) }).item() / 2, { rtol: 1e-6 });
    expect(pseudoLabelLoss([[-Infinity, 0]], [0], [0]).item()).toBe(0);
  });

  it("has these messages", () => {
    expect(() => pseudoLabelLoss([[1, 2]], [0], [-1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: pseudoLabelLoss: expected \`trust\` finite and not negative, got -1 at index 0]`);
    expect(() => pseudoLabelLoss([[1, 2]], [0], [1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: pseudoLabelLoss: expected \`trust\` of shape [1], got [2]]`);
  });
});

describe("consistencyLoss [paper:unsupervised-data-augmentation-for-consistency-training]", () => {
  const kl = (z: ArrayLike<number>, w: ArrayLike<number>, { temperature = 1, threshold = 0 }: { temperature?: number; threshold?: number }): number => {
    if (Math.max(...p64(w)) < threshold) return 0;
    const t = p64(w, temperature), p = p64(z);
    return t.reduce((sum, x, c) => sum + x * Math.log(x / p[c]), 0);
  };
  it.each(lossChecks({
    name: "consistencyLoss",
    loss: consistencyLoss,
    cases: [{ name: "plain", arguments: [logits, other] }, { name: "sharpened and cut", arguments: [logits, other], options: { temperature: 0.4, threshold: 0.6 } }],
    reference: ([z, w], options) => kl(z, w, options),
    bound: { rtol: 3e-6, atol: 2e-6 },
    gradientBound: { atol: 2e-6 },
    extreme: false,
  }))("$name", ({ run }) => run());

  it("is 0 between equal views, and finite where probabilities underflow", () => {
    expectClose(consistencyLoss(logits, logits).item(), 0, { atol: 1e-7 });
    const { loss, grad } = consistencyLoss.withGrad([[1e4, -1e4]], [[-1e4, 1e4]]);
    expect(loss.item()).toBe(2e4);
    expectExact(grad.data, [1, -1]);
    expect(consistencyLoss([[-Infinity, 0]], [[0, 0]]).item()).toBe(Infinity);
    expect(consistencyLoss([[-Infinity, 0]], [[-Infinity, 0]]).item()).toBe(0);
    expect(consistencyLoss([[0, 0]], [[NaN, 0]], { threshold: 0.9 }).item()).toBe(NaN);
  });

  it("has these messages", () => {
    expect(() => consistencyLoss([[1, 2]], [[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: consistencyLoss: expected \`targetLogits\` of the shape of \`logits\`, got [1, 3] for [1, 2]]`);
    expect(() => consistencyLoss([[1, 2]], [[1, 2]], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: consistencyLoss: expected \`temperature\` a finite number > 0, got 0]`);
    expect(() => consistencyLoss([[1, 2]], [[1, 2]], { threshold: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: consistencyLoss: expected \`threshold\` in [0, 1], got 2]`);
  });
});

describe("sharpen", () => {
  it("is softmax of logits at the temperature", () => {
    expectClose(sharpen(softmax(logits), 0.5).data, softmax(logits, { temperature: 0.5 }).data, { atol: 1e-6 });
    expectClose(sharpen([0.6, 0.4], 0.5).data, [0.36 / 0.52, 0.16 / 0.52], { rtol: 1e-6 });
    expectExact(sharpen([1, 0], 0.1).data, [1, 0]);
    expect(() => sharpen([2, 1], 0.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: sharpen: expected \`probabilities\` with probabilities in [0, 1], got 2 in row 0, column 0. For logits apply softmax first]`);
  });
});

describe("crossPseudoLoss [paper:semi-supervised-semantic-segmentation-with-cross-pseudo-supervision] [paper:diverse-cotraining-makes-strong-semi-supervised-segmentor]", () => {
  const top = (z: ArrayLike<number>): number => Array.from(z).indexOf(Math.max(...Array.from(z)));
  const taught = (z: ArrayLike<number>, w: ArrayLike<number>, threshold: number): number => (Math.max(...p64(w)) < threshold ? 0 : -logP64(z, top(w)));
  it.each(lossChecks({
    name: "crossPseudoLoss",
    loss: crossPseudoLoss,
    cases: [{ name: "all", arguments: [logits, other] }, { name: "confident ones", arguments: [logits, other], options: { threshold: 0.7 } }],
    reference: ([a, b], { threshold = 0 }) => taught(a, b, threshold) + taught(b, a, threshold),
    differentiable: [{ argument: 0, read: ({ grads }) => grads.logits1 }, { argument: 1, read: ({ grads }) => grads.logits2 }],
    ...close,
    extreme: 1e3,
  }))("$name", ({ run }) => run());

  it("is symmetric, and twice self-training where both agree", () => {
    expectClose(crossPseudoLoss(logits, other).item(), crossPseudoLoss(other, logits).item(), { rtol: 1e-7 });
    const answers = Int32Array.from({ length: 8 }, (_, i) => top(logits.data.subarray(4 * i, 4 * i + 4)));
    expectClose(crossPseudoLoss(logits, logits).item(), 2 * crossEntropy(logits, answers).item(), { rtol: 1e-6 });
  });
});

describe("negativeLabelLoss", () => {
  it.each(lossChecks({ name: "negativeLabelLoss", loss: negativeLabelLoss, cases: [{ name: "complementary", arguments: [logits, labels] }], reference: ([z, [y]]) => -Math.log(p64(z).reduce((sum, p, c) => (c === y ? sum : sum + p), 0)), ...close, bound: { rtol: 3e-6, atol: 3e-6 }, labels: { argument: 1, classes: 4 } }))("$name", ({ run }) => run());

  it("grows with the distance where the excluded class is nearly certain", () => {
    const { loss, grad } = negativeLabelLoss.withGrad([[60, 0]], [0]);
    expectClose(loss.item(), 60, { rtol: 1e-6 });
    expectClose(grad.data, [1, -1], { rtol: 1e-6 });
    const far = negativeLabelLoss.withGrad([[300, 100, 100 + Math.LN2]], [0]);
    expectClose(far.loss.item(), 200 - Math.log(3), { rtol: 1e-6 });
    expectClose(far.grad.data, [1, -1 / 3, -2 / 3], { rtol: 1e-5 }); // 100 + log 2 is rounded to float32
    expect(negativeLabelLoss([[0, -Infinity]], [0]).item()).toBe(Infinity);
    expectExact(negativeLabelLoss.withGrad([[0, -Infinity, -Infinity]], [1]).grad.data, [0, 0, 0]);
  });
});

describe("doublyRobustLoss [paper:doubly-robust-self-training]", () => {
  it("never reads a pseudo-label that it takes back whole", () => {
    expectClose(doublyRobustLoss([[0, -Infinity]], [1], [0]).item(), 0, { atol: 0 });
  });

  const known = Int32Array.from(labels.data, (y, i) => (i % 3 === 0 ? y : -1)), teacher = Int32Array.from({ length: 8 }, () => random.integer(4));
  const values = (y: ArrayLike<number>): Float32Array => crossEntropy(logits, Int32Array.from(y), { reduction: "none" }).data;

  it("is the formula of the paper", () => {
    const all = values(teacher), n = known.filter((y) => y >= 0).length, own = values(labels.data);
    for (const alpha of [0, 0.4, 1]) {
      const want = all.reduce((a, b) => a + b, 0) / 8 - (alpha / n) * known.reduce((sum, y, i) => (y < 0 ? sum : sum + all[i] - own[i]), 0);
      expectClose(doublyRobustLoss(logits, teacher, known, { alpha }).item(), want, { rtol: 1e-6 });
    }
  });

  it.each(batchLossChecks({
    name: "doublyRobustLoss",
    loss: doublyRobustLoss,
    cases: [{ name: "a third is labelled", arguments: [logits, { dtype: "int32", shape: [8], data: teacher }, { dtype: "int32", shape: [8], data: known }], options: { alpha: 0.5 } }],
    reference: ([z, pseudo, y]) => {
      const n = y.filter((label) => label >= 0).length, at = (i: number, label: number): number => -logP64(z.subarray(4 * i, 4 * i + 4), label);
      return Float64Array.from(pseudo, (label, i) => at(i, label) - (y[i] < 0 || n === 0 ? 0 : ((0.5 * y.length) / n) * (at(i, label) - at(i, y[i]))));
    },
    bound: { rtol: 3e-6, atol: 3e-6 },
    gradientBound: { atol: 3e-6 },
    extreme: 1e3,
  }))("$name", ({ run }) => run());

  it("is unbiased: over random choices of the labelled rows its mean is cross-entropy, whatever the teacher says", () => {
    const own = crossEntropy(logits, labels).item(), source = testRandom(4);
    let sum = 0, square = 0;
    for (let trial = 0; trial < 4000; trial++) {
      const chosen = new Set(source.permutation(8).slice(0, 4)), some = labels.data.map((y, i) => (chosen.has(i) ? y : -1)), value = doublyRobustLoss(logits, teacher, some).item();
      sum += value;
      square += value * value;
    }
    const mean = sum / 4000, error = Math.sqrt((square / 4000 - mean * mean) / 4000);
    expect(Math.abs(mean - own)).toBeLessThan(4 * error); // four standard errors
  });
});

describe("losses of the mean prediction [paper:pseudo-labeling-and-confirmation-bias-in-deep-semi-supervised] [paper:semi-supervised-learning-in-the-few-shot-zero-shot]", () => {
  const mean = (z: ArrayLike<number>, weights?: ArrayLike<number>): number[] => {
    const rows = Array.from({ length: z.length / 4 }, (_, i) => p64(Array.prototype.slice.call(z, 4 * i, 4 * i + 4))), w = rows.map((_, i) => weights?.[i] ?? 1), mass = w.reduce((a, b) => a + b, 0);
    return [0, 1, 2, 3].map((c) => rows.reduce((sum, p, i) => sum + w[i] * p[c], 0) / mass);
  };
  const prior = [0.1, 0.2, 0.3, 0.4], weight = Float32Array.from({ length: 8 }, (_, i) => (i === 2 ? 0 : 0.5 + i));
  const cases: [string, (z: ArrayLike<number>, w?: ArrayLike<number>) => number, (options: object) => { loss: Tensor<"float32">; grad: Tensor<"float32"> }, (options: object) => Tensor<"float32">][] = [
    ["batchPriorLoss", (z, w) => prior.reduce((sum, q, c) => sum + q * Math.log(q / mean(z, w)[c]), 0), (options) => batchPriorLoss.withGrad(logits, { prior, ...options }), (options) => batchPriorLoss(logits, { prior, ...options })],
    ["negativeMeanEntropy", (z, w) => mean(z, w).reduce((sum, m) => sum + m * Math.log(m), 0), (options) => negativeMeanEntropy.withGrad(logits, options), (options) => negativeMeanEntropy(logits, options)],
  ];
  it.each(cases)("%s has value and gradient of its definition", (_, definition, withGrad, value) => {
    for (const w of [undefined, weight]) {
      const { loss, grad } = withGrad({ ...(w && { weight: w }), upstream: [1.5] }), h = 1e-4;
      expectClose(loss.item(), definition(logits.data, w), { rtol: 1e-6 });
      expectExact(value({ ...(w && { weight: w }) }), loss);
      const want = Array.from(logits.data, (x, k) => {
        const at = (d: number): number => definition(Array.from(logits.data, (y, j) => (j === k ? x + d : y)), w);
        return (1.5 * (at(h) - at(-h))) / (2 * h);
      });
      expectClose(grad.data, want, { atol: 1e-6 });
    }
  });

  it("drops masked rows whatever they hold, and is 0 without rows", () => {
    const spoiled = { ...logits, data: logits.data.map((x, k) => (k < 4 ? NaN : x)) }, where = Uint8Array.of(0, 1, 1, 1, 1, 1, 1, 1), rest = { shape: [7, 4], data: logits.data.subarray(4) };
    expectClose(batchPriorLoss(spoiled, { where }), batchPriorLoss(rest), { atol: 1e-7 }); // rows alone take another kernel than rows in fours
    const { grad } = negativeMeanEntropy.withGrad(spoiled, { where });
    expectClose(grad.data.subarray(4), negativeMeanEntropy.withGrad(rest).grad.data, { atol: 1e-7 });
    expectExact(grad.data.subarray(0, 4), new Float32Array(4));
    expect(negativeMeanEntropy(logits, { where: new Uint8Array(8) }).item()).toBe(0);
    expectExact(batchPriorLoss.withGrad(logits, { where: new Uint8Array(8) }).grad.data, new Float32Array(32));
  });

  it("is 0 at the prior, and -log C at the least", () => {
    expectClose(batchPriorLoss([[0, 0]]).item(), 0, { atol: 1e-7 });
    expectClose(negativeMeanEntropy([[0, 0, 0]]).item(), -Math.log(3), { rtol: 1e-7 });
    const impossible = batchPriorLoss.withGrad([[0, -Infinity]]);
    expect(impossible.loss.item()).toBe(Infinity);
    expect(impossible.grad.data.every(Number.isFinite)).toBe(true);
    expect(() => batchPriorLoss([[0, 1]], { prior: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: batchPriorLoss: expected \`prior\` 2 frequencies, not all 0, got [1]]`);
  });
});

describe("a batch that is answered with one class", () => {
  // p of the other class is e^-200 and e^-150: the mean is e^-150 / 2, far below float32.
  const collapsed = [[200, 0], [150, 0]];
  it("has a finite loss, and a gradient where the class is nearest", () => {
    const { loss, grad } = batchPriorLoss.withGrad(collapsed);
    expectClose(loss.item(), Math.LN2 * -1 + (150 + Math.LN2) / 2, { rtol: 1e-6 });
    expectClose(grad.data, [0, 0, 0.5, -0.5], { rtol: 1e-6, atol: 1e-20 });
    expectClose(batchPriorLoss(collapsed, { weight: [1, 0] }).item(), 100 - Math.LN2, { rtol: 1e-6 });
    expectClose(batchPriorLoss([[1e4, -1e4], [1e4, -1e4]]).item(), 1e4 - Math.LN2, { rtol: 1e-6 });
    expectClose(negativeMeanEntropy.withGrad(collapsed).grad.data, [0, 0, 0, 0], { atol: 1e-30 });
  });
});

describe("fairnessLoss", () => {
  const prediction = [0.4, 0.3, 0.2, 0.1], histogram = [0.5, 0.2, 0, 0.3];
  const definition = (z: ArrayLike<number>): number => {
    const rows = Array.from({ length: 8 }, (_, i) => p64(Array.prototype.slice.call(z, 4 * i, 4 * i + 4))), counts = [0, 0, 0, 0];
    for (let i = 0; i < 8; i++) counts[rows[i].indexOf(Math.max(...rows[i]))]++;
    const unit = (x: number[]): number[] => x.map((v) => v / x.reduce((a, b) => a + b, 0));
    const a = unit(prediction.map((q, c) => (histogram[c] === 0 ? 0 : q / histogram[c]))), b = unit([0, 1, 2, 3].map((c) => (counts[c] === 0 ? 0 : rows.reduce((sum, p) => sum + p[c], 0) / counts[c])));
    return a.reduce((sum, x, c) => sum + x * Math.log(b[c] + 1e-12), 0);
  };

  it("has value and gradient of its definition", () => {
    const { loss, grad } = fairnessLoss.withGrad(logits, { prediction, histogram }), h = 1e-4;
    expectClose(loss.item(), definition(logits.data), { rtol: 3e-6 });
    const want = Array.from(logits.data, (x, k) => {
      const at = (d: number): number => definition(Array.from(logits.data, (y, j) => (j === k ? x + d : y)));
      return (at(h) - at(-h)) / (2 * h);
    });
    expectClose(grad.data, want, { atol: 3e-6 });
  });

  it("has these messages", () => {
    expect(() => fairnessLoss([[1, 2]], { prediction: [1], histogram: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: fairnessLoss: expected \`prediction\` of shape [2], got [1]]`);
    expect(() => fairnessLoss([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[TypeError: fairnessLoss: expected \`prediction\` a tensor, typed array, { data, dims } or nested number arrays, got undefined]`);
  });
});

describe("DistributionAlignment", () => {
  it("is the formula of USB, and keeps rows on the simplex", () => {
    const alignment = new DistributionAlignment({ classes: 4, momentum: 0.9 });
    let model: number[] | undefined;
    for (let step = 0; step < 3; step++) {
      const z = floats([8, 4], () => 2 * random.normal()), p = softmax(z), mean = [0, 1, 2, 3].map((c) => Array.from({ length: 8 }, (_, i) => p.data[4 * i + c]).reduce((a, b) => a + b, 0) / 8);
      model = model === undefined ? mean : model.map((m, c) => 0.9 * m + 0.1 * mean[c]);
      const raw = p.data.map((x, k) => (x * (0.25 + 1e-6)) / (model![k % 4] + 1e-6)), want = raw.map((x, k) => x / raw.subarray(k - (k % 4), k - (k % 4) + 4).reduce((a, b) => a + b, 0));
      expectClose(alignment.align(z).data, want, { rtol: 1e-5 });
    }
    expectClose(alignment.model!, model!, { rtol: 1e-6 });
  });

  it("follows labelled rows where they are the target [paper:adamatch-a-unified-approach-to-semi-supervised-learning-and]", () => {
    const alignment = new DistributionAlignment({ classes: 2, target: "labelled", momentum: 0 });
    expectClose(alignment.align([[0.5, 0.5], [0.9, 0.1]], { input: "probabilities", labelled: [[0.2, 0.8]] }).data.subarray(0, 2), [0.2 / 0.7 / (0.2 / 0.7 + 0.8 / 0.3), 0.8 / 0.3 / (0.2 / 0.7 + 0.8 / 0.3)], { rtol: 1e-4 }); // 1e-6 is added to both means
    expectClose(alignment.target, [0.2, 0.8], { rtol: 1e-6 });
    expect(() => alignment.align([[1, 2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: DistributionAlignment.align: expected \`labelled\` scores of labelled rows, as the target is theirs, got undefined]`);
    expect(() => new DistributionAlignment({ classes: 2, target: [0, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DistributionAlignment: expected \`target\` 2 frequencies, not all 0, got [0, 0]]`);
    expect(() => new DistributionAlignment({ classes: 2, momentum: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DistributionAlignment: expected \`momentum\` in [0, 1], got 2]`);
  });
});

describe("topPerClass [paper:billion-scale-semi-supervised-learning-for-image-classification] [paper:enhancing-clip-with-clip-exploring-pseudolabeling-for-limited-label]", () => {
  it("agrees with sorting each class", () => {
    const z = floats([60, 4], () => random.normal()), p = softmax(z).data;
    for (const [count, classesPerRow] of [[3, 1], [7, 2], [100, 4]]) {
      const got = topPerClass(z, { count, classesPerRow });
      for (let c = 0; c < 4; c++) {
        const own = Array.from({ length: 60 }, (_, i) => i).filter((i) => [0, 1, 2, 3].filter((k) => p[4 * i + k] > p[4 * i + c]).length < classesPerRow);
        expectExact(got[c].data, own.sort((a, b) => p[4 * b + c] - p[4 * a + c]).slice(0, count));
      }
    }
    expect(topPerClass([[3, 0], [2, 0], [0, 1]], { count: 1 }).map((t) => t.toArray())).toEqual([[0], [2]]);
    expectExact(topPerClass([[1, 0], [1, 0]], { count: 1 })[0].data, [0]);
    expect(() => topPerClass([[1, 0]], { count: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: topPerClass: expected \`count\` an integer in [1, 2147483647], got 0]`);
    expect(() => topPerClass([[NaN, 0]], { count: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: topPerClass: expected \`scores\` finite logits, or -Infinity for impossible classes, got a row without probabilities: row 0]`);
  });
});

describe("labelPropagation", () => {
  it("solves the linear system of the definition", () => {
    const N = 12, x = floats([N, 3], () => random.normal()), y = Int32Array.from({ length: N }, (_, i) => (i < 3 ? i : -1)), alpha = 0.8, k = 3;
    const unit = Array.from({ length: N }, (_, i) => { const row = Array.from(x.data.subarray(3 * i, 3 * i + 3)), length = Math.hypot(...row); return row.map((v) => v / length); });
    const cosine = (i: number, j: number): number => unit[i].reduce((sum, v, f) => sum + v * unit[j][f], 0);
    const near = unit.map((_, i) => Array.from({ length: N }, (_, j) => j).filter((j) => j !== i).sort((a, b) => cosine(i, b) - cosine(i, a)).slice(0, k));
    const W = unit.map((_, i) => unit.map((_, j) => (near[i].includes(j) || near[j].includes(i) ? Math.max(cosine(i, j), 0) ** 3 : 0))), D = W.map((row) => row.reduce((a, b) => a + b, 0));
    // Neumann series.
    let F = unit.map((_, i) => [0, 1, 2].map((c) => Number(y[i] === c)));
    const Y = F;
    for (let step = 0; step < 400; step++) F = F.map((_, i) => [0, 1, 2].map((c) => Y[i][c] + alpha * W[i].reduce((sum, w, j) => sum + (w === 0 ? 0 : (w / Math.sqrt(D[i] * D[j])) * F[j][c]), 0)));
    const want = F.map((row) => { const sum = row.reduce((a, b) => a + b, 0); return sum > 1e-12 ? row.map((v) => v / sum) : [1 / 3, 1 / 3, 1 / 3]; });
    const { probabilities, labels: got, certainty } = labelPropagation(x, y, { alpha, neighbors: k });
    expectClose(probabilities.data, want.flat(), { atol: 3e-6 }); // cosines in float32
    expectExact(got.data, want.map((row) => row.indexOf(Math.max(...row))));
    expectClose(certainty.data, want.map((row) => 1 + row.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0) / Math.log(3)), { atol: 1e-4 }); // its slope at p near 0 is large
  });

  it("leaves rows that no label reaches undecided, and keeps labels at alpha 0", () => {
    const x = [[1, 0], [0.9, 0.1], [-1, 0], [-0.9, -0.1]];
    const { probabilities, labels: got, certainty } = labelPropagation(x, [0, -1, -1, -1], { neighbors: 1, classes: 2 });
    expectClose(probabilities.data, [1, 0, 1, 0, 0.5, 0.5, 0.5, 0.5], { atol: 1e-6 });
    expectExact(got.data, [0, 0, 0, 0]);
    expectClose(certainty.data, [1, 1, 0, 0], { atol: 1e-6 });
    expectExact(labelPropagation(x, [0, -1, 1, -1], { alpha: 0 }).probabilities.data, [1, 0, 0.5, 0.5, 0, 1, 0.5, 0.5]);
  });

  it("has these messages", () => {
    expect(() => labelPropagation([[1, 0], [0, 0]], [0, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: labelPropagation: expected \`features\` rows of finite length that is not 0, got length 0 in row 1]`);
    expect(() => labelPropagation([[1, 0]], [-1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: labelPropagation: expected \`labels\` with at least one label, got none]`);
    expect(() => labelPropagation([[1, 0]], [0], { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: labelPropagation: expected \`alpha\` in [0, 1), got 1]`);
    expect(() => labelPropagation([[1, 0]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: labelPropagation: expected \`labels\` of shape [1], got [2]]`);
  });
});
