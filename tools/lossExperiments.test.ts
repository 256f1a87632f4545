import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { run as multiLabel } from "./experiments/multiLabel.ts";
import { run as segmentation } from "./experiments/segmentation.ts";

const mean = (lists: readonly Float64Array[]): number => lists.reduce((sum, values) => sum + values.reduce((a, b) => a + b, 0) / values.length, 0) / lists.length;
const stored = (name: string): any => JSON.parse(readFileSync(new URL(`../docs/data/experiments/${name}.json`, import.meta.url), "utf8"));
const page = (name: string): string => readFileSync(new URL(`../docs/losses/${name}.md`, import.meta.url), "utf8");

it("with a label missing, the asymmetric loss keeps decisions at 1/2 usable, and entropy maximisation the order (docs/losses/multi-label.md, reduced)", () => {
  const { "one label of two": given } = multiLabel({ seeds: 1, epochs: 4, rows: 800, testRows: 300, rates: [3] });
  expect(mean(given.asymmetric.scores.map(({ f1 }) => f1))).toBeGreaterThan(mean(given["cross-entropy"].scores.map(({ f1 }) => f1)) + 0.1);
  expect(mean(given["entropy maximisation"].scores.map(({ precision }) => precision))).toBeGreaterThan(0.4);
});

it("cross-entropy with Dice finds outlines better than cross-entropy (docs/losses/segmentation.md, reduced)", () => {
  const { outline, silhouette } = segmentation({ seeds: 1, epochs: 4, rows: 400, testRows: 200, rates: [1] });
  expect(mean(outline.methods["cross-entropy + dice"].overlaps)).toBeGreaterThan(mean(outline.methods["cross-entropy"].overlaps));
  expect(mean(silhouette.methods["cross-entropy"].overlaps)).toBeGreaterThan(0.5);
});

describe("the pages show the stored runs", () => {
  it.each(["multi-label", "segmentation"])("%s", (name) => {
    const text = page(name), effects = (value: any): any[] => (typeof value !== "object" || value === null ? [] : "difference" in value ? [value] : Object.values(value).flatMap(effects)), all = effects(stored(name));
    expect(all.length).toBeGreaterThan(9);
    for (const { a, difference, low, high } of all) {
      expect(text).toContain(a.toFixed(3));
      if (difference !== 0) expect(text).toContain(`${difference > 0 ? "+" : ""}${difference.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`);
    }
  });
});
