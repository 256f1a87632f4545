import { expectClose, expectExact, lossChecks, testRandom, type LossLike } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as ref from "./classification.ref.ts";
import { labelCases } from "./classification.ref.ts";
import { compSumLoss, generalizedCrossEntropyLoss, labelMaeLoss } from "./compSum.ts";
import { crossEntropy } from "./crossEntropy.ts";
import { aldrLoss, ldrLoss } from "./distributionallyRobust.ts";
import { confidencePenaltyLoss } from "./entropy.ts";
import { evidentialLoss } from "./evidential.ts";
import { entmax15Loss, entmaxLoss, sparsemaxLoss } from "./fenchelYoung.ts";
import { focalLoss } from "./focal.ts";
import { hierarchicalCrossEntropyLoss } from "./hierarchical.ts";
import { classBalancedWeights, ldamLoss, ldamMargins, logitAdjustedLoss, seesawLoss } from "./longTail.ts";
import { coralLoss, cornLoss, earthMoversLoss } from "./ordinal.ts";
import { polyLoss } from "./poly.ts";
import { binaryCrossEntropy } from "../multi-label/binaryCrossEntropy.ts";
import { bootstrapLoss, forwardCorrectionLoss, normalizedCrossEntropyLoss, symmetricCrossEntropyLoss, taylorCrossEntropyLoss } from "./robust.ts";

type Reference = (z: ArrayLike<number>, y: number, options: any) => number;
const noise = [[0.7, 0.1, 0.1, 0.1, 0], [0, 1, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2], [0, 0.5, 0, 0.5, 0], [0.05, 0.05, 0.1, 0.1, 0.7]], five = [3, 100, 17, 1, 40];

/** Name, loss, definition, options, and the size of predictions up to which the true value fits float32 and is not at a kink. */
type Entry = readonly [name: string, loss: LossLike, reference: Reference, options: readonly object[], extreme?: number | false];
const losses: readonly Entry[] = [
  ["focalLoss", focalLoss, ref.focalRef, [{}, { gamma: 0 }, { gamma: 0.5 }, { gamma: 3.7, alpha: [0.5, 1, 2, 0, 0.1] }]],
  ["polyLoss", polyLoss, (z, y, { epsilon = 2 }) => ref.ceRef(z, y) + epsilon * ref.qRef(z, y), [{}, { epsilon: -1 }]],
  ["compSumLoss", compSumLoss, ref.compSumRef, [{}, { tau: 1.5 }, { tau: 2 }]],
  ["compSumLoss below 1", compSumLoss, ref.compSumRef, [{ tau: 0 }, { tau: 0.5 }], 10],
  ["generalizedCrossEntropyLoss", generalizedCrossEntropyLoss, ref.gceRef, [{}, { q: 0 }, { q: 1 }, { q: 0.8, threshold: 0.1 }]],
  ["labelMaeLoss", labelMaeLoss, (z, y) => 2 * ref.qRef(z, y), [{}]],
  ["symmetricCrossEntropyLoss", symmetricCrossEntropyLoss, ref.sceRef, [{}, { alpha: 6, beta: 0.1, logZero: -2 }]],
  ["taylorCrossEntropyLoss", taylorCrossEntropyLoss, ref.taylorRef, [{}, { order: 1 }, { order: 6 }]],
  ["normalizedCrossEntropyLoss", normalizedCrossEntropyLoss, ref.nceRef, [{}, { alpha: 2, beta: 0.5 }]],
  ["bootstrapLoss", bootstrapLoss, ref.bootstrapRef, [{}, { beta: 0.3 }]],
  ["bootstrapLoss, hard", bootstrapLoss, ref.bootstrapRef, [{ target: "hard" }], false], // at a tie of the argmax the definition has a kink
  ["forwardCorrectionLoss", forwardCorrectionLoss, ref.forwardRef, [{ noise }], 50],
  ["ldrLoss", ldrLoss, ref.ldrRef, [{}, { lambda: 0.5, margin: 0.3 }, { lambda: 5, margin: 1 }], 20], // scores and margins are added in float32
  ["aldrLoss", aldrLoss, ref.aldrRef, [{}, { lambda: 3, margin: 0.5, alpha: 4 }], 20],
  ["logitAdjustedLoss", logitAdjustedLoss, ref.adjustedRef, [{ prior: five }, { prior: five, tau: 1.5 }, { prior: five, tau: 0 }], 20],
  ["ldamLoss", ldamLoss, ref.ldamRef, [{ margins: [0.5, 0.1, 0.2, 0, 0.3], scale: 5 }]],
  ["seesawLoss", seesawLoss, ref.seesawRef, [{ counts: five, gradient: "exact" }, { counts: five, gradient: "exact", p: 2, q: 0.5 }], false], // at ties of scores the definition has a kink
  ["confidencePenaltyLoss", confidencePenaltyLoss, (z, y, { beta = 0.1 }) => ref.ceRef(z, y) - beta * ref.entropyRef(z), [{}, { beta: 1.5 }]],
  ["hierarchicalCrossEntropyLoss", hierarchicalCrossEntropyLoss, ref.hierarchicalRef, [{ parents: [5, 5, 6, 6, 7, 7, 7, -1] }, { parents: [5, 5, 6, 6, 7, 7, 7, -1], alpha: 0.4 }], 20],
  ["sparsemaxLoss", sparsemaxLoss, (z, y) => ref.entmaxRef(z, y, { alpha: 2 }), [{}]],
  ["entmax15Loss", entmax15Loss, (z, y) => ref.entmaxRef(z, y, { alpha: 1.5 }), [{}]],
  ["entmaxLoss", entmaxLoss, ref.entmaxRef, [{}, { alpha: 1.2 }, { alpha: 3 }]],
  ["evidentialLoss", evidentialLoss, ref.evidentialRef, [{}, { form: "log" }, { form: "digamma" }, { form: "squared", kl: 0.5 }]],
  ["coralLoss", coralLoss, ref.coralRef, [{}]],
  ["cornLoss", cornLoss, ref.cornRef, [{}]],
  ["earthMoversLoss", earthMoversLoss, ref.earthRef, [{}]],
];

