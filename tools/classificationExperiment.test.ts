import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { longTail, noise, noisy, tail, type Result } from "./experiments/classification.ts";

const stored = (name: string): Result => JSON.parse(readFileSync(join(import.meta.dirname, `../docs/data/experiments/classification-${name}.json`), "utf8")) as Result;

describe("effects of classification losses", () => {
  it("replaces 40 % of the labels, evenly, by other classes", () => {
    const y = new Int32Array(20_000).fill(3), wrong = Array.from(noisy(y, 10, 0.4, 1)).filter((label) => label !== 3), counts = Array.from({ length: 10 }, (_, c) => wrong.filter((label) => label === c).length);
    expect(Math.abs(wrong.length / y.length - 0.4)).toBeLessThan(4 * Math.sqrt(0.24 / y.length)); // four standard errors
    counts.forEach((count, c) => expect(c === 3 ? count === 0 : Math.abs(count - wrong.length / 9) < 4 * Math.sqrt(wrong.length / 9)).toBe(true));
  });

  it("makes a tail from 500 rows down to 5", () => {
    const { rows, counts } = longTail(Int32Array.from({ length: 26 * 600 }, (_, i) => i % 26), 500, 5, 1);
    expect(counts.toSorted((a, b) => a - b).at(0)).toBe(5);
    expect(Math.max(...counts)).toBe(500);
    expect(rows.length).toBe(counts.reduce((a, b) => a + b));
  });

  // A reduced form: one seed, few rows and epochs. Everything learns; the effects themselves need LOGITS_SLOW.
  const slow = process.env.LOGITS_SLOW !== undefined;

  it("learns from wrong labels; generalised cross-entropy and early-learning regularisation help", () => {
    const { effects } = noise(slow ? { seeds: 1, epochs: 40, rows: 5000 } : { seeds: 1, epochs: 4, rows: 1000 });
    for (const { a, b, difference } of Object.values(effects)) {
      expect(Math.min(a, b)).toBeGreaterThan(0.5); // ten classes: 0.1 by chance
      if (slow) expect(difference).toBeGreaterThan(0.01);
    }
    for (const { low } of Object.values(stored("noise").effects)) expect(low).toBeGreaterThan(0);
  }, 600_000);

  it("learns a long tail; logit adjustment and LDAM help", () => {
    const { effects } = tail(slow ? { seeds: 1, epochs: 40, rows: 500 } : { seeds: 1, epochs: 5, rows: 200 });
    for (const { a, b, difference } of Object.values(effects)) {
      expect(Math.min(a, b)).toBeGreaterThan(0.2); // 26 classes: 0.04 by chance
      if (slow) expect(difference).toBeGreaterThan(0.02);
    }
    for (const { low } of Object.values(stored("tail").effects)) expect(low).toBeGreaterThan(0);
  }, 600_000);
});
