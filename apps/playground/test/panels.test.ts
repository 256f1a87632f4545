import { EnsembleTemperatureScaling, MatrixScaling, TemperatureScaling, VectorScaling, expectedCalibrationError, selectCalibrator } from "@logits/calibration";
import { ExchangeabilityMonitor, SplitConformal, coverageReport, type SplitConformalOptions } from "@logits/conformal";
import { softmax } from "@logits/core-wasm";
import { auroc, brierScore, falsePositiveRateAtRecall, negativeLogLikelihood, riskCoverage } from "@logits/metrics";
import { LogitDetector, Threshold } from "@logits/ood";
import { Tensor, randomSource } from "@logits/tensor";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { count, fixed, percent, pValue } from "../src/ui/format.ts";
import { expectShown, idle, panelOpener, shown, slide } from "./browser.ts";
import { clinc, densenet, divided, split, vgg, type Rows } from "./data.ts";

const open = panelOpener();
let page: Page;

const ece = ({ logits, labels }: Rows, temperature: number): number => expectedCalibrationError(softmax(divided(logits, temperature)), labels).value;
const nll = ({ logits, labels }: Rows, temperature: number): number => negativeLogLikelihood(divided(logits, temperature), labels);

describe("Calibrate", () => {
  test("shows the temperature that the library fits, and the measures at it, at 1 and at the slider", async () => {
    page = await open("calibrate");
    const { fit, rest } = split(densenet(), 0), { temperature } = TemperatureScaling.fit(fit.logits, fit.labels);
    await expectShown(page, "fitted-temperature", fixed(temperature, 4));
    await expectShown(page, "nll", fixed(nll(rest, temperature), 4));
    await expectShown(page, "ece", fixed(ece(rest, temperature), 4));
    await expectShown(page, "ece-before", fixed(ece(rest, 1), 4));
    await page.locator("button[name=uncalibrated]").click();
    await expectShown(page, "nll", fixed(nll(rest, 1), 4));
    await slide(page, "temperature", 0.5);
    await expectShown(page, "temperature-shown", `T = ${fixed(2 ** 0.5, 3)}`);
    await expectShown(page, "ece", fixed(ece(rest, 2 ** 0.5), 4));
    await page.locator("input[name=temperature]").focus();
    await page.keyboard.press("ArrowRight");
    await expectShown(page, "nll", fixed(nll(rest, 2 ** 0.51), 4));
    await page.locator("button[name=fitted]").click();
    await expectShown(page, "nll", fixed(nll(rest, temperature), 4));
    expect(await page.locator("figure svg").count()).toBeGreaterThanOrEqual(2);
  });

  test("another data set and another split give the library's numbers for them", async () => {
    page = await open("calibrate");
    await page.locator("select[name=set]").selectOption("vgg");
    const rows = vgg();
    await expectShown(page, "fitted-temperature", fixed(TemperatureScaling.fit(split(rows, 0).fit.logits, split(rows, 0).fit.labels).temperature, 4));
    await page.locator("button[name=split]").click();
    const { fit, rest } = split(rows, 1), { temperature } = TemperatureScaling.fit(fit.logits, fit.labels);
    await expectShown(page, "fitted-temperature", fixed(temperature, 4));
    await expectShown(page, "ece", fixed(ece(rest, temperature), 4));
  });

  test("the visitor's own files are read, and a file that does not fit is named", async () => {
    page = await open("calibrate");
    const random = randomSource(5), labels = Int32Array.from({ length: 240 }, () => random.integer(3));
    const logits = Array.from(labels, (label) => [0, 1, 2].map((c) => Math.fround(Math.round(1000 * (4 * random.uniform() + (c === label ? 1.5 : 0))) / 1000)));
    await page.locator("select[name=set]").selectOption("own");
    const file = (name: string, text: string) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.locator("input[name=files]").setInputFiles([file("scores.csv", logits.map((row) => row.join(",")).join("\n")), file("labels.json", JSON.stringify([...labels]))]);
    const own = { logits: new Tensor("float32", [labels.length, 3], Float32Array.from(logits.flat())), labels: new Tensor("int32", [labels.length], labels) };
    const { fit, rest } = split(own, 0), { temperature } = TemperatureScaling.fit(fit.logits, fit.labels);
    await expectShown(page, "fitted-temperature", fixed(temperature, 4));
    await expectShown(page, "nll", fixed(nll(rest, temperature), 4));
    await page.locator(".drop").evaluate((zone, [scores, marks]) => {
      const data = new DataTransfer();
      data.items.add(new File([scores], "dropped.json"));
      data.items.add(new File([marks], "labels.csv"));
      zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }, [JSON.stringify(logits.slice(0, 200)), labels.slice(0, 200).join("\n")] as const);
    const fewer = { logits: new Tensor("float32", [200, 3], own.logits.data.slice(0, 600)), labels: new Tensor("int32", [200], labels.slice(0, 200)) };
    await expectShown(page, "fitted-temperature", fixed(TemperatureScaling.fit(split(fewer, 0).fit.logits, split(fewer, 0).fit.labels).temperature, 4));
    await page.locator("input[name=files]").setInputFiles([file("scores.csv", "1,2,3\n4,5,6\n"), file("labels.json", "[0]")]);
    await expect.poll(() => page.locator("[role=alert]").textContent()).toContain("scores.csv has 2 rows and the labels are 1");
  });
});

