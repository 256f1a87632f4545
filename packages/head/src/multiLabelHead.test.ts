import { MultiLabelCalibration } from "@logits/calibration";
import { FormatError, Tensor, randomSource, runSteps } from "@logits/tensor";
import { pacOrderStatistic } from "@logits/statistics";
import { checkGuarantee, estimatorChecks, expectClose } from "@logits/testkit";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { LabelRule } from "./labelRule.ts";
import { NEVER, thresholdSteps, type LabelRows } from "./labelThresholds.ts";
import { MultiLabelHead } from "./multiLabelHead.ts";
import { scoreOf } from "./scoreOf.ts";

const CLASSES = ["rock", "live", "slow"] as const;
const SLOPES = [0.5, 2, 1], INTERCEPTS = [-1, 0.5, -2];

/** Scores and labels with p_c = sigmoid(SLOPES[c] z_c + INTERCEPTS[c]). */
function world(rows: number, seed: number) {
  const random = randomSource(seed), data = new Float32Array(3 * rows), targets = new Uint8Array(3 * rows);
  for (let i = 0; i < data.length; i++) {
    data[i] = 8 * (random.uniform() - 0.5);
    targets[i] = Number(random.uniform() < 1 / (1 + Math.exp(-SLOPES[i % 3] * data[i] - INTERCEPTS[i % 3])));
  }
  return { logits: { dtype: "float32" as const, shape: [rows, 3], data }, targets: { dtype: "uint8" as const, shape: [rows, 3], data: targets } };
}
const cut = (x: ReturnType<typeof world>, from: number, to: number) => ({ logits: { shape: [to - from, 3], data: x.logits.data.slice(3 * from, 3 * to) }, targets: { shape: [to - from, 3], data: x.targets.data.slice(3 * from, 3 * to) } });

const data = world(900, 1), probe = world(60, 2).logits;
const head = MultiLabelHead.fit({ ...data, classes: CLASSES }, { seed: 4 });
const SLOW = process.env.LOGITS_SLOW ? 10000 : 0;

describe("the calibration", () => {
  it("is Platt's, label by label, on the fit rows", () => {
    const rest = world(300, 5), own = MultiLabelHead.fit({ ...data, classes: CLASSES, calibration: rest });
    const want = MultiLabelCalibration.fit(data.logits, data.targets, { shrinkage: 0 });
    expectClose(own.probabilities(probe), want.probabilities(probe), { ulp: 0 });
  });

  it("reads probabilities as their log-odds", () => {
    const p = data.logits.data.map((z) => 1 / (1 + Math.exp(-z)));
    const other = MultiLabelHead.fit({ logits: { shape: [900, 3], data: p }, targets: data.targets, classes: CLASSES }, { seed: 4, input: "probabilities" });
    expectClose(other.probabilities(probe.data.map((z) => 1 / (1 + Math.exp(-z))).slice(0, 3)).data, head.probabilities(probe.data.slice(0, 3)).data, { atol: 1e-5 }); // float32 probabilities
    expect(other.decide([0, 1, 0.5]).kind).toBe("labels");
    expect(other.decide([0, 1.1, 0.5])).toEqual({ kind: "invalid", why: { code: "NO_DISTRIBUTION", text: "1.100000023841858 in column 1" } });
    expectClose([scoreOf(0), scoreOf(1), scoreOf(0.5)], [-149 * Math.LN2, Math.log(2 ** 25 - 1), 0], { rtol: 1e-14 });
  });
});

