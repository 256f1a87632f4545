import type { Plot, PlotColour } from "@logits/metrics/plot";
import type { ReliabilityDiagram } from "./reliabilityDiagram.ts";

/** Options of `reliabilityPlot`. */
export interface ReliabilityPlotOptions {
  /** Default "Accuracy against confidence". */
  readonly title?: string;
  /** Of the points; default 1. */
  readonly colour?: PlotColour;
}

/**
 * A reliability diagram as a plot: accuracy against mean confidence with its exact interval, the line of perfect calibration, and below it how many rows each bin has.
 *
 * @param diagram - of `reliabilityDiagram`; `n` and `bins` are read
 * @param options - `title`, `colour`
 * @returns a plot for `svg` of `@logits/metrics/plot`; bins without rows are not in it
 * @example
 *   svg(reliabilityPlot(reliabilityDiagram(probabilities, labels)), { width: 380, height: 340 });
 * Source: Broecker and Smith, 2007; the histogram: Guo, Pleiss, Sun, Weinberger, ICML 2017, figure 1.
 */
export function reliabilityPlot({ n, bins }: Pick<ReliabilityDiagram, "n" | "bins">, options: ReliabilityPlotOptions = {}): Plot {
  const { title = "Accuracy against confidence", colour = 1 } = options;
  const filled = bins.filter(({ count }) => count > 0);
  const off = filled.filter(({ meanConfidence, interval }) => meanConfidence! < interval![0] || meanConfidence! > interval![1]);
  return {
    title,
    description: `${n} rows in ${filled.length} bins; in ${off.length} of them the mean confidence lies outside of the interval of the accuracy.`,
    x: { label: "confidence", domain: [0, 1], percent: true },
    y: { label: "accuracy; bars: share of the rows", domain: [0, 1], percent: true },
    series: [
      { kind: "bars", low: filled.map(({ low }) => low), high: filled.map(({ high }) => high), value: filled.map(({ count }) => count / n), colour: "soft" },
      { kind: "line", x: [0, 1], y: [0, 1], colour: "soft", dashed: true },
      {
        kind: "points", x: filled.map(({ meanConfidence }) => meanConfidence!), y: filled.map(({ accuracy }) => accuracy!),
        low: filled.map(({ interval }) => interval![0]), high: filled.map(({ interval }) => interval![1]), colour,
      },
    ],
  };
}