describe.each(losses.map((entry) => ({ name: entry[0], entry })))("$name", ({ entry: [name, loss, reference, options, extreme = 1e3] }) => {
  // Ordinal labels go up to the number of logits, trees to that of nodes.
  const most = /^(coral|corn)/.test(name) ? 6 : name.startsWith("hierarchical") ? 8 : 5;
  it.each(lossChecks({
    name,
    loss,
    cases: options.flatMap((one) => labelCases([[7, 5]], one)).map((one) => (most > 5 ? { ...one, arguments: [one.arguments[0], { ...one.arguments[1], data: Int32Array.of(0, most - 1, 2, 4, 3, 5, 1) }] as never } : one)),
    reference: ([z, [y]], given) => reference(z, y, given),
    // Values of up to ten terms of size 1, rounded once; kinks and central differences of 1e-9.
    bound: { rtol: 1e-6, atol: 1e-6 },
    gradientBound: { rtol: 2e-6, atol: 2e-6 },
    labels: { argument: 1, classes: most },
    extreme,
  }))("$name", ({ run }) => run());
});

describe("limits", () => {
  const [{ arguments: [z, y] }] = labelCases([[40, 5]], {}, 3), ce = crossEntropy.withGrad(z, y, { reduction: "none" });
  const same = (loss: LossLike, options: object, factor = 1): void => {
    const { loss: value, grad } = loss.withGrad(z, y, { reduction: "none", ...options }) as unknown as typeof ce;
    expectClose(value.data, ce.loss.data.map((v) => v * factor), { rtol: 4e-7, atol: 1e-7 });
    expectClose(grad.data, ce.grad.data.map((v) => v * factor), { atol: 4e-7 });
  };

  it.each<[string, LossLike, object, number?]>([
    ["focalLoss with gamma 0", focalLoss, { gamma: 0 }],
    ["polyLoss with epsilon 0", polyLoss, { epsilon: 0 }],
    ["compSumLoss with tau 1", compSumLoss, { tau: 1 }],
    ["compSumLoss with tau to 1", compSumLoss, { tau: 1 + 1e-8 }],
    ["generalizedCrossEntropyLoss with q 0", generalizedCrossEntropyLoss, { q: 0 }],
    ["generalizedCrossEntropyLoss with q to 0", generalizedCrossEntropyLoss, { q: 1e-8 }],
    ["symmetricCrossEntropyLoss with beta 0", symmetricCrossEntropyLoss, { alpha: 2, beta: 0 }, 2],
    ["bootstrapLoss with beta 1", bootstrapLoss, { beta: 1 }],
    ["forwardCorrectionLoss without noise", forwardCorrectionLoss, { noise: [0, 1, 2, 3, 4].map((i) => [0, 1, 2, 3, 4].map((j) => Number(i === j))) }],
    ["logitAdjustedLoss with equal classes", logitAdjustedLoss, { prior: [1, 1, 1, 1, 1] }],
    ["ldamLoss without margins", ldamLoss, { margins: [0, 0, 0, 0, 0], scale: 1 }],
    ["seesawLoss with p and q 0", seesawLoss, { counts: five, p: 0, q: 0 }],
    ["confidencePenaltyLoss with beta 0", confidencePenaltyLoss, { beta: 0 }],
    ["hierarchicalCrossEntropyLoss with leaves as labels", hierarchicalCrossEntropyLoss, { parents: [5, 5, 6, 6, 7, 7, 7, -1] }],
    ["hierarchicalCrossEntropyLoss of a flat tree", hierarchicalCrossEntropyLoss, { parents: [5, 5, 5, 5, 5, -1], alpha: 0.7 }],
  ])("%s is cross-entropy", (_, loss, options, factor) => same(loss, options, factor));

  it("taylorCrossEntropyLoss of many terms is cross-entropy", () => {
    const sure: number[] = Array.from(ce.loss.data, (v, i) => (v < 3 ? i : -1)).filter((i) => i >= 0), many = taylorCrossEntropyLoss(z, y, { order: 1000, reduction: "none" });
    expectClose(sure.map((i) => many.data[i]), sure.map((i) => ce.loss.data[i]), { rtol: 4e-7 });
  });

  it("ldrLoss goes from the Crammer-Singer hinge over cross-entropy to a linear loss [paper:label-distributionally-robust-losses-for-multi-class-classification-consistency]", () => {
    const rows = Array.from({ length: 40 }, (_, b) => Array.from(z.data.subarray(5 * b, 5 * b + 5)));
    expectClose(ldrLoss(z, y, { reduction: "none" }).data, ce.loss.data.map((v) => v - Math.log(5)), { atol: 1e-6 });
    expectClose(ldrLoss(z, y, { lambda: 1e-3, margin: 1, reduction: "none" }).data, rows.map((row, b) => Math.max(...row.map((v, c) => v - row[y.data[b]] + Number(c !== y.data[b])))), { atol: 1e-3 * Math.log(5) + 1e-5 });
    expectClose(ldrLoss(z, y, { lambda: 1e5, reduction: "none" }).data, rows.map((row, b) => row.reduce((sum, v) => sum + v / 5, 0) - row[y.data[b]]), { atol: 1e-2 }); // -lambda log p - lambda log C: float32 scores over 1e5
  });

  it("aldrLoss held firmly is ldrLoss", () => {
    expectClose(aldrLoss(z, y, { alpha: 1e9, reduction: "none" }).data, ldrLoss(z, y, { reduction: "none" }).data, { atol: 1e-6 });
  });

  it("entmaxLoss with alpha 1.5 and 2 is entmax15Loss and sparsemaxLoss; to 1, cross-entropy", () => {
    for (const [alpha, other] of [[1.5, entmax15Loss], [2, sparsemaxLoss]] as const) {
      const a = entmaxLoss.withGrad(z, y, { alpha, reduction: "none" }), b = other.withGrad(z, y, { reduction: "none" });
      expectClose(a.loss.data, b.loss.data, { rtol: 2e-7, atol: 1e-9 });
      expectClose(a.grad.data, b.grad.data, { atol: 1e-7 });
    }
    expectClose(entmaxLoss(z, y, { alpha: 1.01, reduction: "none" }).data, ce.loss.data, { rtol: 0.05, atol: 0.05 });
  });

  it("compSumLoss joins sums of exponentials, generalised cross-entropy and labelMaeLoss [paper:cross-entropy-loss-functions-theoretical-analysis-and-applications]", () => {
    const mae = labelMaeLoss(z, y, { reduction: "none" }).data;
    expectClose(compSumLoss(z, y, { tau: 2, reduction: "none" }).data, mae.map((v) => v / 2), { rtol: 3e-7 });
    for (const tau of [1.2, 1.7]) expectClose(compSumLoss(z, y, { tau, reduction: "none" }).data, generalizedCrossEntropyLoss(z, y, { q: tau - 1, reduction: "none" }).data, { rtol: 3e-7 });
    const u = Array.from({ length: 40 }, (_, b) => Array.from(z.data.subarray(5 * b, 5 * b + 5)).reduce((sum, v, c) => (c === y.data[b] ? sum : sum + Math.exp(v - z.data[5 * b + y.data[b]])), 0));
    for (const tau of [0, 0.5]) expectClose(compSumLoss(z, y, { tau, reduction: "none" }).data, u.map((v) => ((1 + v) ** (1 - tau) - 1) / (1 - tau)), { rtol: 1e-6 });
    expectClose(generalizedCrossEntropyLoss(z, y, { q: 1, reduction: "none" }).data, mae.map((v) => v / 2), { rtol: 3e-7 });
    expectClose(symmetricCrossEntropyLoss(z, y, { alpha: 0, beta: 1, reduction: "none" }).data, mae.map((v) => 2 * v), { rtol: 3e-7 });
    expectClose(taylorCrossEntropyLoss(z, y, { order: 1, reduction: "none" }).data, mae.map((v) => v / 2), { rtol: 3e-7 });
  });
});