describe("thresholds", () => {
  const thresholdsOf = (rule: LabelRule, x: LabelRows): Float32Array => runSteps(thresholdSteps(rule, x));
  const random = randomSource(8);
  /** Few values, many ties. */
  const rows = (n: number, classes = 3) => ({ classes, probabilities: Float32Array.from({ length: n * classes }, () => random.integer(12) / 12), targets: Uint8Array.from({ length: n * classes }, () => Number(random.uniform() < 0.3)) });
  const column = (x: { probabilities: Float32Array; targets: Uint8Array; classes: number }, c: number) => Array.from({ length: x.targets.length / x.classes }, (_, n) => ({ p: x.probabilities[n * x.classes + c], y: x.targets[n * x.classes + c] }));

  it("of a false-positive rate stand just above the k-th largest row without the label", () => {
    for (let i = 0; i < 20; i++) {
      const x = rows(200), t = thresholdsOf({ maxFalsePositiveRate: 0.1, confidence: 0.9 }, x);
      for (let c = 0; c < 3; c++) {
        const negatives = column(x, c).filter(({ y }) => !y).map(({ p }) => p).sort((a, b) => b - a);
        const answer = pacOrderStatistic(negatives.length, { alpha: 0.1, confidence: 0.9 });
        if (!answer.attainable) throw new Error("too few rows");
        expect([t[c] > negatives[answer.k - 1], t[c] - negatives[answer.k - 1] < 1e-7]).toEqual([true, true]);
      }
    }
    expect(thresholdsOf({ maxFalsePositiveRate: 0.01, confidence: 0.95 }, rows(50))).toEqual(new Float32Array(3).fill(NEVER));
  });

  it("of a cost are the odds of the costs", () => {
    expect(thresholdsOf({ cost: { falsePositive: 1, falseNegative: 3 } }, rows(1))).toEqual(new Float32Array(3).fill(0.25));
  });

  it("of an F-measure are the best of all, the largest among equal ones", () => {
    for (const beta of [0.5, 1, 2]) {
      for (let i = 0; i < 40; i++) {
        const x = rows(1 + random.integer(25)), got = thresholdsOf({ fMeasure: beta }, x);
        for (let c = 0; c < 3; c++) {
          const own = column(x, c);
          const f = (t: number): number => {
            const hits = own.filter(({ p, y }) => p >= t && y).length, alarms = own.filter(({ p, y }) => p >= t && !y).length, misses = own.filter(({ p, y }) => p < t && y).length;
            return hits === 0 ? 0 : ((1 + beta ** 2) * hits) / ((1 + beta ** 2) * hits + beta ** 2 * misses + alarms);
          };
          const candidates = [...new Set([NEVER, ...own.map(({ p }) => p)])].sort((a, b) => b - a);
          const best = Math.max(...candidates.map(f));
          expect(got[c]).toBe(candidates.find((t) => f(t) === best));
        }
      }
    }
  });

  it("of missed labels are the largest that conformal risk control allows", () => {
    for (let i = 0; i < 60; i++) {
      const n = 5 + random.integer(40), x = rows(n), alpha = 0.05 + 0.3 * random.uniform();
      const risk = (t: number): number => {
        let sum = 0;
        for (let row = 0; row < n; row++) {
          const own = [0, 1, 2].filter((c) => x.targets[3 * row + c]);
          if (own.length > 0) sum += own.filter((c) => x.probabilities[3 * row + c] < t).length / own.length;
        }
        return sum / n;
      };
      const allowed = (t: number): boolean => (n / (n + 1)) * risk(t) + 1 / (n + 1) <= alpha + 1e-12;
      const candidates = [...new Set([NEVER, ...x.probabilities, 0])].sort((a, b) => b - a);
      const want = candidates.find(allowed) ?? 0, got = thresholdsOf({ maxMissed: alpha }, x)[0];
      // Thresholds between which no true label lies are the same answer; the one returned is a label's own probability.
      expect([risk(got), got <= want || risk(want) === risk(got)]).toEqual([risk(want), true]);
      expect(allowed(got) || got === 0).toBe(true);
      const next = Math.min(...Array.from(x.probabilities).filter((p, at) => x.targets[at] && p >= got), NEVER);
      if (got !== NEVER && allowed(0)) expect([next, allowed(next + 1e-6)]).toEqual([got, false]);
    }
    expect(thresholdsOf({ maxMissed: 0.1 }, rows(8))[0]).toBe(0);
    expect(thresholdsOf({ maxMissed: 0.1 }, { ...rows(9), targets: new Uint8Array(27) })[0]).toBe(NEVER);
  });
});

