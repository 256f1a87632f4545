import { logSoftmax } from "@logits/core-wasm";
import { tensor } from "@logits/tensor";
import { cifar10Vgg16, expectClose, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accuracy, auroc, brierScore, confusionMatrix, f1Score, negativeLogLikelihood, riskCoverage, topKAccuracy } from "./index.ts";
import aurocCases from "./fixtures/auroc.json" with { type: "json" };
import golden from "./fixtures/cifar10-vgg16.json" with { type: "json" };
import f1Cases from "./fixtures/f1.json" with { type: "json" };
import probabilityCases from "./fixtures/probabilities.json" with { type: "json" };
import riskCases from "./fixtures/riskCoverage.json" with { type: "json" };

const seed = { seed: 7, numRuns: 200 };
/** Few levels, so that ties are common. */
const tied = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), { minLength: 2, maxLength: 30 });

describe("accuracy and topKAccuracy", () => {
  it("agree with a stable descending sort", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }), fc.integer({ min: 0, max: 4 })), { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 5 }), (rows, k) => {
      const order = (row: number[]) => row.map((_, c) => c).sort((a, b) => row[b] - row[a] || a - b);
      const want = (n: number) => rows.filter(([row, y]) => order(row).slice(0, n).includes(y)).length / rows.length;
      const x = rows.map(([row]) => row), y = rows.map(([, label]) => label);
      expect(topKAccuracy(x, y, { k })).toBe(want(k));
      expect(accuracy(x, y)).toBe(want(1));
    }), seed);
  });

  it("give the first of equal scores, and infinities their place", () => {
    expect(accuracy([[1, 1], [1, 1]], [0, 1])).toBe(0.5);
    expect(accuracy([[-Infinity, -Infinity], [Infinity, 0]], [0, 0])).toBe(1);
    expect(topKAccuracy([[0, 0, 0]], [2], { k: 3 })).toBe(1);
  });

  it("equal scikit-learn's top_k_accuracy_score where no scores tie", () => {
    for (const { shape, probabilities, labels, topK } of probabilityCases.cases) {
      for (const { k, accuracy: want } of topK ?? []) expect(topKAccuracy(tensor(probabilities, shape), labels, { k })).toBe(want);
    }
  });
});

describe("negativeLogLikelihood", () => {
  it("agrees with the definition, also for log-probabilities", () => {
    const random = testRandom(3);
    const rows = Array.from({ length: 40 }, () => Array.from({ length: 6 }, () => Math.fround(10 * random.normal())));
    const y = rows.map(() => random.integer(6));
    const each = rows.map((row, i) => Math.log(row.reduce((sum, z) => sum + Math.exp(z - row[y[i]]), 0)));
    const total = each.reduce((a, b) => a + b);
    // Float32 exponentials within 1.2 ULP, a float32 result of up to 60 for "none".
    expectClose(negativeLogLikelihood(rows, y), total / 40, { atol: 1e-6 });
    expectClose(negativeLogLikelihood(rows, y, { reduction: "sum" }), total, { atol: 4e-5 });
    expectClose(negativeLogLikelihood(rows, y, { reduction: "none" }), each, { atol: 4e-6 });
    expectClose(negativeLogLikelihood(logSoftmax(tensor(rows)), y), total / 40, { atol: 4e-6 });
  });

  it("is Infinity for an impossible label and does not change with a shift", () => {
    expect(negativeLogLikelihood([[0, -Infinity], [0, 0]], [1, 0])).toBe(Infinity);
    expect(negativeLogLikelihood([[0, -Infinity]], [0])).toBe(0);
    expect(negativeLogLikelihood([[1000, 998], [-1000, -1002]], [1, 1])).toBe(negativeLogLikelihood([[2, 0], [2, 0]], [1, 1]));
  });

  it("equals scikit-learn's log_loss", () => {
    for (const { shape, probabilities, labels, negativeLogLikelihood: want } of probabilityCases.cases) {
      const p = tensor(probabilities, shape);
      // ln p rounded to float32 (half an ULP of up to 16) and normalised again.
      expectClose(negativeLogLikelihood({ data: p.data.map((v) => Math.log(v)), shape }, labels), want, { atol: 1e-6 });
    }
  });
});

describe("brierScore", () => {
  it("equals the definition, and for two classes twice the binary score", () => {
    for (const { shape, probabilities, labels, brierScore: want, binaryBrierScore } of probabilityCases.cases) {
      const got = brierScore(tensor(probabilities, shape), labels);
      expectClose(got, want, { rtol: 1e-12 });
      if (binaryBrierScore !== undefined) expectClose(got, 2 * binaryBrierScore, { atol: 1e-6 }); // float32 rows do not sum to 1 exactly
    }
  });

  it("is 0 for certain and right, 2 for certain and wrong", () => {
    expect(brierScore([[1, 0, 0]], [0])).toBe(0);
    expect(brierScore([[1, 0, 0]], [2])).toBe(2);
  });
});

