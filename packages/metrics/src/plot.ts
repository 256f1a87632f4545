export type { Plot, PlotAxis, PlotBand, PlotBars, PlotColour, PlotLine, PlotPoints, PlotRule, PlotSeries, PlotShape } from "./plot/plot.ts";
export { svg, type SvgOptions } from "./plot/svg.ts";
export { riskCoveragePlot, type RiskCoverageCurve } from "./plot/riskCoveragePlot.ts";
export { rocCurve, rocPlot, thresholdPlot, type RocCurve } from "./plot/rocCurve.ts";
