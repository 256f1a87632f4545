import type { Plot, PlotRule } from "@logits/metrics/plot";
import type { ClassCoverage, SizeCoverage } from "./coverage.ts";

const promised = (alpha: number): PlotRule => ({ kind: "rule", axis: "y", at: 1 - alpha, dashed: true, label: "promised over all rows" });
const sizes = ({ low, high }: Pick<SizeCoverage, "low" | "high">): string => (low === high ? `${low}` : `${low} to ${high}`);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Coverage by set size: what `coverageReport` and `coverageBySize` return. */
export interface CoverageBySize {
  readonly alpha: number;
  readonly bySize: readonly Pick<SizeCoverage, "low" | "high" | "rows" | "coverage" | "interval">[];
}

/**
 * Coverage by the size of the set as a plot: shares with their exact intervals, the promise, and how many rows stand behind each.
 *
 * @param report - of `coverageReport`; `alpha` and `bySize` are read
 * @example
 *   svg(coverageBySizePlot(coverageReport(sets, labels)));
 * Source: Angelopoulos, Bates, Malik, Jordan, ICLR 2021 (size-stratified coverage).
 */
export function coverageBySizePlot({ alpha, bySize }: CoverageBySize): Plot {
  const shown = bySize.filter(({ rows }) => rows > 0);
  return {
    title: "Coverage by size of the set",
    description: `Promised ${percent(1 - alpha)} over all rows. ${shown.map((entry) => `${sizes(entry)} classes: ${percent(entry.coverage!)} of ${entry.rows} rows`).join("; ")}.`,
    x: { label: "classes in the set", categories: shown.map(sizes) },
    y: { label: "coverage; numbers: rows", domain: [0, 1], percent: true },
    series: [
      promised(alpha),
      {
        kind: "points", x: shown.map((_, i) => i), y: shown.map(({ coverage }) => coverage!), low: shown.map(({ interval }) => interval![0]), high: shown.map(({ interval }) => interval![1]),
        labels: shown.map(({ rows }) => `${rows}`), colour: 1,
      },
    ],
  };
}

/** Coverage by class: what `coverageReport` and `coverageByClass` return. */
export interface CoverageByClass {
  readonly alpha: number;
  readonly byClass: readonly Pick<ClassCoverage, "label" | "rows" | "coverage" | "interval">[];
}

/**
 * Coverage by class as a plot: shares with their exact intervals, worst first, and the promise. With many classes some look bad by chance: look at the intervals.
 *
 * @param report - of `coverageReport`; `alpha` and `byClass` are read; classes without rows are left out
 * @param options - `names` of the classes: that of the worst one is shown; default its number
 * @example
 *   svg(coverageByClassPlot(coverageReport(sets, labels), { names: ["cat", "dog"] }));
 * Source: Vovk, "Conditional validity of inductive conformal predictors", 2012.
 */
export function coverageByClassPlot({ alpha, byClass }: CoverageByClass, options: { readonly names?: readonly string[] } = {}): Plot {
  const shown = byClass.filter(({ rows }) => rows > 0).sort((a, b) => a.coverage! - b.coverage! || a.label - b.label);
  const name = (label: number): string => options.names?.[label] ?? `class ${label}`;
  return {
    title: "Coverage by class",
    description: `Promised ${percent(1 - alpha)} over all rows. ${shown.length === 0 ? "No rows." : `From ${percent(shown[0].coverage!)} for ${name(shown[0].label)} to ${percent(shown.at(-1)!.coverage!)} for ${name(shown.at(-1)!.label)}.`}`,
    x: { label: "classes, worst first", domain: [0, shown.length + 1] },
    y: { label: "coverage", domain: [0, 1], percent: true },
    series: [
      promised(alpha),
      {
        kind: "points", x: shown.map((_, i) => i + 1), y: shown.map(({ coverage }) => coverage!), low: shown.map(({ interval }) => interval![0]), high: shown.map(({ interval }) => interval![1]),
        // Below the interval of the worst class there is room for its name.
        colour: 1,
      },
      ...(shown.length === 0 ? [] : [{ kind: "points", x: [1], y: [shown[0].coverage!], labels: [`${name(shown[0].label)}, ${shown[0].rows} rows`], colour: 2 } as const]),
    ],
  };
}
