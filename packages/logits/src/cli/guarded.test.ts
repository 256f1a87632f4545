import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DecisionHead } from "@logits/head";
import { testRandom } from "@logits/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReportMetrics } from "../report/types.ts";
import type { CheckReport } from "./check.ts";
import type { Comparison } from "./compare.ts";

// The built command line on heads with a detector.
const cli = join(import.meta.dirname, "../../dist/cli.js");
const folder = mkdtempSync(join(tmpdir(), "logits-guarded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]): { code: number | null; out: string; err: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 });
  return { code: status, out: stdout, err: stderr.replace(/^ *\d+\.\d s {2}.*\n/gm, "") };
};
const write = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return name;
};
const csv = (name: string, rows: readonly (readonly number[] | number)[]): string => write(name, rows.map((row) => [row].flat().join(",")).join("\n"));
const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8");
const metrics = (directory: string): ReportMetrics => JSON.parse(read(directory, "metrics.json")) as ReportMetrics;

const ROWS = 900;
const CENTRES = [[0, 0, 0], [4, 0, 0], [0, 4, 0]];
const random = testRandom(5);
const labels = Array.from({ length: ROWS }, () => random.integer(3));
const features = labels.map((label) => CENTRES[label].map((x) => x + random.normal()));
// A linear scorer of the features, so that far features need not look far in the scores.
const scoresOf = (x: readonly number[]): number[] => CENTRES.map((c) => c.reduce((sum, value, i) => sum + value * x[i] - value ** 2 / 2, 0));
const far = Array.from({ length: 200 }, () => [random.normal(), random.normal(), 9 + random.normal()]);

beforeAll(() => {
  expect(existsSync(cli), "build first: pnpm run build").toBe(true);
  csv("labels.csv", labels);
  csv("features.csv", features);
  csv("logits.csv", features.map(scoresOf));
  csv("far.csv", far);
  csv("far-logits.csv", far.map(scoresOf));
  csv("wrong.csv", labels.map((label) => (label + 1) % 3));
  expect(run("report", "--logits", "logits.csv", "--labels", "labels.csv", "--features", "features.csv", "--max-fpr", "0.05", "--detector", "mahalanobis", "--outliers", "far-logits.csv", "--outlier-features", "far.csv", "--out", "guarded")).toMatchObject({ code: 0, err: "" });
  expect(run("report", "--logits", "logits.csv", "--labels", "labels.csv", "--out", "plain")).toMatchObject({ code: 0, err: "" });
});

describe("report with a detector", () => {
  it("measures it on test rows and on outliers, in metrics.json, on the page and in words", () => {
    const { detector, rows, sets } = metrics("guarded");
    expect(detector).toMatchObject({ method: "mahalanobis", selection: null, maxFalsePositiveRate: 0.05, confidence: 0.95, n: rows.calibration, guarantee: "all" });
    // Nine standard deviations away in a direction that the scores do not see.
    expect(detector!.outliers).toMatchObject({ rows: 200, detected: { share: 1 }, auroc: 1 });
    expect(detector!.falsePositives.rows).toBe(rows.test);
    expect(detector!.falsePositives.interval[0]).toBeLessThan(0.05);
    expect(detector!.histogram.reduce((sum, bin) => sum + bin.inside, 0)).toBe(rows.test);
    expect(detector!.histogram.reduce((sum, bin) => sum + bin.outside, 0)).toBe(200);
    expect(sets).toHaveLength(2);
    const page = read("guarded", "index.html");
    expect(page).toContain("Rows unlike those of the fit");
    expect(page.match(/<svg/g)).toHaveLength(6);
    expect(page).not.toMatch(/<script|<link|<img|src=/i);
    expect(read("plain", "index.html")).not.toContain("Rows unlike those of the fit");
    expect(metrics("plain").detector).toBeNull();
  });

  it("outliers choose among detectors, and the other half of them measures", () => {
    const { code, out } = run("report", "--logits", "logits.csv", "--labels", "labels.csv", "--features", "features.csv", "--outliers", "far-logits.csv", "--outlier-features", "far.csv", "--out", "chosen");
    expect(code).toBe(0);
    const { detector } = metrics("chosen");
    expect(["mahalanobis", "knn"]).toContain(detector!.method);
    expect([detector!.selection!.outliers, detector!.outliers!.rows]).toEqual([100, 100]);
    expect(out.replaceAll(/\s+/g, " ")).toContain("Of 100 outliers that nothing had seen it flags 100.0 %");
  });

  it("promises about accepted rows, and then shows one kind of sets", () => {
    expect(run("report", "--logits", "logits.csv", "--labels", "labels.csv", "--guarantee", "accepted", "--confidence", "marginal", "--max-fpr", "0.1", "--out", "accepted").code).toBe(0);
    const { detector, sets, rows } = metrics("accepted");
    expect(detector).toMatchObject({ method: "msp", guarantee: "accepted", confidence: "marginal", outliers: null });
    expect(sets.map((each) => each.method)).toEqual(["LAC"]);
    expect(sets[0].coverage.rows).toBe(rows.test - Math.round(detector!.falsePositives.share * rows.test));
  });

  it("says where the rows are too few for the rate", () => {
    const { code, out } = run("report", "--logits", "logits.csv", "--labels", "labels.csv", "--max-fpr", "0.001", "--out", "few");
    expect(code).toBe(0);
    expect(metrics("few").detector!.threshold).toBeNull();
    expect(out.replaceAll(/\s+/g, " ")).toContain("225 calibration rows are too few to flag any at a rate of 0.1 %");
    expect(read("few", "index.html")).toContain("Nothing is flagged");
  });
});

