import { core } from "@logits/core-wasm";
import { detectorChecks, estimatorChecks, expectClose, expectExact, finiteDifferenceGradient, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/headDetector.json" with { type: "json" };
import { headDetectorRef } from "./headDetector.ref.ts";
import { HeadDetector, detectorFromJSON, type HeadDetectorMethod } from "./index.ts";

const METHODS: readonly HeadDetectorMethod[] = ["fdbd", "nci", "gradNorm"];
const plain = (data: ArrayLike<number>, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data: Float32Array.from(data) });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const scores = (detector: HeadDetector, features: Plain | readonly (readonly number[])[]): number[] => Array.from(detector.score({ features: features as Plain }).data);
const columns = (weights: Plain): number[][] => Array.from({ length: weights.shape[1] }, (_, c) => list(weights).map((row) => row[c]));

function world(n: number, f: number, c: number, stream: number): { features: Plain; head: { weights: Plain; bias: Plain }; mean: number[] } {
  const random = testRandom(stream), features = plain(Float32Array.from({ length: n * f }, () => 1 + random.normal()), f);
  const weights = plain(Float32Array.from({ length: f * c }, () => random.normal()), c), bias: Plain = { dtype: "float32", shape: [c], data: Float32Array.from({ length: c }, () => random.normal()) };
  return { features, head: { weights, bias }, mean: Array.from({ length: f }, (_, j) => list(features).reduce((sum, row) => sum + row[j], 0) / n) };
}

describe("agrees with the definition", () => {
  for (const method of METHODS) {
    it.each([[1, 2], [2, 2], [5, 3], [17, 10], [40, 300]])(`${method}, F = %i, C = %i`, (f, c) => {
      const { features, head, mean } = world(50, f, c, f + c), probe = world(12, f, c, 7).features, detector = HeadDetector.fit(method, head, { features });
      // Logits to (F + 2) 2^-24 of the sum of their products, which a difference of two does not cancel on the mean; probabilities to e to that.
      list(probe).forEach((row, i) => expectClose(scores(detector, [row])[0], headDetectorRef(method, row, columns(head.weights), Array.from(head.bias.data), mean), { rtol: (f + 20) * 2 ** -21, atol: method === "gradNorm" ? c * 1e-5 : 2e-5, label: `row ${i}` }));
      detector.dispose();
    });
  }

  it.each(fixture.cases.flatMap((c) => METHODS.map((method) => [method, c.name, c] as const)))("OpenOOD's formulas and torch's gradients: %s, %s", (method, _, item) => {
    const detector = HeadDetector.fit(method, { weights: plain(item.weights, item.classes), bias: item.bias }, { features: plain(item.features, item.shape[1]) });
    expectClose(scores(detector, plain(item.rows, item.shape[1])), item[method], { rtol: 1e-5, atol: 1e-6 });
  });

  it("gradNorm is the length of the gradient by the weights, by differences", () => {
    const { head, features } = world(3, 4, 3, 5), w = Float64Array.from(head.weights.data);
    for (const row of list(features)) {
      const loss = (weights: Float64Array): number => {
        const z = Array.from(head.bias.data, (b, c) => b + row.reduce((sum, v, j) => sum + v * weights[3 * j + c], 0));
        return z.reduce((sum, v) => sum - v, 3 * Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0)));
      };
      const length = finiteDifferenceGradient(loss, w).reduce((sum, v) => sum + Math.abs(v), 0);
      expectClose(scores(HeadDetector.fit("gradNorm", head), [row]), [-length], { rtol: 1e-5 });
    }
  });
});

describe("laws", () => {
  const { features, head } = world(60, 8, 5, 3), probe = world(25, 8, 5, 4).features;

  it("the order of features, with that of the weights, and of classes does not matter; a number added to all of the bias changes nothing", () => {
    const order = testRandom(6).permutation(8), turn = (x: Plain): Plain => plain(list(x).flatMap((row) => order.map((j) => row[j])), 8);
    for (const method of METHODS) {
      const want = scores(HeadDetector.fit(method, head, { features }), probe);
      expectClose(scores(HeadDetector.fit(method, { weights: plain(order.flatMap((j) => list(head.weights)[j]), 5), bias: head.bias }, { features: turn(features) }), turn(probe)), want, { rtol: 1e-5, atol: 1e-4 });
      expectClose(scores(HeadDetector.fit(method, { weights: plain(list(head.weights).flatMap((row) => row.toReversed()), 5), bias: { ...head.bias, data: head.bias.data.toReversed() } }, { features }), probe), want, { rtol: 1e-5, atol: 1e-4 });
      expectClose(scores(HeadDetector.fit(method, { ...head, bias: { ...head.bias, data: head.bias.data.map((v) => v + 4) } }, { features }), probe), want, { rtol: 1e-4, atol: 1e-4 });
    }
  });

  it("fdbd does not change when weights and bias grow together; nci without alpha grows with the weights", () => {
    const large = { weights: plain(head.weights.data.map((v) => 8 * v), 5), bias: { ...head.bias, data: head.bias.data.map((v) => 8 * v) } };
    expectClose(scores(HeadDetector.fit("fdbd", large, { features }), probe), scores(HeadDetector.fit("fdbd", head, { features }), probe), { rtol: 1e-5, atol: 1e-6 });
    expectClose(scores(HeadDetector.fit("nci", large, { features, alpha: 0 }), probe), scores(HeadDetector.fit("nci", head, { features, alpha: 0 }), probe).map((v) => 8 * v), { rtol: 1e-6 });
  });

  it("more rows than go through the layer at a time, and fitAsync, give the same bits", async () => {
    const many = world(1100, 8, 5, 9).features;
    for (const method of METHODS) {
      const detector = HeadDetector.fit(method, head, { features }), all = scores(detector, many);
      for (const i of [0, 511, 512, 1099]) expectExact(scores(detector, [list(many)[i]]), [all[i]]);
      expectExact(scores(await HeadDetector.fitAsync(method, head, { features }), many), all);
      expect(detector.fingerprints?.firstShared([list(features)[30]])).toBe(method === "gradNorm" ? undefined : 0);
    }
  });
});

