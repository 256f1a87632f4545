import { MahalanobisDetector, detectorFromJSON, type Detector, type Threshold } from "@logits/ood";
import { logBeta, regularizedBeta } from "@logits/statistics";
import { checkGuarantee, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead, LinearHead, type Decision } from "./index.ts";

const CLASSES = ["a", "b", "c"] as const;
const SLOW = Boolean(process.env.LOGITS_SLOW), PATIENCE = SLOW ? 3_600_000 : 60_000;

/** A stream of numbers that costs little: the promises hold for any distribution. */
function stream(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 0;
  const word = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    const t = Math.imul(state ^ (state >>> 15), state | 1);
    return ((t ^ (t >>> 13)) >>> 0) / 4294967296;
  };
  for (let i = 0; i < 8; i++) word();
  return word;
}

/** Rows of d features around three class means and their logits; one row in five is an easy one, far from the others. `shift` makes outliers. */
function rowsOf(next: () => number, rows: number, d: number, shift = 0) {
  const features = new Float32Array(rows * d), logits = new Float32Array(rows * 3), labels = new Int32Array(rows);
  for (let n = 0, at = 0; n < rows; n++, at += d) {
    const y = (labels[n] = Math.floor(3 * next())), easy = next() < 0.2;
    for (let f = 0; f < d; f++) features[at + f] = (easy && f >= 3 ? 2 : 1) * (next() + next() - 1);
    features[at + y] += easy ? 3 : 0.7;
    for (let f = 3; f < d; f++) features[at + f] += shift;
    for (let c = 0; c < 3; c++) logits[3 * n + c] = 3 * features[at + c];
  }
  return { logits: { data: logits, shape: [rows, 3] }, features: { data: features, shape: [rows, d] }, labels };
}

/** P(X <= x) of a Beta-binomial: flagged rows of T new ones, when a share Beta(k, n + 1 - k) of the distribution exceeds the threshold. */
function betaBinomial(x: number, trials: number, k: number, n: number): number {
  let sum = 0;
  for (let i = 0; i <= x; i++) sum += Math.exp(-Math.log(trials + 1) - logBeta(i + 1, trials - i + 1) + logBeta(i + k, trials - i + n + 1 - k) - logBeta(k, n + 1 - k));
  return sum;
}

/** What one calibrated head did on new rows. */
interface Outcome {
  readonly flagged: number;
  readonly answered: number;
  readonly missed: number;
  /** Sets that miss, flagged rows counted with the set they would get. */
  readonly missedOfAll: number;
  readonly threshold: Threshold;
  readonly chosen: string;
}

const NEW = 60;

function outcome(head: DecisionHead<"a" | "b" | "c">, next: () => number, d: number): Outcome {
  const fresh = rowsOf(next, NEW, d);
  const decisions: Decision<"a" | "b" | "c">[] = head.decideAll(fresh);
  let flagged = 0, missed = 0;
  decisions.forEach((decision, n) => {
    if (decision.kind === "invalid") throw new Error(decision.why.text);
    if (decision.kind === "unknown") flagged++;
    else if (!decision.set.includes(CLASSES[fresh.labels[n]])) missed++;
  });
  const all = head.conformal.predictionSet(head.calibrator.transform(fresh.logits), { alpha: head.alpha });
  const missedOfAll = fresh.labels.reduce((sum, y, n) => sum + Number(all.mask.data[3 * n + y] === 0), 0);
  return { flagged, answered: NEW - flagged, missed, missedOfAll, threshold: head.threshold!, chosen: head.detector!.method };
}

/**
 * `fits` heads as a user composes them, each calibrated `calibrations` times. The first calibration is `DecisionHead.fit` with all that it does: split, choice of the detector, threshold, sets. The
 * others take the chosen detector to new calibration rows: the choice does not see calibration rows (a test of the head says so), and given the detector all calibrations are independent.
 */