describe("special values", () => {
  const one: readonly (readonly [string, LossLike, object])[] = losses.flatMap(([name, loss, , options]) => (/coral|corn/.test(name) ? [] : options.map((given) => [name.replace(/\[.*\] /, ""), loss, given] as const)));

  it.each(one)("%s: an impossible class beside the label leaves values and gradients finite, %#", (_name, loss, options) => {
    const { loss: value, grad } = loss.withGrad([[0.5, -Infinity, 1, -1, 0]], [2], options) as unknown as { loss: { item(): number }; grad: { data: Float32Array } };
    expect(value.item()).toSatisfy(Number.isFinite);
    grad.data.forEach((g) => expect(g).toSatisfy(Number.isFinite));
    expect(Math.abs(grad.data[1])).toBe(0);
  });

  it.each(one)("%s: NaN makes its row NaN and no other, %#", (_name, loss, options) => {
    const { loss: value, grad } = loss.withGrad([[0.5, 0, 1, NaN, 0], [0.5, 0, 1, 0, 0]], [2, 2], { ...options, reduction: "none" }) as unknown as { loss: { data: Float32Array }; grad: { data: Float32Array } };
    expect(value.data[0]).toBe(NaN);
    expect(value.data[1]).toSatisfy(Number.isFinite);
    expect(grad.data.subarray(0, 5).some(Number.isNaN)).toBe(true);
    grad.data.subarray(5).forEach((g) => expect(g).toSatisfy(Number.isFinite));
  });

  it("focalLoss is finite at p = 1 and p = 0 for every gamma", () => {
    for (const gamma of [0, 0.25, 0.5, 1, 2]) {
      const { loss, grad } = focalLoss.withGrad([[200, 0], [0, 200], [30, 0]], [0, 0, 0], { gamma, reduction: "none" });
      expectClose(loss.data, [0, 200, Math.exp(-30) ** (gamma + 1)], { rtol: 1e-6 });
      grad.data.forEach((g) => expect(g).toSatisfy(Number.isFinite));
      expectExact(grad.data.subarray(2, 4), [-1, 1]);
    }
    expect(focalLoss([[-Infinity, 0]], [0]).item()).toBe(Infinity);
  });

  it("bounded losses have their bound where the label is impossible", () => {
    expect(generalizedCrossEntropyLoss([[-Infinity, 0]], [0], { q: 0.5 }).item()).toBe(2);
    expect(labelMaeLoss([[-Infinity, 0]], [0]).item()).toBe(2);
    expect(normalizedCrossEntropyLoss([[-Infinity, 0]], [0]).item()).toBe(1);
    expect(compSumLoss([[-Infinity, 0]], [0], { tau: 1.5 }).item()).toBe(2);
    expect(taylorCrossEntropyLoss([[-Infinity, 0]], [0], { order: 2 }).item()).toBe(1.5);
    expect(symmetricCrossEntropyLoss([[-Infinity, 0]], [0], { alpha: 0 }).item()).toBe(4);
  });

  it("compSumLoss below tau 1 has gradients that are infinite or numbers, not NaN, at any gap", () => {
    for (const [tau, small] of [[0, Math.exp(5)], [0.5, 0], [0.9, 0]]) {
      const { loss, grad } = compSumLoss.withGrad([[0, 1e4, 5], [1e4, 0, 5], [-Infinity, 0, -Infinity]], [0, 0, 0], { tau, reduction: "none" });
      expectClose(loss.data, [Infinity, 0, Infinity], { atol: 0 });
      expectClose(grad.data, [-Infinity, Infinity, small, 0, 0, 0, -Infinity, Infinity, 0], { rtol: 3e-7 });
    }
    // 1 / p[y] is not a float32 here, and the class of exp(-10) of it is.
    expectClose(compSumLoss.withGrad([[-100, 0, -110]], [0], { tau: 0 }).grad.data.subarray(2), [Math.exp(-10)], { rtol: 3e-7 });
  });

  it("sparse losses are exactly 0, with their gradients, where the label leads far enough", () => {
    for (const [loss, lead] of [[sparsemaxLoss, 1], [entmax15Loss, 2]] as const) {
      const { loss: value, grad } = loss.withGrad([[lead, 0, -5]], [0]);
      expect(value.item()).toBe(0);
      grad.data.forEach((g) => expect(Math.abs(g)).toBe(0));
    }
  });

  it("truncated generalised cross-entropy has no gradient below its threshold", () => {
    const { loss, grad } = generalizedCrossEntropyLoss.withGrad([[0, 1, 1]], [0], { threshold: 0.5 });
    expectClose(loss.item(), (1 - 0.5 ** 0.7) / 0.7, { rtol: 1e-7 });
    grad.data.forEach((g) => expect(Math.abs(g)).toBe(0));
  });
});

