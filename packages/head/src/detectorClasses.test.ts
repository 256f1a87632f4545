import { FeatureEnsemble, GaussianPrototypes, HeadDetector, HopfieldDetector, KLMatchingDetector, LogitDetector, NecoDetector, NeighborGuidedDetector, OpenMaxDetector, PValueFusion, RelativeMahalanobisDetector, ResidualDetector, ShapedEnergyDetector, SsdDetector, VimDetector, allDetectors, detectorFromJSON, fitDetector, type Detector, type DetectorClass } from "@logits/ood";
import { Tensor } from "@logits/tensor";
import { checkGuarantee, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead, fuseDetectors, selectDetector, type DetectorChoice, type DetectorFactory } from "./index.ts";

const CLASSES = ["a", "b", "c"] as const, F = 6;

/** Positive features around three means and the logits of a linear head. */
function world(rows: number, seed: number, shift = 0) {
  const random = testRandom(seed), features = new Float32Array(rows * F), logits = new Float32Array(rows * 3), labels = new Int32Array(rows);
  for (let n = 0; n < rows; n++) {
    const y = (labels[n] = Math.floor(3 * random.uniform()));
    for (let f = 0; f < F; f++) features[n * F + f] = Math.abs(random.normal()) + (f === y ? 2 : 0) + (f >= 3 ? shift : 0);
    for (let c = 0; c < 3; c++) logits[n * 3 + c] = 2 * features[n * F + c];
  }
  return { features: new Tensor("float32", [rows, F], features), logits: new Tensor("float32", [rows, 3], logits), labels };
}

const weights = Array.from({ length: F }, (_, f) => [0, 1, 2].map((c) => (f === c ? 2 : 0)));
const head = { weights };

/** Every detector of the package that needs a class of its own, fitted as a user would. */
export const FACTORIES: Readonly<Record<string, readonly [cls: DetectorClass, fit: DetectorFactory]>> = {
  relativeMahalanobis: [RelativeMahalanobisDetector, ({ features, labels }) => RelativeMahalanobisDetector.fit(features, labels)],
  ssd: [SsdDetector, ({ features }) => SsdDetector.fit(features)],
  ensemble: [FeatureEnsemble, ({ features, labels }) => FeatureEnsemble.fit(features, labels, { widths: [4, 2] })],
  prototypes: [GaussianPrototypes, ({ features, labels }) => GaussianPrototypes.fit(features, labels)],
  vim: [VimDetector, ({ features, logits }) => VimDetector.fit(features, logits, { dimension: 3 })],
  residual: [ResidualDetector, ({ features }) => ResidualDetector.fit(features, { dimension: 3 })],
  neco: [NecoDetector, ({ features, labels }) => NecoDetector.fit(features, labels, { dimension: 3 })],
  openMax: [OpenMaxDetector, ({ logits, labels }) => OpenMaxDetector.fit(logits, labels)],
  klMatching: [KLMatchingDetector, ({ logits }) => KLMatchingDetector.fit(logits)],
  she: [HopfieldDetector, ({ features, logits, labels }) => HopfieldDetector.fit(features, logits, labels)],
  nnGuide: [NeighborGuidedDetector, ({ features, logits }) => NeighborGuidedDetector.fit(features, logits, { k: 5 })],
  react: [ShapedEnergyDetector, ({ features, logits, labels }) => fitDetector("react", { features, logits, labels, head })],
  dice: [ShapedEnergyDetector, ({ features }) => fitDetector("dice", { features, head })],
  scale: [ShapedEnergyDetector, () => fitDetector("scale", { head })],
  gradNorm: [HeadDetector, () => fitDetector("gradNorm", { head })],
  fdbd: [HeadDetector, ({ features }) => fitDetector("fdbd", { features, head })],
};

const SLOW = Boolean(process.env.LOGITS_SLOW);
const fusion = fuseDetectors(["energy", "mahalanobis", { method: "knn", k: 3 }]);
const select = ["energy", "mahalanobis", ({ features }: { features: Tensor<"float32"> }) => SsdDetector.fit(features, { normalize: false })] as const;

