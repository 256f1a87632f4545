import { log } from "@logits/statistics";
import { rangeError } from "@logits/tensor";
import type { Plot, PlotColour } from "@logits/metrics/plot";

/** Options of `evidencePlot`. */
export interface EvidencePlotOptions {
  /** The level of the monitors: an alarm is raised where the evidence reaches 1 / level. Default 0.01. */
  readonly level?: number;
}

/**
 * The evidence of monitors over time as a plot: `logEvidence` after each row, and the height at which an alarm is raised.
 *
 * @param evidence - `logEvidence` of an `ExchangeabilityMonitor` or another monitor after each update, by name, in nats; at most six
 * @param options - `level` (0.01)
 * @throws RangeError for no stream or more than six, a level outside (0, 1)
 * @example
 *   const seen = Array.from(scores, (score) => monitor.update(score).logEvidence);
 *   svg(evidencePlot({ scores: seen }, { level: monitor.level }));
 * Source: Vovk, Nouretdinov, Gammerman, "Testing exchangeability on-line", ICML 2003.
 */
export function evidencePlot(evidence: Readonly<Record<string, ArrayLike<number>>>, options: EvidencePlotOptions = {}): Plot {
  const { level = 0.01 } = options, streams = Object.entries(evidence), alarm = -log(level);
  if (streams.length === 0 || streams.length > 6) throw rangeError("evidencePlot", "evidence", "with 1 to 6 streams", `${streams.length}`);
  if (!(level > 0 && level < 1)) throw rangeError("evidencePlot", "level", "in (0, 1)", `${level}`);
  const words = streams.map(([name, values]) => {
    const at = Array.prototype.findIndex.call(values, (value: number) => value >= alarm);
    return `${name}: ${at < 0 ? `no alarm in ${values.length} rows` : `alarm at row ${at + 1} of ${values.length}`}.`;
  });
  return {
    title: "Evidence against an unchanged source",
    description: words.join(" "),
    x: { label: "rows of the stream" },
    y: { label: "log evidence, nats", zero: true },
    series: [
      { kind: "rule", axis: "y", at: alarm, dashed: true, label: `alarm at level ${level}` },
      ...streams.map(([name, values], i) => ({ kind: "line", x: Float64Array.from(values, (_, row) => row + 1), y: values, colour: (i + 1) as PlotColour, ...(streams.length > 1 && { name }) }) as const),
    ],
  };
}
