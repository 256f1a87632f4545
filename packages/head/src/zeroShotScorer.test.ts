import { TemperatureScaling } from "@logits/calibration";
import { Tensor, randomSource } from "@logits/tensor";
import { checkGuarantee, estimatorChecks, expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead } from "./decisionHead.ts";
import { scorerFromJSON } from "./scorer.ts";
import { ZeroShotScorer } from "./zeroShotScorer.ts";

/** Numbers in [-1, 1). */
function uniform(seed: number, ...shape: number[]) {
  const random = randomSource(seed);
  return { dtype: "float32" as const, shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * random.uniform() - 1) };
}
const unit = (row: number[]): number[] => row.map((x) => x / Math.hypot(...row));
const rows = (x: { shape: number[]; data: Float32Array }): number[][] => Array.from({ length: x.data.length / x.shape.at(-1)! }, (_, i) => Array.from(x.data.subarray(i * x.shape.at(-1)!, (i + 1) * x.shape.at(-1)!)));

/** Labels by softmax(20 cos). */
const prompts = uniform(1, 5, 3, 16), features = uniform(2, 3000, 16);
const labels = (() => {
  const random = randomSource(3), z = ZeroShotScorer.of(prompts, { scale: 20 }).logits(features).data;
  return Int32Array.from({ length: 3000 }, (_, n) => {
    const weights = Array.from(z.subarray(5 * n, 5 * n + 5), Math.exp);
    let u = random.uniform() * weights.reduce((a, b) => a + b);
    return Math.max(0, weights.findIndex((w) => (u -= w) < 0));
  });
})();