describe("the promises of a head, simulated", () => {
  const EVERY: Readonly<Record<string, DetectorChoice>> = {
    ...Object.fromEntries(["msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis"].map((name) => [name, name as DetectorChoice])),
    knn: { method: "knn", k: 3 },
    ...Object.fromEntries(Object.entries(FACTORIES).map(([name, [, fit]]) => [name, fit])),
    fusion,
    "selectDetector, held-out classes": (rows) => selectDetector(select, rows).detector,
    "selectDetector among fusions": (rows) => selectDetector([fusion, ...select], rows, { criterion: "falsePositiveRate" }).detector,
  };
  // Each repetition draws all rows anew, fits, calibrates and decides: 100 rows, of which 40 fit, 30 make the threshold and 30 the sets.
  const repetitions = SLOW ? 10_000 : 60, NEW = 20;
  it.each(Object.entries(EVERY))("with %s: false positives, and coverage among accepted rows", (name, detector) => {
    const outcomes = Array.from({ length: repetitions }, (_, i) => {
      const head = DecisionHead.fit({ ...world(100, 2 * i + 10), classes: CLASSES }, { detector, seed: i, split: 0.4, guarantee: "accepted", maxFalsePositiveRate: 0.2, confidence: "marginal", alpha: 0.2 });
      const fresh = world(NEW, 2 * i + 11), decisions = head.decideAll(fresh);
      head.detector!.dispose?.();
      const flagged = decisions.filter(({ kind }) => kind === "unknown").length;
      return { flagged, missed: decisions.filter((decision, n) => "set" in decision && !decision.set.includes(CLASSES[fresh.labels[n]])).length, answered: NEW - flagged, rank: head.threshold!.rank };
    });
    // 30 rows: rank 6 of 31, so new rows are flagged at a rate of 6 / 31 on average where scores do not tie.
    expect(outcomes[0].rank).toBe(6);
    checkGuarantee({ name: `${name}: flagged`, kind: "marginal mean", level: 6 / 31, repetitions, simulate: (i) => ({ successes: outcomes[i].flagged, trials: NEW }) });
    checkGuarantee({ name: `${name}: missed`, kind: "marginal mean", level: 0.2, repetitions, simulate: (i) => ({ successes: outcomes[i].missed, trials: Math.max(1, outcomes[i].answered) }) });
    if (SLOW) console.info(`${name}: flagged ${outcomes.reduce((sum, { flagged }) => sum + flagged, 0) / repetitions / NEW} (exact 6 / 31 = 0.1935)`);
  }, SLOW ? 7_200_000 : 60_000);
});