describe("decide with a head that needs features", () => {
  const kinds = (...args: string[]): string[] => run("decide", "--head", "guarded/head.json", ...args).out.trimEnd().split("\n").map((line) => (JSON.parse(line) as { kind: string }).kind);

  it("flags far rows, and answers others", () => {
    expect(new Set(kinds("--logits", "far-logits.csv", "--features", "far.csv"))).toEqual(new Set(["unknown"]));
    expect(kinds("--logits", "logits.csv[0:100]", "--features", "features.csv[0:100]").filter((kind) => kind === "unknown").length).toBeLessThan(15);
  });

  it("prints words, and reads the binary artefact", () => {
    writeFileSync(join(folder, "head.bin"), DecisionHead.fromJSON(JSON.parse(read("guarded", "head.json"))).toBytes());
    const args = ["--logits", "far-logits.csv[0:1]", "--features", "far.csv[0:1]", "--format", "words"];
    const { out } = run("decide", "--head", "head.bin", ...args);
    expect(out).toBe(run("decide", "--head", "guarded/head.json", ...args).out);
    expect(out).toMatch(/^0 {2}unknown \(p 0\.\d{3}; nearest class \d\)\n$/);
  });
});

// Trained by the demo before; without its cache a first call trains for many seconds.
describe.runIf(existsSync(join(import.meta.dirname, "../../../../out/cache")))("decide --demo", () => {
  it("answers texts of the command line and lines of stdin", () => {
    const { code, out } = run("decide", "--demo", "how do i sail to the moon", "Wake me up at seven!");
    expect(code).toBe(0);
    const decisions = out.trimEnd().split("\n").map((line) => JSON.parse(line) as { text: string; kind: string; label?: string });
    expect(decisions.map(({ text, kind, label }) => [text, kind, label])).toEqual([["how do i sail to the moon", "unknown", undefined], ["Wake me up at seven!", "label", "alarm"]]);
    const piped = spawnSync(process.execPath, [cli, "decide", "--demo", "--format", "words", "-"], { cwd: folder, encoding: "utf8", input: "how do i sail to the moon\n\nwake me up at seven\n" });
    expect(piped.stdout).toMatch(/^unknown \(p [\d.]+; nearest directions\)\nunknown \(p [^\n]+\)\nalarm \([\d.]+\)\n$/);
  }, 180_000);
});