describe("MultiLabelHead", () => {
  it("is the calibration of the fit rows and thresholds of the calibration rows, and no row is both", () => {
    const order = randomSource(4).permutation(900), rule = { maxFalsePositiveRate: 0.2, confidence: 0.9 };
    const part = (from: number, to: number) => Array.from(order.subarray(from, to)).sort((a, b) => a - b);
    const take = (list: number[]) => ({ logits: { shape: [list.length, 3], data: Float32Array.from(list.flatMap((n) => Array.from(data.logits.data.subarray(3 * n, 3 * n + 3)))) }, targets: { shape: [list.length, 3], data: Uint8Array.from(list.flatMap((n) => Array.from(data.targets.data.subarray(3 * n, 3 * n + 3)))) } });
    const split = MultiLabelHead.fit({ ...data, classes: CLASSES }, { seed: 4, rule, split: 0.4 });
    const given = MultiLabelHead.fit({ ...take(part(0, 360)), classes: CLASSES, calibration: take(part(360, 900)) }, { seed: 4, rule });
    expect({ ...split.toJSON(), split: 0 }).toEqual({ ...given.toJSON(), split: 0 });
    expect([given.split, given.fitRows, given.calibrationRows]).toEqual(["given", 360, 540]);
  });

  it("gives the labels that reach their thresholds, most probable first, alone as in a batch", () => {
    const decisions = head.decideAll(probe), p = head.probabilities(probe).data, t = head.thresholds;
    decisions.forEach((decision, n) => {
      const want = [0, 1, 2].filter((c) => p[3 * n + c] >= t[c]).sort((a, b) => p[3 * n + b] - p[3 * n + a]);
      expect(decision).toEqual({ kind: "labels", labels: want.map((c) => CLASSES[c]), probabilities: want.map((c) => p[3 * n + c]) });
      expect(head.decide(probe.data.subarray(3 * n, 3 * n + 3))).toEqual(decision);
    });
    expect(new Set(decisions.map((d) => (d.kind === "labels" ? d.labels.length : -1))).size).toBeGreaterThan(2);
  });

  it("says invalid where a score is not finite, and leaves the other rows alone", () => {
    const good = [3, 0, -1];
    expect(head.decideAll([good, [0, NaN, 1], [Infinity, 0, 0], [0, 0, -Infinity]]).map((d) => (d.kind === "invalid" ? d.why.text : d.kind))).toEqual(["labels", "NaN in column 1", "Infinity in column 0", "-Infinity in column 2"]);
    expect(head.decideAll({ data: new Float32Array(0), shape: [0, 3] })).toEqual([]);
    expect(Array.from(head.probabilities([0, NaN, -Infinity]).data, Number.isNaN)).toEqual([false, true, true]);
  });

  it("knows its class names as types", () => {
    const decision = MultiLabelHead.fit({ ...data, classes: ["rock", "live", "slow"] }).decide([1, 2, 3]);
    if (decision.kind === "labels") expectTypeOf(decision.labels).toEqualTypeOf<readonly ("rock" | "live" | "slow")[]>();
  });

  it("gives the same in pieces, and stops on abort", async () => {
    const shares: number[] = [];
    const fitted = await MultiLabelHead.fitAsync({ ...data, classes: CLASSES }, { seed: 4, onProgress: (share) => shares.push(share) });
    expect([fitted.toJSON(), shares[0], shares.at(-1)]).toEqual([head.toJSON(), 0, 1]);
    await expect(MultiLabelHead.fitAsync({ ...data, classes: CLASSES }, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });

  it.each([{ maxMissed: 0.1 }, { maxFalsePositiveRate: 0.1, confidence: 0.9 }, { fMeasure: 2 }, { cost: { falsePositive: 1, falseNegative: 2 } }].flatMap((rule) => estimatorChecks<MultiLabelHead>({
    name: "MultiLabelHead",
    data: [data.logits, data.targets],
    fit: (logits, targets) => MultiLabelHead.fit({ logits, targets, classes: CLASSES }, { seed: 4, rule }),
    output: (fitted) => [fitted.probabilities(probe), fitted.thresholds, { shape: [60], data: fitted.decideAll(probe).map((d) => (d.kind === "labels" ? d.labels.join().length : -1)) }].map((x) => (x instanceof Float32Array ? { shape: [3], data: x } : x)),
    fromJSON: MultiLabelHead.fromJSON,
    rowOrder: "matters", // the split goes by position
    wrongWidth: [(fitted) => fitted.decide([1, 2]), (fitted) => fitted.decideAll([[1, 2, 3, 4]]), (fitted) => fitted.probabilities([1])],
    base64: ["slopes.data", "intercepts.data", "thresholds.data", "selfTest.numbers.probabilities.data"],
  }).map(({ name, run }) => ({ name: `${name} (${Object.keys(rule)[0]})`, run }))))("$name", ({ run }) => run());

  it("survives its bytes bit by bit, and 20,000 damages: a FormatError or the same decisions", () => {
    const bytes = head.toBytes(), again = MultiLabelHead.fromBytes(bytes);
    expect([again.toJSON(), again.toBytes(), again.decideAll(probe)]).toEqual([head.toJSON(), bytes, head.decideAll(probe)]);
    const random = randomSource(9);
    let refused = 0;
    for (let i = 0; i < 20000; i++) {
      const damaged = bytes.slice(0, random.integer(4) === 0 ? random.integer(bytes.length) : bytes.length);
      for (let edits = 1 + random.integer(2); edits > 0 && damaged.length > 0; edits--) damaged[random.integer(damaged.length)] = random.integer(256);
      try {
        expect(MultiLabelHead.fromBytes(damaged).toJSON()).toEqual(head.toJSON());
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(15000);
  });

  it("refuses to load where the numbers come out differently", () => {
    const json = head.toJSON();
    const changed = new Tensor("float32", [3], Float32Array.of(0.5, 0.5, 0.5));
    expect(() => MultiLabelHead.fromJSON({ ...json, slopes: { dtype: "float32", shape: [3], data: changed.data } })).toThrow(/`probabilities` of the self-test within 0.00010 of .*computes differently/);
  });
});

describe("guarantees", () => {
  it("name their rows", () => {
    expect(head.guarantees).toMatchInlineSnapshot(`
      [
        {
          "assumes": [
            "new rows are exchangeable with the calibration rows (drawn from the same source)",
            "no labelled row trained the model or served another choice",
          ],
          "attainable": true,
          "kind": "missed labels",
          "level": 0.1,
          "n": 450,
          "rows": "the 450 calibration rows (of 900, split with seed 4); the calibration of the probabilities saw the other 450",
          "statement": "Of a new row's true labels a share of at most 10 % is missed in the mean, rows without any label counted as 0.",
        },
      ]
    `);
    expect(MultiLabelHead.fit({ ...data, classes: CLASSES }, { rule: { maxMissed: 0.001 } }).guarantees[0].statement).toMatchInlineSnapshot(`"Of a new row's true labels a share of at most 0.1 % is missed in the mean, rows without any label counted as 0; 450 rows are too few for that, so every label is given."`);
    const rate = MultiLabelHead.fit({ ...data, classes: CLASSES }, { rule: { maxFalsePositiveRate: 0.01 } });
    expect(rate.guarantees.map(({ statement, n, attainable }) => ({ statement, n, attainable }))).toMatchInlineSnapshot(`
      [
        {
          "attainable": false,
          "n": 287,
          "statement": "With probability at least 95 % over the drawing of the rows, at most 1 % of new rows without "rock" get it; 287 such rows are too few for that, so none does.",
        },
        {
          "attainable": false,
          "n": 219,
          "statement": "With probability at least 95 % over the drawing of the rows, at most 1 % of new rows without "live" get it; 219 such rows are too few for that, so none does.",
        },
        {
          "attainable": true,
          "n": 346,
          "statement": "With probability at least 95 % over the drawing of the rows, at most 1 % of new rows without "slow" get it.",
        },
      ]
    `);
    expect(rate.guarantees[0].assumes[0]).toMatchInlineSnapshot(`"calibration rows without "rock" and new ones are independent draws from one source"`);
    expect(rate.guarantees[0].rows).toMatchInlineSnapshot(`"those without "rock" of the 450 calibration rows (of 900, split with seed 0); the calibration of the probabilities saw the other 450"`);
    expect(MultiLabelHead.fit({ ...data, classes: CLASSES }, { rule: { fMeasure: 1 } }).guarantees).toEqual([]);
    expect([{ fMeasure: 1 }, { cost: { falsePositive: 1, falseNegative: 1 } }, { maxMissed: 0.1 }, { maxFalsePositiveRate: 0.1 }].map((rule) => MultiLabelHead.fit({ ...data, classes: CLASSES }, { rule }).notPromised[0])).toMatchInlineSnapshot(`
      [
        "the F-measure on new rows: the thresholds are the best ones for the calibration rows",
        "the expected cost: the thresholds are the best ones only if the probabilities are right",
        "how many labels are given that are not true",
        "which share of the true labels is found",
      ]
    `);
  });

  it("about missed labels hold for the composed object, and are not needlessly cautious", () => {
    // For continuous scores the mean is at least alpha - 2 / (n + 1), n = 60 (Angelopoulos et al., theorem 2).
    checkGuarantee({
      name: "missed labels", repetitions: SLOW || 600, kind: "marginal mean", level: 0.2, slack: 2 / 61,
      simulate: (seed) => {
        const all = world(140, 1000 + seed), fitted = MultiLabelHead.fit({ ...cut(all, 0, 120), classes: CLASSES }, { seed, rule: { maxMissed: 0.2 } });
        let missed = 0;
        fitted.decideAll(cut(all, 120, 140).logits).forEach((d, n) => {
          const own = CLASSES.filter((_, c) => all.targets.data[3 * (120 + n) + c]);
          if (d.kind === "labels" && own.length > 0) missed += own.filter((name) => !d.labels.includes(name)).length / own.length;
        });
        return missed / 20;
      },
    });
  }, 300_000);

  it("about false positives hold for the composed object", () => {
    const rate = (fitted: MultiLabelHead): number => {
      // The exact rate: scores of rows without the label "rock" are drawn finely.
      const t = fitted.thresholds[0], z = Float32Array.from({ length: 3 * 2000 }, (_, i) => 8 * ((Math.floor(i / 3) + 0.5) / 2000 - 0.5));
      const p = fitted.probabilities({ shape: [2000, 3], data: z }).data;
      let all = 0, above = 0;
      for (let n = 0; n < 2000; n++) {
        const weight = 1 - 1 / (1 + Math.exp(-SLOPES[0] * z[3 * n] - INTERCEPTS[0]));
        all += weight;
        if (p[3 * n] >= t) above += weight;
      }
      return above / all;
    };
    checkGuarantee({
      name: "false-positive rate", repetitions: SLOW || 600, kind: "probability of exceeding", level: 0.1, side: "at most",
      simulate: (seed) => rate(MultiLabelHead.fit({ ...world(240, 5000 + seed), classes: CLASSES }, { seed, rule: { maxFalsePositiveRate: 0.15, confidence: 0.9 } })) > 0.15 + 1 / 2000,
    });
  }, 300_000);
});

describe("messages", () => {
  const z = [[1, 0], [0, 1], [3, 1], [0, 0]], y = [[0, 1], [1, 0], [1, 1], [0, 0]];
  const fit = (over: object, options: object = {}) => () => MultiLabelHead.fit({ logits: z, targets: y, classes: ["a", "b"] as readonly string[], ...over }, options);
  it("of a fit say what is wrong", () => {
    expect(fit({ logits: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`logits\` of shape [N, C], got [2]]`);
    expect(fit({ logits: [[1, 2], [3, NaN], [1, 1], [1, 1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`logits\` of finite scores, got NaN in row 1, column 1]`);
    expect(fit({ logits: [[1, 2], [3, 1], [1, 1], [1, 1]] }, { input: "probabilities" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`logits\` of probabilities, as \`input\` says, got 2 in row 0, column 1]`);
    expect(fit({ targets: [[1, 2], [0, 0], [0, 0], [0, 0]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`targets\` of 0 and 1, got 2 at index 1]`);
    expect(fit({ targets: [0, 1, 1, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`targets\` of shape [4, 2], got [4]]`);
    expect(fit({ classes: ["a", "a"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`classes\` 2 different names, got "a" twice]`);
    expect(fit({ classes: ["a"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`classes\` 2 different names, got 1]`);
    expect(fit({ classes: "ab" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`classes\` 2 different names, got no list of strings]`);
    expect(fit({ logits: { shape: [2, 0], data: new Float32Array(0) }, targets: { shape: [2, 0], data: new Uint8Array(0) } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`logits\` with at least one label, got shape [2, 0]]`);
    expect(fit({ calibration: { logits: [[1]], targets: [[1]] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`calibration.logits\` of 2 labels on the last axis, got 1]`);
    expect(fit({ calibration: { logits: [[9, 8], z[2]], targets: [[1, 0], y[2]] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`calibration\` of rows that are not among the others, got row 1, which is row 2 of them. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    expect(fit({ calibration: { logits: [[9, 8], z[2]], targets: [[1, 0], y[2]] }, duplicates: "allowed" })().calibrationRows).toBe(2);
    expect(fit({ calibration: { logits: z, targets: y } }, { split: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`split\` nothing where \`calibration\` rows are given, got 0.5]`);
    expect(fit({}, { split: 0.1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`logits\` with a row for the calibration and one for the thresholds, got 0 and 4]`);
    expect(fit({}, { split: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`split\` in (0, 1), got 0]`);
    expect(fit({}, { input: "scores" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`input\` "logits" or "probabilities", got scores]`);
    expect(fit({}, { rule: {} })).toThrowErrorMatchingInlineSnapshot(`[TypeError: MultiLabelHead.fit: expected \`rule\` with one of \`maxFalsePositiveRate\`, \`cost\`, \`fMeasure\`, \`maxMissed\`, got none]`);
    expect(fit({}, { rule: { fMeasure: 1, maxMissed: 0.1 } })).toThrowErrorMatchingInlineSnapshot(`[TypeError: MultiLabelHead.fit: expected \`rule\` with one of \`maxFalsePositiveRate\`, \`cost\`, \`fMeasure\`, \`maxMissed\`, got fMeasure and maxMissed]`);
    expect(fit({}, { rule: { fMeasure: 0 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`rule.fMeasure\` a finite number > 0, got 0]`);
    expect(fit({}, { rule: { maxMissed: 1 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`rule.maxMissed\` in (0, 1), got 1]`);
    expect(fit({}, { rule: { cost: { falsePositive: 0, falseNegative: 1 } } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`rule.cost.falsePositive\` a finite number > 0, got 0]`);
    expect(fit({}, { rule: { maxFalsePositiveRate: 0.1, confidence: 1 } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.fit: expected \`rule.confidence\` in (0, 1), got 1]`);
  });

  it("of a decision and of a file say what is wrong", () => {
    expect(() => head.decide([[1, 2, 3]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.decide: expected \`logits\` of shape [C], got [1, 3]. For a batch use decideAll]`);
    expect(() => head.decide([1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: MultiLabelHead.decide: expected \`logits\` of 3 labels on the last axis, got shape [1]]`);
    expect(() => MultiLabelHead.fromBytes(new Uint8Array(3))).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelHead.fromBytes: expected \`bytes\` to start with a header length of 8 bytes, got 3 bytes]`);
    const json = head.toJSON();
    expect(() => MultiLabelHead.fromJSON({ ...json, calibrationHash: "no" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelHead.fromJSON: expected \`calibrationHash\` 64 hexadecimal digits, got something else]`);
    expect(() => MultiLabelHead.fromJSON({ ...json, rule: { maxMissed: 2 } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelHead.fromJSON: in \`rule\`: expected \`maxMissed\` a finite number in [0, 1], got 2]`);
    expect(() => MultiLabelHead.fromJSON({ ...json, classes: ["a", "b"] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: MultiLabelHead.fromJSON: expected \`positives\` of shape [2], got [3]]`);
  });
});
