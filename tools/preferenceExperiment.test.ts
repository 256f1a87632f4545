import { expect, it } from "vitest";
import { run } from "./experiments/preference.ts";

it("a policy learns from noisy preferences in a reduced form of the experiment", () => {
  const { dpo } = run({ methods: ["dpo"], seeds: 1, epochs: 10, rates: [1] });
  expect(dpo.right[0].reduce((a, b) => a + b, 0) / dpo.right[0].length).toBeGreaterThan(0.6); // half of the pairs by chance
});