function simulate(fits: number, calibrations: number, d: number, shift: number, sizes: { readonly fit: number; readonly calibration: number }, options: object, from: number): Outcome[] {
  const out: Outcome[] = [];
  for (let i = 0; i < fits; i++) {
    const next = stream(from + i), { fit, calibration } = sizes, rows = rowsOf(next, fit + calibration, d), { labels: _, ...outliers } = rowsOf(next, 40, d, shift);
    let detector: Detector | undefined;
    for (let j = 0; j < calibrations; j++) {
      const head: DecisionHead<"a" | "b" | "c"> = detector === undefined
        ? DecisionHead.fit({ ...rows, outliers, classes: CLASSES }, { seed: i, split: fit / (fit + calibration), detector: ["mahalanobis", "knn"], maxFalsePositiveRate: 0.1, ...options })
        : DecisionHead.fit({ ...rows, calibration: rowsOf(next, calibration, d), fitted: detector, classes: CLASSES }, { seed: i, maxFalsePositiveRate: 0.1, ...options });
      detector = head.detector;
      out.push(outcome(head, next, d));
    }
    // WebAssembly memory comes back by itself only where the thread pauses.
    detector?.dispose?.();
  }
  return out;
}

/** The promise that makes a threshold, and that the flagged rows follow the law it is made from. */
function checkThreshold(name: string, outcomes: readonly Outcome[]): void {
  const { n, rank, maxFalsePositiveRate: level, confidence, attainable } = outcomes[0].threshold;
  expect(attainable).toBe(true);
  expect(new Set(outcomes.map(({ threshold }) => `${threshold.n} ${threshold.rank}`)).size).toBe(1);
  checkGuarantee({ name: `${name}: mean`, kind: "marginal mean", repetitions: outcomes.length, level: rank / (n + 1), side: "both", simulate: (i) => ({ successes: outcomes[i].flagged, trials: NEW }) });
  expect(rank / (n + 1)).toBeLessThanOrEqual(level);
  // P(rate > level) = P(Beta(rank, n + 1 - rank) > level), which NEW rows show through a Beta-binomial.
  const exceeding = 1 - regularizedBeta(level, rank, n + 1 - rank);
  if (confidence !== "marginal") expect(exceeding).toBeLessThanOrEqual(1 - confidence);
  let told = 0;
  for (let count = 0; count < 16; count++) {
    const chance = 1 - betaBinomial(count, NEW, rank, n);
    // So many repetitions of one kind must be improbable, else they tell nothing.
    if (Math.max(chance, 1 - chance) ** outcomes.length > 0.00004) continue;
    told++;
    checkGuarantee({ name: `${name}: more than ${count} of ${NEW}`, kind: "probability of exceeding", repetitions: outcomes.length, level: chance, side: "both", confidence: 0.9999, simulate: (i) => outcomes[i].flagged > count });
  }
  expect(told).toBeGreaterThan(1);
  const counts = new Map<string, number>();
  for (const { chosen } of outcomes) counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  console.info(`${name}: n ${n}, rank ${rank}, mean ${outcomes.reduce((sum, { flagged }) => sum + flagged, 0) / outcomes.length / NEW} (exact ${rank / (n + 1)}), P(rate > ${level}) exact ${exceeding}; chosen ${JSON.stringify([...counts])}`);
  expect(Math.min(...["mahalanobis", "knn"].map((method) => counts.get(method) ?? 0))).toBeGreaterThan(0.02 * outcomes.length);
}

describe.each([
  { d: 8, shift: 0.35, sizes: { fit: 100, calibration: 100 }, fits: SLOW ? 10000 : 300, calibrations: 1 },
  { d: 512, shift: 0.04, sizes: { fit: 200, calibration: 100 }, fits: SLOW ? 1000 : 8, calibrations: SLOW ? 10 : 10 },
])("the composed head, d = $d", ({ d, shift, sizes, fits, calibrations }) => {
  it("keeps the false-positive rate with its confidence, and covers among accepted rows", () => {
    const outcomes = simulate(fits, calibrations, d, shift, sizes, { guarantee: "accepted" }, 1);
    checkThreshold(`d ${d}, confidence 0.95`, outcomes);
    const { mean } = checkGuarantee({ name: "accepted", kind: "marginal mean", repetitions: outcomes.length, level: 0.1, simulate: (i) => ({ successes: outcomes[i].missed, trials: Math.max(1, outcomes[i].answered) }) });
    console.info(`d ${d}: misses among accepted rows ${mean}`);
  }, PATIENCE);
  it("keeps the mean false-positive rate, and covers over all rows", () => {
    const outcomes = simulate(fits, calibrations, d, shift, sizes, { confidence: "marginal" }, 100001);
    checkThreshold(`d ${d}, marginal`, outcomes);
    const { mean } = checkGuarantee({ name: "all", kind: "marginal mean", repetitions: outcomes.length, level: 0.1, simulate: (i) => ({ successes: outcomes[i].missedOfAll, trials: NEW }) });
    const wrong = outcomes.reduce((sum, { missed }) => sum + missed, 0) / outcomes.length / NEW;
    expect(wrong).toBeLessThanOrEqual(0.1);
    console.info(`d ${d}: misses over all rows ${mean}, answers that miss ${wrong}`);
  }, PATIENCE);
});

