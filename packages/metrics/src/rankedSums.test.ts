import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { expect, it } from "vitest";
import { auroc, riskCoverage } from "./index.ts";

it("auroc and riskCoverage give the same for float32 and float64, with ties and without, and the curve that their areas are of", () => {
  const random = testRandom(17);
  for (const levels of [3, 2 ** 20]) {
    const single = Float32Array.from({ length: 501 }, () => random.integer(levels) / levels), mask = Uint8Array.from(single, (value) => (random.uniform() < value ? 0 : 1));
    // Numbers that no float32 is, in the same order.
    const double = Float64Array.from(single, (value) => value * 3.3 + 1e-13);
    expectExact([auroc(single, mask)], [auroc(double, mask)]);
    const a = riskCoverage(single, mask), b = riskCoverage(double, mask);
    expectExact(a.risk, b.risk);
    expectExact(a.coverage, b.coverage);
    // Sums of 501 float64 in the same order.
    expectClose([a.aurc, a.eAurc, a.augrc], [b.aurc, b.eAurc, b.augrc], { rtol: 1e-14 });
    expectClose([a.aurc], [a.risk.reduce((sum, value) => sum + value, 0) / 501], { rtol: 1e-14 });
    expect(a.risk).toBe(a.risk);
    expect(Object.keys(a).sort()).toEqual(["augrc", "aurc", "coverage", "eAurc", "risk"]);
  }
});