describe("ZeroShotScorer", () => {
  it("gives scaled cosines to the normalised mean of normalised prompts", () => {
    const means = Array.from({ length: 5 }, (_, c) => unit(rows(prompts).slice(3 * c, 3 * c + 3).map(unit).reduce((a, b) => a.map((x, i) => x + b[i]))));
    const want = rows(features).slice(0, 50).flatMap((x) => means.map((w) => 7 * unit(x).reduce((sum, v, i) => sum + v * w[i], 0)));
    const got = ZeroShotScorer.of(prompts, { scale: 7 }).logits({ shape: [50, 16], data: features.data.slice(0, 800) });
    expect(got.shape).toEqual([50, 5]);
    expectClose(got.data, want, { atol: 7 * 18 * 2 ** -24 }); // 16 products of unit vectors, two roundings of the vectors
  });

  it("takes prompts as a matrix, as equal ensembles or as a list of unequal ones", () => {
    const [a, b, c] = [[3, 4], [0, 2], [-5, 0]];
    const want = ZeroShotScorer.of([a, b]).logits([[1, 1]]).data;
    expect(ZeroShotScorer.of(new Tensor("float32", [2, 2], Float32Array.of(3, 4, 0, 2))).logits([[1, 1]]).data).toEqual(want);
    expect(ZeroShotScorer.of([[a, a], [b]]).logits([[1, 1]]).data).toEqual(want);
    expect(ZeroShotScorer.of([Float32Array.from(a), { data: Float32Array.from(b), dims: [1, 2] }]).logits([[1, 1]]).data).toEqual(want);
    expect(ZeroShotScorer.of([[a, b], [b, c]]).logits([[1, 1]]).data).not.toEqual(want);
  });

  it("does not see lengths", () => {
    const scorer = ZeroShotScorer.of(prompts);
    const scaled = { shape: [40, 16], data: features.data.slice(0, 640).map((x) => 4 * x) };
    expect(scorer.logits(scaled).data).toEqual(scorer.logits({ shape: [40, 16], data: features.data.slice(0, 640) }).data);
    expectClose(ZeroShotScorer.of({ shape: prompts.shape, data: prompts.data.map((x) => 1e-3 * x) }).logits(scaled).data, scorer.logits(scaled).data, { atol: 1e-4 }); // 1e-3 x rounded
  });

  it("learns the scale: the temperature of the cosines, turned round", () => {
    const scorer = ZeroShotScorer.fit(prompts, features, labels);
    const { temperature, standardError } = TemperatureScaling.fit(ZeroShotScorer.of(prompts, { scale: 1 }).logits(features), labels);
    expect(scorer.scale).toBe(1 / temperature);
    expect(Math.abs(scorer.scale - 20)).toBeLessThan(4 * standardError * 20 ** 2); // delta method
  });

  it("answers rows without a direction with NaN, one row with one row", () => {
    const scorer = ZeroShotScorer.of([[1, 0], [0, 1]], { scale: 10 });
    expect(scorer.logits([[0, 0], [NaN, 1], [Infinity, 1], [3, 4], [1e-30, 0]]).data).toEqual(Float32Array.of(NaN, NaN, NaN, NaN, NaN, NaN, 6, 8, 10, 0));
    const one = scorer.logits([3, 4]);
    expect([one.shape, Array.from(one.data)]).toEqual([[2], [6, 8]]);
    expect(scorer.logits({ shape: [0, 2], data: new Float32Array(0) }).shape).toEqual([0, 2]);
  });

  it("describes maximum concept matching as MSP at tau times the scale", () => {
    expect([ZeroShotScorer.of([[1, 0]]).conceptMatching(), ZeroShotScorer.of([[1, 0]], { scale: 10 }).conceptMatching(0.1)]).toEqual([{ method: "msp", temperature: 100 }, { method: "msp", temperature: 1 }]);
  });

  it.each(estimatorChecks<ZeroShotScorer>({
    name: "ZeroShotScorer",
    data: [features, { dtype: "int32", shape: [3000], data: labels }],
    fit: (x, y) => ZeroShotScorer.fit(prompts, x, y),
    output: (fitted) => [fitted.logits(features), { shape: [3], data: [fitted.scale, fitted.classes, fitted.features] }],
    fromJSON: ZeroShotScorer.fromJSON,
    rowOrder: { rtol: 1e-6 }, // the temperature's sums are made in another order, and it is exact to 1e-7
    wrongWidth: [(fitted) => fitted.logits([[1, 2]]), (fitted) => fitted.logits([1, 2])],
    base64: ["prompts.data"],
  }))("$name", ({ run }) => run());

  describe("in a DecisionHead", () => {
    const concepts = uniform(20, 4, 32), names = ["cat", "dog", "bird", "car"];
    const scorer = ZeroShotScorer.of(concepts, { scale: 30 });
    /** Embeddings near a concept, or near none. */
    const images = (rows: number, seed: number, known = true) => {
      const noise = uniform(seed, rows, 32), random = randomSource(seed, 1), own = Int32Array.from({ length: rows }, () => random.integer(4));
      return { features: { ...noise, data: noise.data.map((x, i) => (known ? 1.5 * x + concepts.data[32 * own[Math.floor(i / 32)] + (i % 32)] : x)) }, labels: own };
    };
    const fit = (rows: number, seed: number) => DecisionHead.fit({ scorer, ...images(rows, seed), classes: names }, { seed, detector: scorer.conceptMatching(), maxFalsePositiveRate: 0.1, confidence: 0.9 });

    it("decides from embeddings alone, and says unknown where the image shows none of the classes", () => {
      const head = fit(400, 30), known = images(300, 31), other = images(300, 32, false);
      const share = (features: typeof other.features) => head.decideAll({ features }).filter(({ kind }) => kind === "unknown").length / 300;
      expect(share(known.features)).toBeLessThan(0.15);
      expect(share(other.features)).toBeGreaterThan(0.5);
      expect(DecisionHead.fromBytes(head.toBytes()).decideAll({ features: known.features })).toEqual(head.decideAll({ features: known.features }));
      expect(head.decide({ features: new Float32Array(32) })).toMatchObject({ kind: "invalid" });
    });

    it("scores by one minus the largest softmax(cos / tau), whatever the scale", () => {
      const { features } = images(40, 33), cosines = ZeroShotScorer.of(concepts, { scale: 1 }).logits(features).data;
      const decisions = fit(400, 30).detector!.score({ logits: scorer.logits(features) }).data;
      const want = Array.from({ length: 40 }, (_, n) => {
        const e = Array.from(cosines.subarray(4 * n, 4 * n + 4), Math.exp);
        return 1 - Math.max(...e) / e.reduce((a, b) => a + b);
      });
      expectClose(decisions, want, { atol: 1e-6 }); // float32 cosines
    });

    it("keeps the promised rate of false alarms, over fits and new rows", () => {
      const fresh = images(4000, 99).features;
      checkGuarantee({
        name: "none of these", repetitions: process.env.LOGITS_SLOW ? 2000 : 200, kind: "probability of exceeding", level: 0.1,
        // 0.005 is one standard error of the rate of 4,000 new rows.
        simulate: (seed) => fit(200, 40 + seed).decideAll({ features: fresh }).filter(({ kind }) => kind === "unknown").length / 4000 > 0.105,
      });
    }, 300_000);
  });

  it("is read by scorerFromJSON", () => {
    const scorer = ZeroShotScorer.of(prompts);
    expect(scorerFromJSON(JSON.parse(JSON.stringify(scorer))).logits(features)).toEqual(scorer.logits(features));
  });

  it("says what is wrong", () => {
    const of = (given: never, options = {}) => () => ZeroShotScorer.of(given, options);
    expect(of([1, 2] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: ZeroShotScorer.of: expected \`prompts[0]\` a tensor, typed array, { data, dims } or nested number arrays, got Number]`);
    expect(of([] as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts\` of at least one class, got none]`);
    expect(of(new Float32Array(3) as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts\` of shape [C, F] or [C, P, F], got [3]]`);
    expect(of([[1, 2], [1, 2, 3]] as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts[1]\` of shape [2] or [P, 2], P at least 1, got [3]]`);
    expect(of([[1, 2], [[1, 2], [0, 0]]] as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts[1]\` with a direction, got only zeros in prompt 1]`);
    expect(of([[1, NaN]] as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts[0]\` with a direction, got NaN or Infinity in prompt 0]`);
    expect(of([[[1, 2], [-2, -4]]] as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`prompts[0]\` with a common direction, got prompts that cancel]`);
    expect(of([[1, 2]] as never, { scale: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.of: expected \`scale\` a finite number > 0, got 0]`);
    const scorer = ZeroShotScorer.of([[1, 2]]);
    expect(() => scorer.logits([1, 2, 3])).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.logits: expected \`features\` of shape [N, 2] or [2], got [3]]`);
    expect(() => scorer.logits({ shape: [1, 2], indptr: Int32Array.of(0, 0), indices: new Int32Array(0), data: new Float32Array(0) })).toThrowErrorMatchingInlineSnapshot(`[TypeError: ZeroShotScorer.logits: expected \`features\` dense embeddings, got a CSR matrix]`);
    expect(() => scorer.conceptMatching(0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ZeroShotScorer.conceptMatching: expected \`tau\` a finite number > 0, got 0]`);
    const json = scorer.toJSON();
    expect(() => ZeroShotScorer.fromJSON({ ...json, scale: 0 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ZeroShotScorer.fromJSON: expected \`scale\` > 0, got 0]`);
    expect(() => ZeroShotScorer.fromJSON({ ...json, prompts: { ...json.prompts, shape: [2, 1] } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ZeroShotScorer.fromJSON: expected \`prompts\` with rows of length 1, got 0.4472135901451111 in row 0]`);
    expect(() => ZeroShotScorer.fromJSON({ ...json, prompts: { dtype: "float32", shape: [0, 2], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ZeroShotScorer.fromJSON: expected \`prompts\` of at least one class, got none]`);
  });
});
