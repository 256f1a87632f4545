import { PlattScaling } from "@logits/calibration";
import * as conformal from "@logits/conformal";
import * as spans from "@logits/structured-prediction/spans";
import { SpanDecoder, type Span } from "@logits/structured-prediction/spans";
import * as tensors from "@logits/tensor";
import { randomSource } from "@logits/tensor";
import { checkGuarantee, recipe } from "@logits/testkit";
import { describe, expect, it } from "vitest";

/** docs/recipes/span-promises.md, as composed: the chain's probabilities, their threshold, new texts. */
type Place = Pick<Span, "type" | "from" | "to">;
interface Text { readonly spans: { probabilityOf(span: Place): number; above(tau: number): readonly Place[] }; readonly gold: readonly Place[] }
interface Recipe {
  missed(text: Text, tau: number): number;
  wrong(text: Text, tau: number): number;
  recallThreshold(texts: Text[], thresholds: number[], alpha: number): number | null;
  precisionThreshold(texts: Text[], thresholds: number[], alpha: number, delta: number): number | null;
}
const { missed, wrong, recallThreshold, precisionThreshold } = recipe<Recipe>("span-promises", ["missed", "wrong", "recallThreshold", "precisionThreshold"], { "@logits/conformal": conformal, "@logits/structured-prediction/spans": spans, "@logits/tensor": tensors });

const thresholds = Array.from({ length: 24 }, (_, k) => (24 - k) / 25), repetitions = process.env.LOGITS_SLOW ? 3000 : 300;
// Texts of which the samples are drawn with replacement: their means are what the promises are about. The logits are twice as sure as they should be.
const random = randomSource(5, 0), decoder = new SpanDecoder(["O", "B-A", "I-A"], { transitions: [[0, 0, 0], [0, 0, 1], [0, 0, 1]] });
const population = Array.from({ length: 2000 }, () => {
  const from = random.integer(8), to = from + 1 + random.integer(4), there = random.uniform() < 0.7;
  const gold: Place[] = there ? [{ type: "A", from, to }] : [];
  const decoded = decoder.decode(Array.from({ length: 12 }, (_, t) => [0, 1, 2].map((y) => 2 * ((there && t >= from && t < to ? (t === from ? y === 1 : y === 2) : y === 0) ? 1.2 : 0) + 3.2 * (random.uniform() + random.uniform() - 1))));
  const all = decoded.above(0.02).map(({ type, from: start, to: end, probability }) => ({ type, from: start, to: end, probability })), own = gold.map((span) => decoded.probabilityOf(span));
  return { gold, all, spans: { probabilityOf: (span: Place) => own[gold.indexOf(span)], above: (tau: number) => all.filter(({ probability }) => probability >= tau) } };
});
const mean = (loss: (text: Text, tau: number) => number): Map<number | null, number> => new Map<number | null, number>([[null, 0], ...thresholds.map((tau) => [tau, population.reduce((sum, text) => sum + loss(text, tau), 0) / population.length] as const)]);
const missing = mean(missed), erring = mean(wrong);
const sample = (seed: number, n: number): Text[] => {
  const draw = randomSource(seed, 1);
  return Array.from({ length: n }, () => population[draw.integer(population.length)]);
};

describe("promises about spans", () => {
  it("misses at most the promised share in the mean over calibration texts, and not far less", () => {
    const { mean: share } = checkGuarantee({ name: "missed", repetitions, kind: "marginal mean", level: 0.15, side: "at most", simulate: (seed) => missing.get(recallThreshold(sample(seed, 80), thresholds, 0.15))! });
    expect(share).toBeGreaterThan(0.08);
  });

  it("exceeds the promised share of wrong tokens with at most the stated probability", () => {
    let kept = 0;
    checkGuarantee({
      name: "wrong", repetitions, kind: "probability of exceeding", level: 0.1, side: "at most",
      simulate: (seed) => {
        const tau = precisionThreshold(sample(seed, 80), thresholds, 0.25, 0.1);
        if (tau !== null) kept++;
        return erring.get(tau)! > 0.25;
      },
    });
    // A promise that is never made is kept too.
    expect(kept).toBeGreaterThan(repetitions / 2);
  });

  it("is on probabilities that PlattScaling of the log-odds calibrates: fitted on candidates of some texts, read back from JSON, measured on others", () => {
    const logit = (p: number): number => Math.log(p / (1 - Math.min(p, 1 - 1e-6)));
    const judged = (texts: typeof population): { p: number; right: boolean }[] => texts.flatMap(({ all, gold }) => all.map(({ from, to, probability }) => ({ p: probability, right: gold.some((span) => span.from === from && span.to === to) })));
    const fit = judged(population.slice(0, 1000)), test = judged(population.slice(1000));
    const platt = PlattScaling.fromJSON(JSON.parse(JSON.stringify(PlattScaling.fit(fit.map(({ p }) => logit(p)), Uint8Array.from(fit, ({ right }) => Number(right))))));
    const gap = (of: (p: number) => number): number => {
      const bins = new Float64Array(10);
      for (const { p, right } of test) bins[Math.min(9, Math.floor(10 * of(p)))] += of(p) - Number(right);
      return bins.reduce((sum, bin) => sum + Math.abs(bin), 0) / test.length;
    };
    // About 3,000 candidates in ten bins: noise of 0.02.
    expect(gap((p) => platt.at(logit(p)))).toBeLessThan(0.04);
    expect(gap((p) => platt.at(logit(p)))).toBeLessThan(0.6 * gap((p) => p));
  });
});