describe("seesawLoss", () => {
  const random = testRandom(5), counts = five, z = Array.from({ length: 5 }, () => 2 * random.normal());
  it.each([0, 1, 2, 3, 4])("has the value and both gradients, label %i", (label) => {
    const step = 1e-6, moved = (c: number, by: number): number[] => z.map((v, k) => (k === c ? v + by : v));
    for (const gradient of ["official", "exact"] as const) {
      const { loss, grad } = seesawLoss.withGrad([z], [label], { counts, gradient }), frozen = gradient === "official" ? z : undefined;
      expectClose(loss.item(), ref.seesawRef(z, label, { counts }), { rtol: 1e-6, atol: 1e-7 });
      const want = z.map((_, c) => (ref.seesawRef(moved(c, step), label, { counts }, frozen) - ref.seesawRef(moved(c, -step), label, { counts }, frozen)) / (2 * step));
      expectClose(grad.data, want, { atol: 2e-6 }); // scores up to 10, rounded
    }
  });
});

describe("weights and margins of classes", () => {
  it("ldamMargins fall with the fourth root, and are equal for equal counts [paper:rethinking-the-value-of-labels-for-improving-class-imbalanced]", () => {
    expectExact(ldamMargins([16, 1]).data, [0.25, 0.5]);
    expectExact(ldamMargins([7, 7, 7], 0.2).data, Float32Array.of(0.2, 0.2, 0.2));
    expectClose(ldamMargins([10, 1000]).data[0] / ldamMargins([10, 1000]).data[1], 100 ** 0.25, { rtol: 2e-7 });
  });

  it("LDAM's form for independent labels is a binary cross-entropy of lowered logits [paper:transicd-transformer-based-code-wise-attention-model-for-explainable]", () => {
    const margins = ldamMargins([100, 10, 1]).data, z = [[0.5, -1, 2]], t = [[1, 0, 1]], lowered = z.map((row) => row.map((v, c) => v - t[0][c] * margins[c]));
    expectClose(binaryCrossEntropy(lowered, t).item(), [0, 1, 2].reduce((sum, c) => sum + Math.log1p(Math.exp(t[0][c] === 1 ? margins[c] - z[0][c] : z[0][c])) / 3, 0), { rtol: 3e-7 });
    expectClose(margins[2] / margins[0], 100 ** 0.25, { rtol: 2e-7 });
    expectClose(ldamLoss(z, [0], { margins: [0, 0, 0], scale: 1 }).item(), crossEntropy(z, [0]).item(), { rtol: 2e-7 });
  });

  it("generalised cross-entropy of the predicted class is robust pseudo-labelling: sure rows learn most [paper:if-your-data-distribution-shifts-use-self-learning]", () => {
    const z = [[4, 0, 0], [0.1, 0, 0]], { loss, grad } = generalizedCrossEntropyLoss.withGrad(z, [0, 0], { q: 0.8, reduction: "none" });
    z.forEach((row, b) => {
      const p = ref.softmaxRef(row);
      expectClose(loss.data[b], (1 - p[0] ** 0.8) / 0.8, { rtol: 1e-6 });
      expectClose(grad.data.subarray(3 * b, 3 * b + 3), p.map((v, c) => p[0] ** 0.8 * (v - Number(c === 0))), { atol: 1e-7 });
    });
  });

  it("classBalancedWeights sum to C, from equal to inverse counts", () => {
    expectClose(classBalancedWeights([1, 2], { beta: 0.5 }).data, [1.2, 0.8], { rtol: 1e-7 });
    expectExact(classBalancedWeights([1, 50, 3], { beta: 0 }).data, [1, 1, 1]);
    const inverse = classBalancedWeights([10, 40], { beta: 1 - 1e-9 }).data;
    expectClose(inverse, [1.6, 0.4], { rtol: 1e-6 });
  });

  it("say what they refuse", () => {
    expect(() => ldamMargins([1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldamMargins: expected \`counts\` finite and > 0, got 0 at index 1]`);
    expect(() => ldamMargins([[1], [2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldamMargins: expected \`counts\` of shape [C], got [2, 1]]`);
    expect(() => ldamMargins([1], -1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldamMargins: expected \`largest\` a finite number > 0, got -1]`);
    expect(() => classBalancedWeights([1, 2], { beta: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: classBalancedWeights: expected \`beta\` in [0, 1), got 1]`);
  });
});

describe("messages", () => {
  it("say what is refused", () => {
    const z = [[1, 2]], y = [0];
    expect(() => focalLoss(z, y, { gamma: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: focalLoss: expected \`gamma\` a finite number >= 0, got -1]`);
    expect(() => focalLoss(z, y, { alpha: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: focalLoss: expected \`alpha\` of shape [2], got [1]]`);
    expect(() => polyLoss(z, y, { epsilon: -2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: polyLoss: expected \`epsilon\` a finite number >= -1, got -2]`);
    expect(() => compSumLoss(z, y, { tau: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: compSumLoss: expected \`tau\` in [0, 2], got 3]`);
    expect(() => generalizedCrossEntropyLoss(z, y, { q: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: generalizedCrossEntropyLoss: expected \`q\` in [0, 1], got 2]`);
    expect(() => generalizedCrossEntropyLoss(z, y, { threshold: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: generalizedCrossEntropyLoss: expected \`threshold\` in [0, 1), got 1]`);
    expect(() => symmetricCrossEntropyLoss(z, y, { alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: symmetricCrossEntropyLoss: expected \`alpha\` a finite number >= 0, got -1]`);
    expect(() => symmetricCrossEntropyLoss(z, y, { logZero: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: symmetricCrossEntropyLoss: expected \`logZero\` a finite number < 0, got 0]`);
    expect(() => taylorCrossEntropyLoss(z, y, { order: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: taylorCrossEntropyLoss: expected \`order\` an integer in [1, 1000], got 0]`);
    expect(() => normalizedCrossEntropyLoss(z, y, { beta: NaN })).toThrowErrorMatchingInlineSnapshot(`[RangeError: normalizedCrossEntropyLoss: expected \`beta\` a finite number >= 0, got NaN]`);
    expect(() => bootstrapLoss(z, y, { target: "firm" as "hard" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapLoss: expected \`target\` "soft" or "hard", got "firm"]`);
    expect(() => bootstrapLoss(z, y, { beta: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: bootstrapLoss: expected \`beta\` in [0, 1], got 2]`);
    expect(() => forwardCorrectionLoss(z, y, { noise: [[1, 0]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: forwardCorrectionLoss: expected \`noise\` of shape [2, 2], got [1, 2]]`);
    expect(() => forwardCorrectionLoss(z, y, { noise: [[1, 0], [0.5, 0.4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: forwardCorrectionLoss: expected \`noise\` to have rows that are not negative and sum to 1, got 0.5, 0.4000000059604645 in row 1]`);
    expect(() => ldrLoss(z, y, { lambda: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldrLoss: expected \`lambda\` a finite number > 0, got 0]`);
    expect(() => ldrLoss(z, y, { margin: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldrLoss: expected \`margin\` a finite number >= 0, got -1]`);
    expect(() => aldrLoss(z, y, { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: aldrLoss: expected \`alpha\` a finite number > 1, got 1]`);
    expect(() => logitAdjustedLoss(z, y, { prior: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitAdjustedLoss: expected \`prior\` of shape [2], got [3]]`);
    expect(() => ldamLoss(z, y, { margins: [1, -2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldamLoss: expected \`margins\` finite and not negative, got -2 at index 1]`);
    expect(() => ldamLoss(z, y, { margins: [1, 2], scale: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ldamLoss: expected \`scale\` a finite number > 0, got 0]`);
    expect(() => seesawLoss(z, y, { counts: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: seesawLoss: expected \`counts\` of shape [2], got [3]]`);
    expect(() => seesawLoss(z, y, { counts: [1, 2], p: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: seesawLoss: expected \`p\` a finite number >= 0, got -1]`);
    expect(() => seesawLoss(z, y, { counts: [1, 2], gradient: "true" as "exact" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: seesawLoss: expected \`gradient\` "official" or "exact", got "true"]`);
    expect(() => confidencePenaltyLoss(z, y, { beta: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: confidencePenaltyLoss: expected \`beta\` a finite number >= 0, got -1]`);
    expect(() => entmaxLoss(z, y, { alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: entmaxLoss: expected \`alpha\` in [1.01, 16], got 1]`);
    expect(() => evidentialLoss(z, y, { form: "sum" as "log" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: evidentialLoss: expected \`form\` "squared", "digamma" or "log", got "sum"]`);
    expect(() => evidentialLoss(z, y, { kl: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: evidentialLoss: expected \`kl\` a finite number >= 0, got -1]`);
    expect(() => coralLoss(z, [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coralLoss: expected \`labels\` of shape [1], got [1, 1]]`);
    expect(() => coralLoss(z, [3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: coralLoss: expected \`labels\` in [0, 3), got 3 at index 0]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`parents\` of more than 2 nodes, got 2]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 1, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`parents\` a tree whose first nodes are the leaves, got 1 above leaf 1]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 2, 3, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`parents\` a tree whose first nodes are the leaves, got 2 above leaf 0]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 2, -1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`parents\` a tree whose first nodes are the leaves, got no leaf below node 3]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 3, -1, -1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`parents\` with one root, -1, got 2]`);
    expect(() => hierarchicalCrossEntropyLoss(z, y, { parents: [2, 2, -1], alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: hierarchicalCrossEntropyLoss: expected \`alpha\` a finite number >= 0, got -1]`);
  });
});