describe("special values", () => {
  it("NaN stays NaN, an infinity or logits beyond float32 are infinitely far", () => {
    const { features, head } = world(20, 3, 4, 1);
    for (const method of METHODS) {
      expect(scores(HeadDetector.fit(method, head, { features }), [[NaN, 1, 1], [1, Infinity, 1], [NaN, Infinity, 0], [3e38, 3e38, 3e38]])).toEqual([NaN, Infinity, NaN, Infinity]);
    }
  });

  it("at the mean feature; classes with equal weights; zeros", () => {
    const head = { weights: [[1, 0, 0], [0, 1, 1]], bias: [0, 0, 0] }, features = [[1, 1], [3, 1]];
    const fdbd = HeadDetector.fit("fdbd", head, { features });
    // Class 0 wins at the mean (2, 1).
    expect(scores(fdbd, [[2, 1]])).toEqual([-Infinity]);
    // Class 1 wins: its twin has no boundary with it, only class 0 counts: (3 - 1) / sqrt(2) / sqrt(5).
    expectClose(scores(fdbd, [[1, 3]]), [-2 / Math.SQRT2 / Math.sqrt(5)], { rtol: 1e-6 });
    expect(scores(HeadDetector.fit("fdbd", { weights: [[1, 1], [2, 2]], bias: [1, 0] }, { features }), [[5, 5], [2, 1]])).toEqual([0, 0]);
    expectClose(scores(HeadDetector.fit("nci", head, { features }), [[2, 1]]), [-3e-4], { rtol: 1e-6 });
    expect(scores(HeadDetector.fit("gradNorm", head), [[0, 0]])).toEqual([0]);
  });

  it("gives its memory back", () => {
    const { features, head } = world(5, 500, 100, 2), detector = HeadDetector.fit("fdbd", head, { features }), before = core.bytesInUse;
    detector.score({ features });
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
    expect(() => detector.score({ features })).toThrowError("dispose()");
  });
});

describe("batteries", () => {
  // Three classes along the first three axes; the fourth feature means nothing to the head.
  const random = testRandom(8), cloud = (n: number): Plain => plain(Float32Array.from({ length: 4 * n }, (_, i) => (i % 4 === Math.floor(i / 4) % 3 ? 5 : 0) + 0.3 * random.normal()), 4);
  const features = cloud(90), usual = cloud(40), head = { weights: [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]] };
  const away = plain([3, 5, 10].flatMap((t) => [5 / 3 + 0.1, 5 / 3, 5 / 3, t]), 4), flat = plain([0.5, 0.2, 0.01].flatMap((t) => [t, 0, 0, 0]), 4);
  for (const method of METHODS) {
    it.each(estimatorChecks<HeadDetector>({
      name: method, data: [features], fit: (rows) => HeadDetector.fit(method, head, { features: rows }), output: (detector) => detector.score({ features: usual }), fromJSON: HeadDetector.fromJSON,
      // The mean is summed in another order and rounded to float32.
      rowOrder: { rtol: 1e-6 },
      wrongWidth: [(detector) => detector.score({ features: [[1, 2]] })],
      base64: ["weights.data", "bias.data", ...(method === "gradNorm" ? [] : ["mean.data"])],
    }))(`${method}: $name`, ({ run }) => run());
    it.each(detectorChecks({ name: method, make: () => HeadDetector.fit(method, head, { features }), fromJSON: (json) => detectorFromJSON(json) as HeadDetector, usual, far: method === "gradNorm" ? flat : away }))(`${method}: $name`, ({ run }) => run());
  }
});

it("says what is wrong", () => {
  const head = { weights: [[1, 0], [0, 1]] }, fit = (...of: Parameters<typeof HeadDetector.fit>) => () => HeadDetector.fit(...of);
  expect(fit("odin" as never, head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`method\` "fdbd", "nci", "gradNorm", got odin]`);
  expect(fit("fdbd", head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`features\` for the method fdbd, got none]`);
  expect(fit("nci", head, { features: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`features\` of shape [N, 2], N >= 1, got [1, 3]]`);
  expect(fit("nci", head, { features: [[1, Infinity]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`features\` of finite numbers, got Infinity in row 0, column 1]`);
  expect(fit("nci", head, { features: [[1, 2]], alpha: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`alpha\` a finite number >= 0, got -1]`);
  expect(fit("fdbd", head, { features: [[1, 2]], alpha: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`alpha\` nothing for fdbd, got 1]`);
  expect(fit("fdbd", { weights: [[1], [2]] }, { features: [[1, 2]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: HeadDetector.fit: expected \`weights\` of at least two classes for the method fdbd, got 1]`);
  const detector = HeadDetector.fit("nci", head, { features: [[1, 2]] });
  expect(() => HeadDetector.fromJSON({ ...detector.toJSON(), mean: { dtype: "float32", shape: [1], data: "AAAAAA==" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: HeadDetector.fromJSON: expected \`mean\` of shape [2], got [1]]`);
  expect(() => HeadDetector.fromJSON({ ...HeadDetector.fit("gradNorm", { weights: [[1]] }).toJSON(), method: "fdbd", mean: { dtype: "float32", shape: [1], data: "AAAAAA==" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: HeadDetector.fromJSON: expected \`weights\` of at least two classes, got 1]`);
});