describe("auroc", () => {
  it("counts pairs, ties one half", () => {
    fc.assert(fc.property(tied, (rows) => {
      const high = rows.filter(([, positive]) => positive), low = rows.filter(([, positive]) => !positive);
      fc.pre(high.length > 0 && low.length > 0);
      const wins = high.flatMap(([a]) => low.map(([b]) => (a > b ? 1 : a === b ? 0.5 : 0))).reduce((sum: number, w) => sum + w, 0);
      const scores = rows.map(([s]) => s), positives = rows.map(([, p]) => (p ? 1 : 0));
      expectClose(auroc(scores, positives), wins / high.length / low.length, { rtol: 1e-15 });
      expectClose(auroc(scores.map((s) => -s), positives), 1 - wins / high.length / low.length, { atol: 1e-15 });
      expect(auroc(scores.map((s) => s ** 3 - 5), positives)).toBe(auroc(scores, positives));
    }), seed);
  });

  it("equals scikit-learn's roc_auc_score", () => {
    for (const { scores, labels, auroc: want } of aurocCases.cases) expectClose(auroc(scores, labels), want, { rtol: 1e-14 }); // sklearn sums trapezoids
  });

  it("keeps float64 scores apart and takes infinities and signed zeros as numbers", () => {
    expect(auroc(Float64Array.of(1, 1 + 2 ** -50), [0, 1])).toBe(1);
    expect(auroc([-Infinity, 3, Infinity], [0, 0, 1])).toBe(1);
    expect(auroc([-0, 0], [0, 1])).toBe(0.5);
    expect(auroc([Infinity, Infinity], [0, 1])).toBe(0.5);
  });
});

describe("f1Score and confusionMatrix", () => {
  it("equal scikit-learn", () => {
    for (const { classes, predicted, labels, confusion, f1, macro, micro } of f1Cases.cases) {
      expect(confusionMatrix(predicted, labels, { classes }).toArray()).toEqual(confusion);
      // Harmonic mean of two rounded quotients there, one quotient here.
      expectClose(f1Score(predicted, labels, { classes, average: "none" }), f1, { rtol: 1e-14 });
      expectClose(f1Score(predicted, labels, { classes }), macro, { rtol: 1e-14 });
      expectClose(f1Score(predicted, labels, { classes, average: "micro" }), micro, { rtol: 1e-14 });
    }
  });

  it("count a class that never occurs as 0", () => {
    expect(Array.from(f1Score([0, 1], [0, 1], { classes: 3, average: "none" }))).toEqual([1, 1, 0]);
    expectClose(f1Score([0, 1], [0, 1], { classes: 3 }), 2 / 3, { rtol: 1e-15 });
    expect(confusionMatrix([2], [0]).toArray()).toEqual([[0, 0, 1], [0, 0, 0], [0, 0, 0]]);
  });
});

describe("riskCoverage", () => {
  it("equals the definition, ties in expectation over their orders", () => {
    for (const { name, confidence, errors, risk, aurcExpectedOverTies } of riskCases.cases) {
      const got = riskCoverage(confidence, errors);
      expectClose(got.aurc, aurcExpectedOverTies, { atol: 1e-15 });
      if (name !== "ties") expectClose(got.risk, risk, { rtol: 1e-15 });
      expectClose(got.risk[risk.length - 1], risk[risk.length - 1], { rtol: 1e-15 });
    }
  });

  it("does not depend on the order of the rows; eAurc is 0 for the best order", () => {
    fc.assert(fc.property(tied, (rows) => {
      const run = (r: typeof rows) => riskCoverage(r.map(([c]) => c), r.map(([, e]) => e) as unknown as number[]);
      const got = run(rows);
      expect(run([...rows].reverse())).toEqual(got);
      const best = [...rows].sort(([, a], [, b]) => Number(a) - Number(b)).map(([, e], i): [number, boolean] => [-i, e]);
      expectClose(run(best).eAurc, 0, { atol: 1e-15 });
      expectClose(got.aurc - got.eAurc, run(best).aurc, { atol: 1e-15 });
      expect(got.coverage[rows.length - 1]).toBe(1);
    }), seed);
  });

  it("takes one row and infinities", () => {
    expect(riskCoverage([0.3], [1])).toEqual({ coverage: Float64Array.of(1), risk: Float64Array.of(1), aurc: 1, eAurc: 0, augrc: 1 });
    expect(Array.from(riskCoverage([Infinity, -Infinity, 0], [0, 1, 0]).risk)).toEqual([0, 0, 1 / 3]);
  });
});

