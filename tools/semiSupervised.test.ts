import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { semiSupervised } from "./experiments/semiSupervised.ts";

it("FreeMatch selects mostly right labels from four a digit, and labels spread to the rest (docs/losses/semi-supervised.md, reduced)", () => {
  const { selectedRight, selectedShare, accuracy, propagation } = semiSupervised(1, 12);
  expect(selectedRight.freematch).toBeGreaterThan(0.8);
  expect(selectedShare.freematch).toBeGreaterThan(0.5);
  expect(accuracy.freematch).toBeGreaterThan(0.7);
  expect(propagation).toBeGreaterThan(0.85);
});

it("the page shows the accuracies of the stored run", () => {
  const page = readFileSync(new URL("../docs/losses/semi-supervised.md", import.meta.url), "utf8"), { accuracy, propagation } = JSON.parse(readFileSync(new URL("../docs/data/experiments/semi-supervised.json", import.meta.url), "utf8")) as { accuracy: Record<string, number>; propagation: number };
  for (const share of [...Object.values(accuracy), propagation]) expect(page).toContain(`${(100 * share).toFixed(1)} %`);
});