describe("check", () => {
  const check = (head: string, ...args: string[]): { code: number | null; out: string } => run("check", "--head", `${head}/head.json`, "--logits", "logits.csv", ...(head === "guarded" ? ["--features", "features.csv"] : []), ...args);

  it("ends with 0 where the rows do not contradict", () => {
    const { code, out } = check("guarded", "--labels", "labels.csv", "--min-coverage", "0.85", "--max-fpr", "0.05", "--min-accuracy", "0.8");
    expect(code).toBe(0);
    expect(out.match(/^ok {3}/gm)).toHaveLength(3);
  });

  it("ends with 1 and a sentence where they do", () => {
    const { code, out } = check("plain", "--labels", "wrong.csv", "--min-coverage", "0.9");
    expect(code).toBe(1);
    expect(out.replaceAll(/\d+ of 900 rows \([\d.]+ %/g, "K of 900 rows (P %").replace(/below [\d.]+ %/, "below Q %")).toMatchInlineSnapshot(`
      "FAIL coverage: the sets hold the right label for K of 900 rows (P %; asked for: at least 90 %): with 95 % confidence the coverage is below Q %: these rows are unlike the calibration rows, or the head was fitted on rows it had seen.
      "
    `);
    const moved = run("check", "--head", "guarded/head.json", "--logits", "far-logits.csv", "--features", "far.csv", "--labels", "labels.csv[0:200]", "--max-fpr", "0.05", "--json");
    expect(moved.code).toBe(1);
    const { ok, checks } = JSON.parse(moved.out) as CheckReport;
    expect([ok, checks[0].name, checks[0].count, checks[0].rows, checks[0].confidence]).toEqual([false, "false-positive rate", 200, 200, 0.95]);
  });

  it("does not fail for a share that chance explains, and shares the risk among limits", () => {
    const rows = 100, hits = 86;
    const right = labels.slice(0, rows).map((label, i) => (i < hits ? label : (label + 1) % 3));
    csv("some.csv", right);
    csv("sure.csv", labels.slice(0, rows).map((label) => [0, 1, 2].map((c) => (c === label ? 9 : 0))));
    const args = ["check", "--head", "plain/head.json", "--logits", "sure.csv", "--labels", "some.csv", "--json"];
    // The upper 95 % bound of 86 of 100 is 0.914, the one for three limits at 0.983 higher; SciPy: beta.ppf(0.95, 87, 14) = 0.91333.
    expect(run(...args, "--min-accuracy", "0.91").code).toBe(0);
    const { code, out } = run(...args, "--min-accuracy", "0.92");
    expect(code).toBe(1);
    expect((JSON.parse(out) as CheckReport).checks[0].bound).toBeCloseTo(0.91333, 4);
    expect(run(...args, "--min-accuracy", "0.92", "--min-coverage", "0.5").code).toBe(0);
  });

  it("refuses what cannot be checked, with 2", () => {
    const refusal = (...args: string[]): string => {
      const { code, out, err } = run("check", ...args);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      return err.trimEnd();
    };
    const plain = ["--head", "plain/head.json", "--logits", "logits.csv", "--labels", "labels.csv"];
    expect(refusal(...plain)).toMatchInlineSnapshot(`"logits: expected at least one of --min-coverage, --max-fpr and --min-accuracy, got none"`);
    expect(refusal(...plain, "--max-fpr", "0.05")).toMatchInlineSnapshot(`"logits: expected a head with a detector where --max-fpr is given, got one without: it flags nothing"`);
    expect(refusal(...plain, "--features", "features.csv", "--min-coverage", "0.5")).toMatchInlineSnapshot(`"logits: expected no --features, which the head does not take, got features.csv"`);
    expect(refusal("--head", "guarded/head.json", "--logits", "logits.csv", "--labels", "labels.csv", "--max-fpr", "0.5")).toMatchInlineSnapshot(`"logits: expected --features, which the head needs, got none"`);
  });
});

describe("compare", () => {
  it("finds the better file of scores, by McNemar's exact test and a paired t-test", () => {
    csv("noisy.csv", features.map((x) => scoresOf(x).map((score) => score + 4 * random.normal())));
    const { code, out } = run("compare", "logits.csv", "noisy.csv", "--labels", "labels.csv", "--json");
    expect(code).toBe(0);
    const { accuracy, logLoss, rows } = JSON.parse(out) as Comparison;
    expect(rows).toBe(ROWS);
    expect(accuracy.onlyA).toBeGreaterThan(accuracy.onlyB);
    expect(accuracy.a - accuracy.b).toBeCloseTo((accuracy.onlyA - accuracy.onlyB) / ROWS, 12);
    expect(accuracy.pValue).toBeLessThan(1e-4);
    expect(logLoss!.difference).toBeLessThan(0);
    expect(logLoss!.interval[1]).toBeLessThan(0);
    expect(run("compare", "logits.csv", "noisy.csv", "--labels", "labels.csv").out.match(/: A is better\./g)).toHaveLength(2);
  });

  it("has the p-values of SciPy on a small case", () => {
    // Answers right, right, right, right, wrong against right, wrong, wrong, wrong, right: binomtest(3, 4).pvalue = 0.625; losses below: ttest_rel.
    csv("a.csv", [[2, 0], [2, 0], [1, 0], [3, 0], [0, 1]]);
    csv("b.csv", [[1, 0], [0, 1], [0, 2], [0, 1], [1, 0]]);
    csv("zeros.csv", [0, 0, 0, 0, 0]);
    const { accuracy, logLoss } = JSON.parse(run("compare", "a.csv", "b.csv", "--labels", "zeros.csv", "--json").out) as Comparison;
    expect([accuracy.onlyA, accuracy.onlyB]).toEqual([3, 1]);
    expect(accuracy.pValue).toBeCloseTo(0.625, 12);
    expect(logLoss!.pValue).toBeCloseTo(0.23758637, 6);
    expect(logLoss!.interval[0]).toBeCloseTo(-2.0713265, 5);
  });

  it("a file and itself: no difference; two heads: rejected rows are errors", () => {
    const { accuracy, logLoss } = JSON.parse(run("compare", "logits.csv", "logits.csv", "--labels", "labels.csv", "--json").out) as Comparison;
    expect([accuracy.pValue, logLoss!.difference, logLoss!.pValue]).toEqual([1, 0, 1]);
    const heads = JSON.parse(run("compare", "plain/head.json", "guarded/head.json", "--logits", "logits.csv", "--features", "features.csv", "--labels", "labels.csv", "--json").out) as Comparison;
    expect(heads.accuracy.onlyB).toBe(0);
    expect(heads.accuracy.onlyA).toBeGreaterThan(0);
  });

  it("does not compare an infinite loss", () => {
    csv("never.csv", [[0, 1], ["-inf" as never, 1]]);
    csv("ever.csv", [[0, 1], [0, 1]]);
    csv("two.csv", [1, 0]);
    expect(run("compare", "never.csv", "ever.csv", "--labels", "two.csv").out).toContain("Log-loss: not compared; a label has probability 0");
  });
});

describe("bad use: 2 and one line", () => {
  const refusal = (...args: string[]): string => {
    const { code, out, err } = run(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    return err.trimEnd();
  };

  it("decide", () => {
    expect(refusal("decide")).toMatchInlineSnapshot(`"logits: expected --head and what it decides on, or --demo, got neither"`);
    expect(refusal("decide", "hello")).toMatchInlineSnapshot(`"logits: expected texts with --demo only, got "hello""`);
    expect(refusal("decide", "--demo", "--head", "plain/head.json", "hello")).toMatchInlineSnapshot(`"logits: expected nothing but texts with --demo, got --head"`);
    expect(refusal("decide", "--head", "plain/head.json", "--logits", "logits.csv", "--input", "probabilities")).toMatchInlineSnapshot(`"logits: expected --input logits, which the head was fitted for, or no --input, got probabilities"`);
    expect(refusal("decide", "--head", "guarded/head.json", "--logits", "logits.csv")).toMatchInlineSnapshot(`"logits: expected --features, which the head needs, got none"`);
    expect(refusal("decide", "--head", "guarded/head.json", "--logits", "logits.csv", "--features", "far.csv")).toMatchInlineSnapshot(`"logits: expected \`far.csv\` to have 900 rows, as --logits has, got 200"`);
  });

  it("report", () => {
    const report = (...args: string[]): string => refusal("report", "--logits", "logits.csv", "--labels", "labels.csv", "--out", "never", ...args);
    expect(report("--detector", "magic")).toMatchInlineSnapshot(`"logits: expected \`--detector\` names among msp, maxLogit, energy, entropy, margin, mahalanobis, knn, each once, got "magic""`);
    expect(report("--detector", "knn")).toMatchInlineSnapshot(`"logits: expected --features, which the detector knn needs, got none"`);
    expect(report("--detector", "msp,energy")).toMatchInlineSnapshot(`"logits: expected --outliers to choose among 2 detectors, got none"`);
    expect(report("--features", "far.csv")).toMatchInlineSnapshot(`"logits: expected \`far.csv\` to have features of each of the 900 rows of scores, got 200 rows"`);
    expect(report("--outlier-features", "far.csv")).toMatchInlineSnapshot(`"logits: expected --outliers with --outlier-features, got none"`);
    expect(report("--features", "features.csv", "--outliers", "far-logits.csv")).toMatchInlineSnapshot(`"logits: expected --outlier-features where --features is given, and only there, got none"`);
    expect(report("--outliers", "logits.csv[0:5]")).toMatchInlineSnapshot(`"logits: expected --logits and --outliers to name different rows, got logits.csv and logits.csv[0:5]. A row serves one purpose; give ranges, as FILE[0:5000]"`);
    expect(existsSync(join(folder, "never"))).toBe(false);
  });

  it("compare", () => {
    expect(refusal("compare", "logits.csv", "far-logits.csv", "--labels", "labels.csv")).toMatchInlineSnapshot(`"logits: expected \`far-logits.csv\` of shape [900, 3], as logits.csv has, got [200, 3]"`);
    expect(refusal("compare", "plain/head.json", "plain/head.json", "--logits", "logits.csv", "--input", "logits", "--labels", "labels.csv")).toMatchInlineSnapshot(`"logits: expected no --input with two heads, which know theirs, got one"`);
    expect(refusal("compare", "plain/head.json", "plain/head.json", "--logits", "logits.csv", "--features", "features.csv", "--labels", "labels.csv")).toMatchInlineSnapshot(`"logits: expected no --features, which neither head takes, got features.csv"`);
  });
});
