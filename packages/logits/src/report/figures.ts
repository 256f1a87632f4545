import { reliabilityPlot } from "@logits/calibration";
import { coverageByClassPlot, coverageBySizePlot, type Coverage } from "@logits/conformal";
import { riskCoveragePlot, svg, type Plot } from "@logits/metrics/plot";
import { scorePlot } from "@logits/ood";
import type { DetectorMeasures, Measures, ReportMetrics, SetMeasures, Share } from "./types.ts";

/** Accuracy against confidence, with exact intervals, and how many rows have which confidence. */
function reliability(name: "before" | "after", { reliability: list }: Measures): Plot {
  const bins = list.map(({ lower, upper, count, confidence, accuracy, interval }) => ({ low: lower, high: upper, count, meanConfidence: confidence, accuracy, interval, band: null }));
  return reliabilityPlot({ n: bins.reduce((sum, { count }) => sum + count, 0), bins }, { title: `Reliability diagram, ${name} calibration`, colour: name === "before" ? 2 : 1 });
}

/** Share of errors among the most confident rows. */
function risk({ before, after }: ReportMetrics): Plot {
  const curve = ({ riskCoverage, aurc }: Measures) => ({ coverage: riskCoverage.map((point) => point.coverage), risk: riskCoverage.map((point) => point.risk), aurc });
  return riskCoveragePlot({ after: curve(after), before: curve(before) });
}

const coverage = ({ rows, share, interval }: Share): Coverage => ({ rows, covered: Math.round(rows * share), coverage: share, interval });

function bySize({ alpha, bySize: groups }: SetMeasures): Plot {
  return coverageBySizePlot({ alpha, bySize: groups.map(({ from, to, ...share }) => ({ low: from, high: to, ...coverage(share) })) });
}

function byClass({ alpha, byClass: classes }: SetMeasures): Plot {
  return coverageByClassPlot({ alpha, byClass: classes.map((share, label) => ({ ...coverage(share), label })) }, { names: classes.map(({ label }) => label) });
}

/** Scores of the test rows, and of the outliers, as shares of each, with the threshold. */
function scores({ histogram, threshold, falsePositives, outliers }: DetectorMeasures): Plot {
  const bins = histogram.map(({ lower, upper, inside, outside }) => ({ low: lower, high: upper, inside, outside }));
  return scorePlot({ inside: falsePositives.rows, outside: outliers?.rows ?? 0, bins }, threshold === null ? {} : { threshold });
}

/** All figures of a report, by name; the widest fit a phone. */
export function figures(metrics: ReportMetrics): Record<string, string> {
  const { before, after, sets, detector } = metrics, draw = (id: string, plot: Plot, height = 300): string => svg(plot, { id, width: 420, height });
  return {
    reliabilityBefore: draw("reliability-before", reliability("before", before), 380),
    reliabilityAfter: draw("reliability-after", reliability("after", after), 380),
    riskCoverage: draw("risk-coverage", risk(metrics)),
    setSize: draw("set-size", bySize(sets[0])),
    classes: draw("classes", byClass(sets[0])),
    ...(detector && { detector: draw("detector", scores(detector)) }),
  };
}