describe("Compare", () => {
  test("shows the library's losses of every calibrator, and what selectCalibrator takes from so many rows", async () => {
    page = await open("compare");
    const { fit, rest } = split(vgg(), 0), width = fit.logits.shape[1];
    await page.locator("select[name=set]").selectOption("vgg");
    for (const [step, rows] of [[1, 250], [3, 1000]] as const) {
      await slide(page, "rows", step);
      const own = { logits: new Tensor("float32", [rows, width], fit.logits.data.slice(0, rows * width)), labels: new Tensor("int32", [rows], fit.labels.data.slice(0, rows)) };
      const scaling = TemperatureScaling.fit(own.logits, own.labels), matrix = MatrixScaling.fit(own.logits, own.labels);
      const { name } = selectCalibrator(own.logits, own.labels, { candidates: [TemperatureScaling, EnsembleTemperatureScaling, VectorScaling, MatrixScaling], seed: 0, estimate: "none" });
      const titles: Readonly<Record<string, string>> = { TemperatureScaling: "temperature", EnsembleTemperatureScaling: "three temperatures", VectorScaling: "vector scaling", MatrixScaling: "matrix scaling" };
      const cells = (): Promise<(string | null)[][]> => page.locator("table[data-name=calibrators] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));
      await expect.poll(async () => (await cells()).find(([title]) => title?.startsWith("temperature"))?.slice(1, 4), { timeout: 30_000 }).toEqual(["1", fixed(negativeLogLikelihood(scaling.transform(rest.logits), rest.labels), 4), fixed(brierScore(scaling.probabilities(rest.logits), rest.labels), 4)]);
      expect((await cells()).find(([title]) => title?.startsWith("matrix"))?.slice(1, 5)).toEqual([
        "110", fixed(negativeLogLikelihood(matrix.transform(rest.logits), rest.labels), 4), fixed(brierScore(matrix.probabilities(rest.logits), rest.labels), 4), fixed(expectedCalibrationError(matrix.probabilities(rest.logits), rest.labels).value, 4),
      ]);
      expect(await shown(page, "chosen")).toBe(titles[name]);
      expect((await cells()).filter(([title]) => title?.includes("chosen"))).toHaveLength(1);
    }
    await page.locator("select[name=calibrator]").selectOption("none");
    await expect.poll(() => page.locator("figure").first().textContent()).toContain("Reliability: the model as it is");
  });
});

describe("Sets", () => {
  test("shows all methods side by side as the library gives them", async () => {
    page = await open("sets");
    await page.locator("select[name=set]").selectOption("vgg");
    const { fit, calibration, test: rows } = split(vgg(), 0), scaling = TemperatureScaling.fit(fit.logits, fit.labels), z = scaling.transform(calibration.logits);
    const line = (options: SplitConformalOptions): string[] => {
      const { coverage, meanSize } = coverageReport(SplitConformal.fit(z, calibration.labels, { ...options, seed: 0 }).predictionSet(scaling.transform(rows.logits), { alpha: 0.1 }), rows.labels);
      return [percent(coverage!), fixed(meanSize, 2)];
    };
    const cells = (): Promise<(string | null)[][]> => page.locator("table[data-name=methods] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].slice(1, 3).map((cell) => cell.textContent)));
    await expect.poll(cells, { timeout: 30_000 }).toEqual([...(["lac", "margin", "raps", "saps", "aps", "topk"] as const).map((method) => line({ method })), line({ classGroups: "each" })]);
  });

  test("shows the coverage and the sizes of the library's sets along alpha, for both methods", async () => {
    page = await open("sets");
    const { fit, calibration, test: rows } = split(densenet(), 0), scaling = TemperatureScaling.fit(fit.logits, fit.labels), z = scaling.transform(rows.logits);
    const report = (method: "lac" | "aps", alpha: number) => {
      const conformal = SplitConformal.fit(scaling.transform(calibration.logits), calibration.labels, { method, seed: 0 });
      return { ...coverageReport(conformal.predictionSet(z, { alpha }), rows.labels), quantile: conformal.quantile(alpha) };
    };
    for (const [method, alpha] of [["lac", 0.1], ["lac", 0.05], ["aps", 0.05]] as const) {
      if (method === "aps") await page.locator("select[name=method]").selectOption("aps");
      await slide(page, "alpha", alpha);
      const want = report(method, alpha);
      await expectShown(page, "mean-size", fixed(want.meanSize, 2));
      await expectShown(page, "coverage", percent(want.coverage!));
      await expectShown(page, "promised", percent(1 - alpha));
      await expectShown(page, "quantile", fixed(want.quantile, 4));
      await page.locator("details.numbers").evaluate((details: HTMLDetailsElement) => { details.open = true; });
      const cells = await page.locator("table[data-name=by-size] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));
      expect(cells.map((row) => row.slice(1, 3))).toEqual(want.bySize.map((group) => [count(group.rows), percent(group.coverage!)]));
    }
  });
});

describe("Unknown", () => {
  test("shows the library's threshold, false alarms, detection and areas", async () => {
    page = await open("unknown");
    const rows = clinc(), { calibration, test: inside } = split(rows, 0);
    for (const [method, rate] of [["maxLogit", 0.05], ["maxLogit", 0.1], ["energy", 0.1]] as const) {
      await page.locator("select[name=method]").selectOption(method);
      await slide(page, "rate", rate);
      const detector = LogitDetector.of(method), a = detector.score(inside).data, b = detector.score({ logits: rows.outliers }).data;
      const threshold = Threshold.fit(detector.score(calibration), { maxFalsePositiveRate: rate }), all = [...a, ...b], outer = all.map((_, i) => Number(i >= a.length));
      await expectShown(page, "threshold", fixed(threshold.value, 3));
      await expectShown(page, "false-positives", percent(threshold.exceedance(a).rate!));
      await expectShown(page, "detected", percent(threshold.exceedance(b).rate!));
      await expectShown(page, "auroc", fixed(auroc(all, outer), 4));
      await expectShown(page, "fpr95", percent(falsePositiveRateAtRecall(all.map((score) => -score), outer.map((mark) => 1 - mark))));
      await expectShown(page, "flagged95", percent(falsePositiveRateAtRecall(all, outer)));
      const width = inside.logits.shape[1], errors = Array.from(inside.labels.data, (label, n) => {
        const row = [...inside.logits.data.subarray(n * width, (n + 1) * width)];
        return Number(row.indexOf(Math.max(...row)) !== label);
      });
      await expectShown(page, "aurc", fixed(riskCoverage(a.map((score) => -score), errors).aurc, 4));
    }
  });

  test("a set without outliers says so, and offers one that has some", async () => {
    page = await open("unknown");
    await page.locator("select[name=set]").selectOption("densenet");
    await expectShown(page, "detected", "no outliers");
    await page.locator("button[name=with-outliers]").click();
    await idle(page);
    await expect.poll(() => shown(page, "detected")).toMatch(/%$/);
  });
});

describe("Shift", () => {
  test("promises hold without a shift, break under one, and the break is reported", async () => {
    page = await open("shift");
    const rows = clinc(), { fit, calibration, test: inside } = split(rows, 0), scaling = TemperatureScaling.fit(fit.logits, fit.labels), alpha = 0.05;
    const conformal = SplitConformal.fit(scaling.transform(calibration.logits), calibration.labels), detector = LogitDetector.of("maxLogit");
    const threshold = Threshold.fit(detector.score(calibration), { maxFalsePositiveRate: 0.05 });
    const n = inside.labels.size, width = inside.logits.shape[1];
    const measured = (scale: number, noise: number, mix: number) => {
      const data = inside.logits.data.map((score) => score / scale), labels = inside.labels.data.slice(), random = randomSource(0, 11), order = random.permutation(n);
      for (const row of order.subarray(0, Math.round(noise * n))) labels[row] = random.integer(width);
      const other = randomSource(0, 12), places = other.permutation(n), from = other.permutation(rows.outliers.shape[0]);
      for (let i = 0; i < Math.round(mix * n); i++) {
        for (let c = 0; c < width; c++) data[places[i] * width + c] = rows.outliers.data[from[i] * width + c] / scale;
        labels[places[i]] = -1;
      }
      const logits = divided(inside.logits, 1);
      logits.data.set(data);
      const sets = conformal.predictionSet(scaling.transform(logits), { alpha });
      const covered = labels.reduce((sum, label, row) => sum + (label >= 0 && sets.labels(row).includes(label) ? 1 : 0), 0);
      return { coverage: percent(covered / n), unknown: percent(threshold.exceedance(detector.score({ logits })).rate!) };
    };
    const looks = async (scale: number, noise: number, mix: number): Promise<void> => {
      const want = measured(scale, noise, mix);
      await expectShown(page, "coverage", want.coverage);
      await expectShown(page, "unknown", want.unknown);
      await idle(page);
    };
    await looks(1, 0, 0);
    expect(await shown(page, "coverage-verdict")).toContain("the promise holds");
    expect(await shown(page, "report-verdict")).toContain("no shift");

    await slide(page, "noise", 0.2);
    await looks(1, 0.2, 0);
    expect(await shown(page, "coverage-verdict")).toContain("broken");
    expect(await shown(page, "report-verdict")).toContain("seen only with labels");

    await page.locator("button[name=unshift]").click();
    await slide(page, "mix", 0.3);
    await looks(1, 0, 0.3);
    const monitor = (scores: Float32Array, from: Float32Array, to: Float32Array): number | undefined => {
      const watched = ExchangeabilityMonitor.start(scores, { level: 0.01, seed: 0 });
      for (let i = 0; i < n; i++) if (watched.update(i < n >> 1 ? from[i] : to[i]).alarm) return i + 1;
      return undefined;
    };
    const places = randomSource(0, 12), order = places.permutation(n), from = places.permutation(rows.outliers.shape[0]), mixed = divided(inside.logits, 1);
    for (let i = 0; i < Math.round(0.3 * n); i++) mixed.data.set(rows.outliers.data.subarray(from[i] * width, (from[i] + 1) * width), order[i] * width);
    const alarm = monitor(detector.score(calibration).data, detector.score(inside).data, detector.score({ logits: mixed }).data)!;
    expect(alarm).toBeGreaterThan(n >> 1);
    expect(await shown(page, "alarm-without")).toBe(`an alarm at row ${count(alarm)}, ${count(alarm - (n >> 1))} rows after the change`);
    expect(await shown(page, "coverage-verdict")).toContain("broken");
    // The promise is about rows of the known source, and for them it still holds; what is flagged beyond it is flagged rightly.
    expect(await shown(page, "unknown-verdict")).toContain("the promise holds");
    expect(await shown(page, "report-verdict")).toContain("seen without labels");
    expect(await shown(page, "report-verdict")).toContain(`p = ${pValue(0.001)}`);

    await page.locator("button[name=unshift]").click();
    await slide(page, "scale", 1);
    await looks(2, 0, 0);
    expect(await shown(page, "unknown-verdict")).toContain("more than promised");
  });
});
