import { readFileSync } from "node:fs";
import { randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { CODE, METHODS, VALUES, evaluate, run, sequences, start, type Method } from "./experiments/attentionLength.ts";

interface Stored {
  readonly lengths: number[];
  readonly methods: (Method & Record<"all" | "once" | "overwritten", { mean: number; low: number; high: number }[]>)[];
}
const named = (...names: string[]): Method[] => names.map((name) => METHODS.find((method) => method.name === name)!);

describe("attention and length", () => {
  it("asks for keys that were written, and answers with what was written last", () => {
    const { written, asked, values, answers, overwritten } = sequences(3, 50, randomSource(1));
    const code = ({ data }: { data: Float32Array }, row: number): string => data.subarray(row * CODE, (row + 1) * CODE).join();
    for (let row = 0; row < 150; row++) {
      const first = row - (row % 50), writes = Array.from({ length: row - first + 1 }, (_, i) => first + i).filter((at) => code(written, at) === code(asked, row));
      expect(writes.length).toBeGreaterThan(0);
      expect([answers[row], overwritten[row]]).toEqual([values[writes.at(-1)!], Number(writes.length > 1)]);
      for (let w = 1; w < writes.length; w++) expect(values[writes[w]]).not.toBe(values[writes[w - 1]]);
    }
  });

  it.each(METHODS.filter(({ position }) => !position.startsWith("RoPE,")))("$name: the gradient is the slope of the loss", (method) => {
    const data = sequences(2, 12, randomSource(2)), x = start(method, randomSource(3)), gradient = new Float64Array(x.length), random = randomSource(4), body = 2 * (CODE * 4 * 32 + VALUES * 64), step = 0.02;
    evaluate(method, x, data, gradient);
    // Along the gradient of the weights, along that of the position's parameters, and at random among the weights.
    for (const direction of [gradient.map((g, i) => (i < body ? g : 0)), gradient.map((g, i) => (i < body ? 0 : g)), gradient.map((_, i) => (i < body ? 2 * random.uniform() - 1 : 0))]) {
      const size = Math.hypot(...direction);
      if (size === 0) continue;
      const at = (by: number): number => evaluate(method, x.map((value, i) => value + (by * direction[i]) / size), data).loss, slope = direction.reduce((sum, d, i) => sum + (d / size) * gradient[i], 0);
      // 3e-7 of the loss over the step, and the curvature times its square.
      expect(Math.abs((at(step) - at(-step)) / (2 * step) - slope)).toBeLessThan(2e-5 + 2e-3 * Math.abs(slope));
    }
  });

  // A reduced form: one seed, a fifth of the steps, three methods.
  it("learns to look a key up; order needs a bias; a window forgets", () => {
    const results = run({ methods: named("softmax, none", "softmax, KERPLE", "softmax, window, KERPLE"), lengths: [64, 256], seeds: 1, steps: 120, batch: 8, rate: 0.003, questions: 1024 });
    const [none, kerple, window] = results.map(({ accuracies: [one] }) => one);
    // Chance is 1 / 16.
    expect(none[0].once).toBeGreaterThan(0.9);
    expect(none[0].overwritten).toBeLessThan(0.65);
    expect(kerple[0].overwritten).toBeGreaterThan(none[0].overwritten + 0.15);
    expect(kerple[1].all).toBeGreaterThan(0.75);
    // Three quarters of the keys written once lie further back than a window of 64 of 256.
    expect(window[1].once).toBeLessThan(kerple[1].once - 0.25);
  }, 60_000);

  it("the page shows the stored run", () => {
    const { methods, lengths } = JSON.parse(readFileSync(new URL("../docs/data/experiments/attention-length.json", import.meta.url), "utf8")) as Stored, page = readFileSync(new URL("../docs/attention/length.md", import.meta.url), "utf8");
    expect(lengths).toEqual([64, 128, 256, 512]);
    expect(methods.map(({ name }) => name)).toEqual(METHODS.map(({ name }) => name));
    const percent = (x: number): string => (100 * x).toFixed(0);
    for (const { normalizer, position, all, once, overwritten } of methods) expect(page).toContain(`| ${normalizer} | ${position} | ${all.map(({ mean, low, high }) => `${percent(mean)} (${percent(low)}–${percent(high)})`).join(" | ")} | ${percent(once[3].mean)} | ${percent(overwritten[3].mean)} |`);
  });
});
