import { rangeError } from "@logits/tensor";
import type { Plot, PlotColour } from "./plot.ts";

/** A curve of `riskCoverage`, or some of its points. */
export interface RiskCoverageCurve {
  readonly coverage: ArrayLike<number>;
  readonly risk: ArrayLike<number>;
  readonly aurc: number;
}

/**
 * Risk-coverage curves as a plot: the share of errors among the rows that are answered.
 *
 * @param curves - of `riskCoverage`, by name; the second one dashed, at most six
 * @throws RangeError for no curve or more than six
 * @example
 *   svg(riskCoveragePlot({ model: riskCoverage(confidence, errors) }));
 * Source: Geifman, Uziel, El-Yaniv, ICLR 2019.
 */
export function riskCoveragePlot(curves: Readonly<Record<string, RiskCoverageCurve>>): Plot {
  const entries = Object.entries(curves);
  if (entries.length === 0 || entries.length > 6) throw rangeError("riskCoveragePlot", "curves", "with 1 to 6 curves", `${entries.length}`);
  const best = entries.map(([name, { aurc, risk }]) => `${name}: area ${aurc.toFixed(4)}, ${(100 * risk[risk.length - 1]).toFixed(1)} % errors where every row is answered.`);
  return {
    title: "Risk and coverage",
    description: best.join(" "),
    x: { label: "coverage: share of rows answered", domain: [0, 1], percent: true },
    y: { label: "risk: share of errors among them", zero: true, percent: true },
    series: entries.map(([name, { coverage, risk }], i) => ({ kind: "line", x: coverage, y: risk, colour: (i + 1) as PlotColour, dashed: i === 1, ...(entries.length > 1 && { name }) })),
  };
}