describe("a head with a detector of any class", () => {
  it.each(Object.entries(FACTORIES))("%s: fitted by a function, read back with its class, the same bits", (_, [cls, detector]) => {
    const data = world(200, 1), fresh = world(40, 2);
    const fitted = DecisionHead.fit({ ...data, classes: CLASSES }, { detector });
    const json = JSON.parse(JSON.stringify(fitted)) as { detector: { format: string } };
    expect(json.detector.format).toBe(cls.format);
    const read = DecisionHead.fromJSON(json, { detectors: [cls] });
    expect(read.detector!.method).toBe(fitted.detector!.method);
    expectExact(read.detector!.score(fresh).data, fitted.detector!.score(fresh).data);
    expect(read.decideAll(fresh)).toEqual(fitted.decideAll(fresh));
    expect(DecisionHead.fromBytes(fitted.toBytes(), { detectors: allDetectors }).toJSON()).toEqual(fitted.toJSON());
    expect(() => DecisionHead.fromJSON(json)).toThrow(`Import { ${(cls as unknown as { name: string }).name} } from "@logits/ood" and pass it: \`detectors: [${(cls as unknown as { name: string }).name}]\``);
  });

  it("is chosen among others by outliers, crosses folds, and pauses in `fitAsync` with the same bits", async () => {
    const data = world(150, 3), { labels: _, ...outliers } = world(40, 4, 1.5);
    const detector = ["msp", FACTORIES.ssd[1], FACTORIES.vim[1]] as const;
    const chosen = DecisionHead.fit({ ...data, outliers, classes: CLASSES }, { detector });
    expect(chosen.selection!.candidates).toEqual(["msp", "ssd", "vim"]);
    const steps: DetectorFactory = ({ features }) => SsdDetector.fitSteps("mine", features, {});
    const paused = await DecisionHead.fitAsync({ ...data, outliers, classes: CLASSES }, { detector: ["msp", steps, FACTORIES.vim[1]] });
    expect(paused.toJSON()).toEqual(chosen.toJSON());
    const crossed = DecisionHead.fit({ ...data, classes: CLASSES }, { crossFit: 3, detector: FACTORIES.ssd[1], maxFalsePositiveRate: 0.2 });
    expect(DecisionHead.fromJSON(crossed.toJSON(), { detectors: [SsdDetector] }).toJSON()).toEqual(crossed.toJSON());
    expect(() => DecisionHead.fromJSON(crossed.toJSON())).toThrow("in `folds.0.detector`");
  });

  it("of fused detectors: fitted on halves, read back, refused without a row for each half", () => {
    const data = world(120, 8), fitted = DecisionHead.fit({ ...data, classes: CLASSES }, { detector: fuseDetectors(["energy", FACTORIES.ssd[1]], { method: "harmonic" }) });
    const detector = fitted.detector as PValueFusion;
    expect([detector.n, detector.combination, detector.detectors.map(({ method }) => method)]).toEqual([30, "harmonic", ["energy", "ssd"]]);
    expect(DecisionHead.fromJSON(JSON.parse(JSON.stringify(fitted)), { detectors: [PValueFusion, SsdDetector] }).toJSON()).toEqual(fitted.toJSON());
    expect(() => DecisionHead.fromJSON(fitted.toJSON(), { detectors: [PValueFusion] })).toThrow("Import { SsdDetector }");
    const { features: _, ...logitsOnly } = data;
    expect(DecisionHead.fit({ ...logitsOnly, classes: CLASSES }, { detector: fuseDetectors(["energy", "msp"]) }).needs).toEqual(["logits"]);
    expect(DecisionHead.fit({ ...logitsOnly, classes: CLASSES }, { detector: (rows) => selectDetector(["energy", "msp"], rows).detector }).needs).toEqual(["logits"]);
    expect(() => fuseDetectors([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: fuseDetectors: expected \`candidates\` at least one detector, got none]`);
    expect(() => DecisionHead.fit({ logits: [[1, 0], [0, 1]], labels: [0, 1], classes: ["a", "b"] }, { detector: fuseDetectors(["msp"]) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`logits\` of scores before the softmax, got probabilities: each row >= 0 with a sum of 1. Pass \`input: "probabilities"\`, or \`input: "logits"\` if that is what they are]`);
  });

  it("shows the function fit rows alone", () => {
    const data = world(100, 5);
    let seen = 0;
    const fitted = DecisionHead.fit({ ...data, classes: CLASSES }, { split: 0.3, detector: ({ logits, kept, classes, labels }) => {
      seen = logits.shape[0];
      expect([classes, ...kept, labels.size]).toEqual([3, 0, 1, 2, 30]);
      return LogitDetector.of("energy");
    } });
    expect([seen, fitted.threshold!.n]).toEqual([30, 70]);
  });

  it("may be of a class of one's own", () => {
    class Largest implements Detector {
      static readonly format = "mine/largest";
      readonly method = "largest";
      readonly needs = ["logits"] as const;
      score({ logits }: { readonly logits?: unknown }): Tensor<"float32"> {
        const { data, shape: [rows, width] } = logits as Tensor<"float32">;
        return new Tensor("float32", [rows], Float32Array.from({ length: rows }, (_, n) => -Math.max(...data.subarray(n * width, (n + 1) * width))));
      }
      toJSON(): { format: string; version: number } {
        return { format: Largest.format, version: 1 };
      }
      static fromJSON(): Largest {
        return new Largest();
      }
    }
    const fitted = DecisionHead.fit({ ...world(60, 6), classes: CLASSES }, { detector: () => new Largest() });
    expect(DecisionHead.fromJSON(JSON.parse(JSON.stringify(fitted)), { detectors: [Largest] }).toJSON()).toEqual(fitted.toJSON());
    expect(() => DecisionHead.fromJSON(fitted.toJSON())).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`detector\`: DecisionHead.fromJSON: expected \`format\` that of a detector that is known here (logits/logit-detector, logits/mahalanobis-detector, logits/nearest-neighbor-detector), got "mine/largest". Pass the class that wrote it: \`detectors: [...]\`]`);
  });

  it("has formats that no two classes share, and a reader for every one", () => {
    const formats = allDetectors.map(({ format }) => format);
    expect(new Set(formats).size).toBe(formats.length);
    for (const [cls] of Object.values(FACTORIES)) expect(allDetectors).toContain(cls);
    expect(detectorFromJSON(LogitDetector.of("msp").toJSON()).method).toBe("msp");
  });

  it("messages say what to do", () => {
    const data = { ...world(60, 7), classes: CLASSES };
    const fit = (detector: unknown) => () => DecisionHead.fit(data, { detector: detector as never });
    expect(fit(SsdDetector)).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fit: expected \`detector\` a function that fits it, got the class SsdDetector. Pass ({ features, logits, labels }) => SsdDetector.fit(...)]`);
    expect(fit(() => 1)).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fit: expected \`detector\` a function that returns a detector, got Number]`);
    expect(fit("vim")).toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.fit: expected \`detector\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", "mahalanobis", "knn", got vim. Another detector goes in by a function that fits it: ({ features, logits, labels }) => SsdDetector.fit(features)]`);
    expect(() => DecisionHead.fit({ logits: data.logits, labels: data.labels, classes: CLASSES }, { detector: FACTORIES.ssd[1] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: SsdDetector.fit: expected \`features\` a tensor, typed array, { data, dims } or nested number arrays, got undefined]`);
    const ssd = DecisionHead.fit(data, { detector: FACTORIES.ssd[1] }).toJSON();
    expect(() => DecisionHead.fromJSON(ssd)).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: in \`detector\`: DecisionHead.fromJSON: expected \`format\` that of a detector that is known here (logits/logit-detector, logits/mahalanobis-detector, logits/nearest-neighbor-detector), got "logits/ssd-detector". Import { SsdDetector } from "@logits/ood" and pass it: \`detectors: [SsdDetector]\`]`);
    expect(() => DecisionHead.fromJSON(ssd, { detectors: SsdDetector as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fromJSON: expected \`detectors\` a list of detector classes, got Function]`);
    expect(() => DecisionHead.fromJSON(ssd, { detectors: [{ format: "x" }] as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.fromJSON: expected \`detectors\` of classes with a static \`format\` and \`fromJSON\`, got Object at index 0]`);
  });
});
