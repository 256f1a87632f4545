import { SplitConformal } from "@logits/conformal";
import { Tensor, randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { measure, measureSets } from "./measure.ts";
import { reportPage } from "./page.ts";
import type { ReportMetrics } from "./types.ts";
import { findings } from "./words.ts";

const ROWS = 450;
const random = randomSource(3);
const labels = new Tensor("int32", [ROWS], Int32Array.from({ length: ROWS }, () => random.integer(3)));
const logits = new Tensor("float32", [ROWS, 3], Float32Array.from({ length: 3 * ROWS }, (_, i) => 4 * random.uniform() + (labels.data[Math.floor(i / 3)] === i % 3 ? 2 : 0)));

function metrics(alpha: number, change: Partial<ReportMetrics> = {}): ReportMetrics {
  const measures = measure(logits, labels, 0);
  const sets = SplitConformal.fit(logits, labels, { method: "lac" });
  return {
    format: "logits/report", version: 1, title: "t", classes: 3, rows: { fit: ROWS, calibration: ROWS, test: ROWS, shown: ROWS, split: "as given", seed: 0 },
    input: { kind: "logits", clipped: 0, clippedRows: 0 }, temperature: 1.5, temperatureStandardError: 0.1, temperatureAtBound: false, before: measures, after: measures,
    sets: [measureSets(sets, logits, labels, alpha, ["a", "b", "c"])], detector: null, versions: { logits: "0", variant: "simd" }, ...change,
  };
}

describe("measure", () => {
  it("counts ties, and takes the smallest index of equal scores as the prediction", () => {
    const tied = measure(new Tensor("float32", [3, 3], Float32Array.of(1, 1, 0, 0, 2, 2, 3, 0, 0)), new Tensor("int32", [3], Int32Array.of(0, 2, 0)), 0);
    expect(tied.ties).toBe(2);
    expect(tied.accuracy).toBe(2 / 3);
  });

  it("gives at most 200 points of the risk-coverage curve, the last at coverage 1", () => {
    const { riskCoverage, accuracy } = measure(logits, labels, 0);
    expect(riskCoverage).toHaveLength(150);
    expect(riskCoverage.at(-1)!.coverage).toBe(1);
    // The risk at coverage 1 is the error rate, up to the rounding of one subtraction.
    expect(riskCoverage.at(-1)!.risk).toBeCloseTo(1 - accuracy, 12);
  });
});

describe("findings", () => {
  const about = (change: Partial<ReportMetrics>): string => findings(metrics(0.1, change)).join("\n");

  it("say in which direction the confidence is off", () => {
    const { before } = metrics(0.1);
    expect(about({ before: { ...before, accuracy: 0.8, meanConfidence: 0.9 } })).toContain("right on 80.0 % of the 450 shown rows and claims 90.0 %: it is overconfident.");
    expect(about({ before: { ...before, accuracy: 0.9, meanConfidence: 0.8 } })).toContain("it is underconfident.");
    expect(about({ before: { ...before, accuracy: 0.9, meanConfidence: 0.903 } })).toContain("claims 90.3 %: no further apart than chance explains.");
  });

  it("say when the temperature means nothing", () => {
    expect(about({})).toContain("temperature 1.500 (standard error 0.100, fitted on 450 other rows)");
    expect(about({ temperatureAtBound: true, temperature: 2 ** -10, temperatureStandardError: null })).toContain("ran to its bound 0.0009765625: no fit row is wrong");
    expect(about({ temperatureAtBound: true, temperature: 1024 })).toContain("ran to its bound 1024: on the fit rows the scores speak against the labels");
    expect(about({ temperature: 1, temperatureStandardError: null })).toContain("it stays 1");
  });

  it("name the promise as alpha gives it, and the case of too few rows", () => {
    expect(findings(metrics(0.025)).join()).toContain("promised: 97.5 % on average");
    expect(findings(metrics(0.3)).join()).toContain("promised: 70 % on average");
    expect(findings(metrics(0.001)).join()).toContain("hold every label: 450 rows are too few for this alpha.");
  });

  it("count ties and clipped probabilities where there are some", () => {
    expect(about({})).not.toMatch(/same largest score|2\^-126/);
    expect(about({ input: { kind: "probabilities", clipped: 5, clippedRows: 2 } })).toContain("Probabilities below 2^-126, set to it before the logarithm: 5, in 2 rows.");
    expect(about({ before: { ...metrics(0.1).before, ties: 4 } })).toContain("same largest score: 4;");
  });
});

describe("reportPage", () => {
  it("is a function of its argument, and escapes every text in it", () => {
    const hostile = "<b>'\"&</b>";
    const page = metrics(0.1, { title: hostile, rows: { ...metrics(0.1).rows, split: hostile }, versions: { logits: hostile, variant: hostile } });
    const named = { ...page, sets: page.sets.map((sets) => ({ ...sets, byClass: sets.byClass.map((entry) => ({ ...entry, label: hostile })) })) };
    const text = reportPage(named);
    expect(text).toBe(reportPage(named));
    expect(text.replaceAll(/<b class="(before|after)">/g, "")).not.toContain("<b>");
    expect(text.split("&#60;b&#62;&#39;&#34;&#38;&#60;/b&#62;").length).toBeGreaterThan(5);
  });
});
