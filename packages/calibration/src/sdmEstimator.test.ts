import { sampleNormal } from "@logits/statistics";
import { randomSource } from "@logits/tensor";
import { estimatorChecks, expectClose, expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { SdmEstimator } from "./index.ts";
import { sdmActivationRef } from "./sdmActivation.ref.ts";

const CLASSES = 3, WIDTH = 4, PAPER = "[paper:similarity-distance-magnitude-universal-verification]";

interface Rows {
  readonly features: { shape: number[]; data: Float32Array };
  readonly logits: { shape: number[]; data: Float32Array };
  readonly labels: Int32Array;
}

/** Blobs around the corners of a cube; the logits are noisy distances, so that some are wrong. */
function blobs(n: number, seed: number, spread: number = 1): Rows {
  const random = randomSource(seed), labels = Int32Array.from({ length: n }, () => random.integer(CLASSES));
  const features = Float32Array.from({ length: n * WIDTH }, (_, i) => (i % WIDTH === labels[Math.floor(i / WIDTH)] ? 3 : 0) + spread * sampleNormal(random));
  const logits = Float32Array.from({ length: n * CLASSES }, (_, i) => features[Math.floor(i / CLASSES) * WIDTH + (i % CLASSES)] + 0.8 * sampleNormal(random));
  return { features: { shape: [n, WIDTH], data: features }, logits: { shape: [n, CLASSES], data: logits }, labels };
}

/** The definition, by sorting and counting. */
function definition(known: Rows, calibration: Rows, accuracy: number, maxSimilarity: number = 1000) {
  const rowOf = ({ shape: [, width], data }: { shape: number[]; data: Float32Array }, i: number): number[] => Array.from(data.subarray(i * width, (i + 1) * width));
  const top = (z: number[]): number => z.indexOf(Math.max(...z)), m = known.labels.length, n = calibration.labels.length;
  const seen = (features: Rows["features"], logits: Rows["logits"], i: number) => {
    const x = rowOf(features, i), answer = top(rowOf(logits, i));
    const order = Array.from({ length: m }, (_, j) => ({ j, distance: rowOf(known.features, j).reduce((sum, v, f) => sum + (v - x[f]) ** 2, 0) })).sort((a, b) => a.distance - b.distance);
    const miss = order.slice(0, maxSimilarity).findIndex(({ j }) => !(known.labels[j] === answer && top(rowOf(known.logits, j)) === answer));
    return { answer, q: miss < 0 ? Math.min(m, maxSimilarity) : miss, nearest: order[0].distance };
  };
  const rows = Array.from({ length: n }, (_, i) => seen(calibration.features, calibration.logits, i));
  const lists = Array.from({ length: CLASSES }, (_, c) => rows.filter((row, i) => calibration.labels[i] === c && row.q > 0).map((row) => row.nearest));
  const finish = ({ answer, q, nearest }: { answer: number; q: number; nearest: number }, z: number[]) => {
    const d = Math.min(...lists.map((list) => (list.length === 0 ? 0 : 1 - list.filter((x) => x < nearest * (1 - 1e-6)).length / list.length))), p = sdmActivationRef(z, q, d);
    return { answer, q, d, p, rescaled: Math.min(q, (2 + q) ** p[answer]) };
  };
  const done = rows.map((row, i) => finish(row, rowOf(calibration.logits, i)));
  let minimum = 0, thresholds = new Array<number>(CLASSES).fill(0);
  for (const candidate of done.map((row) => row.rescaled).filter((value) => value >= 1).sort((a, b) => a - b)) {
    const found = Array.from({ length: CLASSES }, (_, c) => {
      const list = done.filter((row, i) => calibration.labels[i] === c && row.rescaled >= candidate).map((row) => row.p[c]).sort((a, b) => a - b);
      return list.length === 0 ? 0 : list[Math.floor((1 - accuracy) * list.length)];
    });
    if (found.every((value) => value >= accuracy)) {
      [minimum, thresholds] = [candidate, found];
      break;
    }
  }
  return { minimum, thresholds, predict: (features: Rows["features"], logits: Rows["logits"]) => Array.from({ length: features.shape[0] }, (_, i) => finish(seen(features, logits, i), rowOf(logits, i))) };
}

const known = blobs(300, 1), calibration = blobs(250, 2), fresh = blobs(60, 3, 2);

describe(`SdmEstimator ${PAPER}`, () => {
  it.each([[0.95, 1000], [0.9, 1000], [0.8, 5], [0.4, 2]])("agrees with the definition at accuracy %f, at most %i neighbours", (accuracy, maxSimilarity) => {
    const got = SdmEstimator.fit(known, calibration, { accuracy, maxSimilarity }), want = definition(known, calibration, accuracy, maxSimilarity);
    expectClose(got.minimum, want.minimum, { rtol: 1e-4 }); // p in float32 as an exponent
    expectClose(got.thresholds.data, want.thresholds, { rtol: 1e-4 });
    const said = got.predict(fresh.features, fresh.logits), wanted = want.predict(fresh.features, fresh.logits);
    expectExact(said.similarity.data, wanted.map((row) => row.q));
    expectExact(said.labels.data, wanted.map((row) => row.answer));
    expectClose(said.distance.data, wanted.map((row) => row.d), { atol: 1e-6 });
    expectClose(said.probabilities.data, wanted.flatMap((row) => row.p), { rtol: 2e-5, atol: 1e-7 });
    expectClose(said.rescaledSimilarity.data, wanted.map((row) => row.rescaled), { rtol: 1e-4 });
    wanted.forEach((row, i) => {
      const close = Math.abs(row.rescaled / got.minimum - 1) < 1e-4 || row.p.some((p, c) => Math.abs(p / got.thresholds.data[c] - 1) < 1e-4);
      const inside = got.attained && row.rescaled >= 1 && row.rescaled >= got.minimum && row.p.every((p, c) => (p >= got.thresholds.data[c]) === (c === row.answer));
      if (!close) expect(said.reliable.data[i], `row ${i}`).toBe(Number(inside));
    });
  });

  it("is right in its region more often than outside, and rejects what is far from all known rows", () => {
    const sdm = SdmEstimator.fit(blobs(800, 11), blobs(800, 12), { accuracy: 0.9 }), test = blobs(1500, 13), { reliable, labels } = sdm.predict(test.features, test.logits);
    expect(sdm.attained).toBe(true);
    const shareRight = (kind: number): number => {
      const rows = Array.from(reliable.data.keys()).filter((i) => reliable.data[i] === kind);
      expect(rows.length).toBeGreaterThan(100);
      return rows.filter((i) => labels.data[i] === test.labels[i]).length / rows.length;
    };
    expect(shareRight(1)).toBeGreaterThan(shareRight(0) + 0.05);
    for (let c = 0; c < CLASSES; c++) {
      const own = Array.from(reliable.data.keys()).filter((i) => reliable.data[i] === 1 && test.labels[i] === c), hits = own.filter((i) => labels.data[i] === c).length;
      expect(hits / own.length, `class ${c}`).toBeGreaterThan(0.9 - 3.29 * Math.sqrt(0.09 / own.length)); // no promise, but so it is here
    }
    const far = { shape: [2, WIDTH], data: Float32Array.of(500, 0, 0, 0, 0, -300, 0, 0) }, away = sdm.predict(far, [[9, 0, 0], [0, 9, 0]]);
    expectExact([away.distance.data[0], away.distance.data[1], ...away.reliable.data], [0, 0, 0, 0]);
    expectClose(away.probabilities.data, new Float32Array(6).fill(1 / 3), { rtol: 1e-6 });
  });

  const flat = [known.features, known.logits, { shape: [300], data: known.labels }, calibration.features, calibration.logits, { shape: [250], data: calibration.labels }].map((x) => ({ dtype: x.data instanceof Int32Array ? "int32" : "float32", ...x }));
  it.each(estimatorChecks<SdmEstimator>({
    name: "SdmEstimator",
    data: flat as never,
    fit: (...[kx, kz, ky, x, z, y]) => SdmEstimator.fit({ features: kx, logits: kz, labels: ky as never }, { features: x, logits: z, labels: y as never }, { accuracy: 0.8 }),
    output: (one) => {
      const { probabilities, similarity, distance, rescaledSimilarity, reliable } = one.predict(fresh.features, fresh.logits);
      return [probabilities, similarity, distance, rescaledSimilarity, reliable, one.thresholds];
    },
    fromJSON: SdmEstimator.fromJSON,
    rowOrder: "exact",
    wrongWidth: [(one) => one.predict([[1, 2, 3]], [[1, 2, 3]]), (one) => one.predict([[1, 2, 3, 4]], [[1, 2]])],
    base64: ["bank.data", "distances.data", "thresholds.data"],
    invariants: [{ name: "keeps the answers", holds: (one) => one.predict(fresh.features, fresh.logits).labels.data.every((label, i) => label === Array.from(fresh.logits.data.subarray(3 * i, 3 * i + 3)).reduce((best, v, c, row) => (v > row[best] ? c : best), 0)) }],
  }))("$name", ({ run }) => run());

  it("counts long runs: hundreds of known rows of one class", () => {
    const far = (n: number, shift: number): { features: number[][]; logits: number[][]; labels: number[] } => ({ features: Array.from({ length: n }, (_, i) => [(i % 2) * 1e4 + i + shift]), logits: Array.from({ length: n }, (_, i) => (i % 2 ? [0, 9] : [9, 0])), labels: Array.from({ length: n }, (_, i) => i % 2) });
    const sdm = SdmEstimator.fit(far(1000, 0), far(100, 0.25), { maxSimilarity: 400 }), seen = SdmEstimator.fit(far(1000, 0), far(100, 0.25)), [x, z] = [[[10.2], [1e4 + 7]], [[9, 0], [0, 9]]];
    expectExact([...sdm.predict(x, z).similarity.data, ...seen.predict(x, z).similarity.data], [400, 400, 500, 500]);
    expectExact(seen.predict(x, [[0, 9], [9, 0]]).similarity.data, [0, 0]);
  });

  it("fits the same bits in pieces, and stops on abort", async () => {
    expect(JSON.stringify(await SdmEstimator.fitAsync(known, calibration, { accuracy: 0.8 }))).toBe(JSON.stringify(SdmEstimator.fit(known, calibration, { accuracy: 0.8 })));
    await expect(SdmEstimator.fitAsync(known, calibration, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });

  it("says where no region has the accuracy: wrong everywhere, a class without calibration rows, one row", () => {
    const wrong = { ...known, labels: known.labels.map((label) => (label + 1) % CLASSES) }, sdm = SdmEstimator.fit(wrong, calibration), { similarity, distance, reliable } = sdm.predict(fresh.features, fresh.logits);
    expect([sdm.attained, sdm.minimum, reliable.data.some((x) => x === 1)]).toEqual([false, 0, false]);
    expect(similarity.data.filter((q) => q > 0).length).toBeLessThan(10);
    expect(distance.data.every((d) => d >= 0 && d <= 1)).toBe(true);
    const two = { ...calibration, labels: calibration.labels.map((label) => label % 2) };
    expect(SdmEstimator.fit(known, two).predict(fresh.features, fresh.logits).distance.data.every((d) => d === 0)).toBe(true);
    expect(SdmEstimator.fit({ features: [[1]], logits: [[1, 0]], labels: [0] }, { features: [[1]], logits: [[1, 0]], labels: [0] }).attained).toBe(false);
    expect(SdmEstimator.fit(known, calibration).predict({ shape: [0, WIDTH], data: new Float32Array(0) }, { shape: [0, CLASSES], data: new Float32Array(0) }).reliable.shape).toEqual([0]);
    // One class: everything is right, and the answer is the only one.
    const one = { features: [[0], [1], [2]], logits: [[1], [2], [3]], labels: [0, 0, 0] };
    expect(() => SdmEstimator.fit(one, one)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`accuracy\` in [1 / 1, 1), got 0.95]`);
  });

  it("has these messages", () => {
    const rows = { features: [[1, 2]], logits: [[1, 0]], labels: [0] };
    expect(() => SdmEstimator.fit({ ...rows, labels: [2] }, rows)).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`known.labels\` in [0, 2), got 2 at index 0]`);
    expect(() => SdmEstimator.fit(rows, { ...rows, features: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`calibration.features\` of 2 features as \`known\` has them, got 1]`);
    expect(() => SdmEstimator.fit(rows, { ...rows, logits: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`calibration.logits\` of 2 classes as \`known\` has them, got 3]`);
    expect(() => SdmEstimator.fit(rows, { ...rows, features: [[1, NaN]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`calibration.features\` of finite numbers, got NaN in row 0]`);
    expect(() => SdmEstimator.fit(rows, { ...rows, logits: [[1, Infinity]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`calibration.logits\` with a finite largest score in each row, got Infinity in row 0]`);
    expect(() => SdmEstimator.fit(rows, { ...rows, labels: [0, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`calibration.labels\` of shape [1], got [2]]`);
    expect(() => SdmEstimator.fit(rows, rows, { accuracy: 0.3 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`accuracy\` in [1 / 2, 1), got 0.3]`);
    expect(() => SdmEstimator.fit(rows, rows, { maxSimilarity: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.fit: expected \`maxSimilarity\` an integer in [1, 2147483647], got 0]`);
    expect(() => SdmEstimator.fit(rows, rows).predict([[1, 2]], [[1, 2], [3, 4]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SdmEstimator.predict: expected \`logits\` of shape [1, C], got [2, 2]]`);
    const json = JSON.parse(JSON.stringify(SdmEstimator.fit(rows, rows)));
    expect(() => SdmEstimator.fromJSON({ ...json, attained: true })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SdmEstimator.fromJSON: expected \`attained\` false at minimum 0, got true]`);
    expect(() => SdmEstimator.fromJSON({ ...json, counts: { ...json.counts, data: btoa("\x05\0\0\0\0\0\0\0") } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: SdmEstimator.fromJSON: expected \`counts\` numbers with the sum 1, got 5]`);
  });
});
