import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { largeVocabulary, pairs } from "./experiments/largeVocabulary.ts";

interface Stored {
  methods: { method: string; difference: number; low: number; high: number }[];
}

describe("effects of sampled words", () => {
  it("reads pairs of words, numbered from frequent to rare", () => {
    const { counts, train, test } = pairs(150);
    expect(train.length).toBeGreaterThan(2000);
    expect(test.length).toBe(4000);
    expect(Math.max(...train.flat(), ...test.flat())).toBeLessThan(counts.length);
    expect(counts.reduce((a, b) => a + b)).toBe(train.length);
  });

  // A reduced form: a quarter of the sentences, one seed, one epoch.
  it("what is corrected for the sampling ends near cross-entropy, what is not stays far from it", () => {
    const { methods } = largeVocabulary(1, 1, 150, [0.1]);
    for (const name of ["sampled softmax", "noise-contrastive estimation", "negative sampling"]) expect(Math.abs(methods[name].difference)).toBeLessThan(0.15);
    for (const name of ["sampled softmax, not corrected", "negative sampling, not corrected"]) expect(methods[name].high).toBeLessThan(-1);
  });

  it("the committed figures say the same", () => {
    const { methods } = JSON.parse(readFileSync(join(import.meta.dirname, "../docs/data/experiments/large-vocabulary.json"), "utf8")) as Stored, of = (name: string): Stored["methods"][number] => methods.find(({ method }) => method === name)!;
    expect(of("sampled softmax").low).toBeLessThan(0);
    expect(of("sampled softmax").high).toBeGreaterThan(0);
    expect(of("noise-contrastive estimation").low).toBeGreaterThan(-0.05);
    expect(of("sampled softmax, not corrected").high).toBeLessThan(-1.9);
  });
});