describe("what breaks a promise", () => {
  /** A head whose threshold comes from the rows that fitted its detector, and how many new rows it flags. */
  const shared = (n: number, d: number, seed: number, hide: boolean, fresh = 500) => {
    const random = testRandom(seed);
    const normal = (count: number) => ({ ...rowsOf(random.uniform, count, 3), features: { data: Float32Array.from({ length: count * d }, () => random.normal()), shape: [count, d] } });
    const fit = normal(50), rows = normal(n), own = MahalanobisDetector.fit(rows.features, rows.labels, { classes: 3 });
    // Read from JSON a detector no longer knows its rows.
    const fitted = hide ? detectorFromJSON(own.toJSON()) : own;
    const head = DecisionHead.fit({ ...fit, classes: CLASSES, calibration: rows, fitted }, { maxFalsePositiveRate: 0.05, confidence: "marginal" });
    return { successes: head.decideAll(normal(fresh)).filter(({ kind }) => kind === "unknown").length, trials: fresh };
  };
  it("is refused: detector and threshold on the same rows", () => {
    expect(() => shared(100, 8, 1, false)).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`calibration.features\` of calibration rows that did not fit the detector, got row 0, which is one of its fit. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
  });
  it("fails where it goes unnoticed: several times the promised 5 %", () => {
    const spec = { name: "shared rows", kind: "marginal mean" as const, level: 0.05, repetitions: 30, simulate: (seed: number) => shared(400, 64, seed, true) };
    expect(() => checkGuarantee(spec)).toThrow("promised at most 0.05");
    const { successes, trials } = shared(5000, 512, 1, true, 4000);
    console.info(`detector and threshold on the same 5,000 rows of 512 features: ${successes / trials} of new rows flagged where 0.05 was promised`);
    expect(successes / trials).toBeGreaterThan(0.5);
  });
  it("fails: a scorer that was trained on the same rows", () => {
    const simulate = (own: boolean) => (seed: number) => {
      const next = stream(seed), d = 100, train = rowsOf(next, 300, d), rows = own ? train : rowsOf(next, 300, d), fresh = rowsOf(next, 100, d);
      const scorer = LinearHead.fit(train.features, train.labels, { classes: 3 });
      const head = DecisionHead.fit({ scorer, features: rows.features, labels: rows.labels, classes: CLASSES });
      expect(head.guarantees[0].assumes[1]).toBe("no labelled row trained the model or the scorer, or served another choice");
      const missed = head.decideAll({ features: fresh.features }).filter((decision, n) => "set" in decision && !decision.set.includes(CLASSES[fresh.labels[n]])).length;
      return { successes: missed, trials: 100 };
    };
    const spec = { name: "scorer", kind: "marginal mean" as const, level: 0.1, repetitions: 30 };
    expect(() => checkGuarantee({ ...spec, simulate: simulate(true) })).toThrow("promised at most 0.1");
    checkGuarantee({ ...spec, simulate: simulate(false) });
  });
  it("fails: coverage among accepted rows, where it was promised for all", () => {
    const simulate = (guarantee: "all" | "accepted") => (seed: number) => {
      const next = stream(seed), d = 8;
      const head = DecisionHead.fit({ ...rowsOf(next, 600, d), classes: CLASSES }, { detector: "mahalanobis", maxFalsePositiveRate: 0.3, confidence: "marginal", guarantee });
      const { missed, answered } = outcome(head, next, d);
      return { successes: missed, trials: Math.max(1, answered) };
    };
    const spec = { name: "accepted", kind: "marginal mean" as const, level: 0.1, repetitions: 300 };
    expect(() => checkGuarantee({ ...spec, simulate: simulate("all") })).toThrow("promised at most 0.1");
    checkGuarantee({ ...spec, simulate: simulate("accepted") });
  });
});