describe("VGG-16 on CIFAR-10", () => {
  it("gives the golden values", () => {
    const { probabilities, shape, labels } = cifar10Vgg16();
    const [want] = golden.cases;
    const p = { data: probabilities, shape };
    expect(accuracy(p, labels)).toBe(want.accuracy);
    expect(topKAccuracy(p, labels, { k: 2 })).toBe(want.top2Accuracy);
    expect(topKAccuracy(p, labels, { k: 5 })).toBe(want.top5Accuracy);
    expectClose(brierScore(p, labels), want.brierScore, { rtol: 1e-12 }); // order of summation
    // The reference is -ln p_y of the file; softmax(ln p) normalises again and ln p is rounded to float32.
    expectClose(negativeLogLikelihood({ data: probabilities.map((v) => Math.log(v)), shape }, labels), want.negativeLogLikelihood, { atol: 1e-7 });
    const predicted = Int32Array.from(labels, (_, n) => { const row = probabilities.subarray(10 * n, 10 * n + 10); return row.indexOf(Math.max(...row)); });
    const confidence = Float32Array.from(predicted, (c, n) => probabilities[10 * n + c]);
    expectClose(auroc(confidence, predicted.map((c, n) => Number(c === labels[n]))), want.aurocOfConfidence, { rtol: 1e-13 });
    expectClose(riskCoverage(confidence, predicted.map((c, n) => Number(c !== labels[n]))).aurc, want.aurcExpectedOverTies, { rtol: 1e-12 });
    expectClose(f1Score(predicted, labels), want.macroF1, { rtol: 1e-13 });
  });
});

describe("messages", () => {
  const x = [[0.5, 0.5], [0.25, 0.75]];
  it("say what is wrong", () => {
    expect(() => accuracy([1, 2], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: accuracy: expected \`logits\` of shape [N, C], got [2]]`);
    expect(() => accuracy({ data: new Float32Array(0), shape: [0, 3] }, [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: accuracy: expected \`logits\` with at least one row and one class, got shape [0, 3]]`);
    expect(() => accuracy(x, [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: accuracy: expected \`labels\` of shape [2], got [1]]`);
    expect(() => accuracy(x, [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: accuracy: expected \`labels\` in [0, 2), got 2 at index 1]`);
    expect(() => accuracy([[0, 1], [0, NaN]], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: accuracy: expected \`logits\` without NaN, got NaN in row 1, column 1]`);
    expect(() => topKAccuracy(x, [0, 1], { k: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: topKAccuracy: expected \`k\` an integer in [1, 2], got 3]`);
    expect(() => negativeLogLikelihood([[0, 1], [0, Infinity]], [0, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: negativeLogLikelihood: expected \`logits\` with rows that have a finite element and no Infinity, got row 1 without a distribution]`);
    expect(() => negativeLogLikelihood(x, [0, 1], { reduction: "median" as "mean" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: negativeLogLikelihood: expected \`reduction\` "mean", "sum" or "none", got median]`);
    expect(() => brierScore([[2, -1]], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: brierScore: expected \`probabilities\` with probabilities in [0, 1], got 2 in row 0, column 0. For logits apply softmax first]`);
    expect(() => auroc([1, NaN], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: auroc: expected \`scores\` without NaN, got NaN in row 1]`);
    expect(() => auroc([1, 2], [1, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: auroc: expected \`positives\` with at least one positive and one negative row, got 2 of 2 positive]`);
    expect(() => auroc([1, 2], [1, 0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: auroc: expected \`positives\` of shape [2], got [3]]`);
    expect(() => auroc([1, 2], [1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: auroc: expected \`positives\` of 0 and 1, got 2 at index 1]`);
    expect(() => riskCoverage([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: riskCoverage: expected \`confidence\` with at least one row, got none]`);
    expect(() => riskCoverage([1, 2], [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: riskCoverage: expected \`errors\` of shape [2], got [1]]`);
    expect(() => confusionMatrix([0, 1], [0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: confusionMatrix: expected \`labels\` of shape [2], got [1]]`);
    expect(() => confusionMatrix([], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: confusionMatrix: expected \`predicted\` with at least one row, got none]`);
    expect(() => f1Score([0, 3], [0, 1], { classes: 3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f1Score: expected \`predicted\` in [0, 3), got 3 at index 1]`);
    expect(() => f1Score([0, 1], [0, 1], { average: "weighted" as "macro" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: f1Score: expected \`average\` "macro", "micro" or "none", got weighted]`);
    expect(() => f1Score([0, 70000], [0, 1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: f1Score: expected \`classes\` at most 65536, got an index of 70000]`);
  });
});
