import type { Scale } from "./axis.ts";
import type { Plot, PlotAxis, PlotSeries } from "./plot.ts";

/** A series as points: where each of its values stands. */
function coordinates(series: PlotSeries): { readonly x: ArrayLike<number>; readonly y: ArrayLike<number>; readonly what: string } | undefined {
  switch (series.kind) {
    case "line": return { x: series.x, y: series.y, what: "line through" };
    case "points": return { x: series.x, y: series.y, what: "points," };
    case "band": return { x: series.x, y: series.high, what: "band over" };
    case "bars": return series.along === "x" ? { x: series.value, y: series.low, what: "bars," } : { x: series.low, y: series.value, what: "bars," };
    case "rule": return undefined;
  }
}

interface Scales {
  readonly x: Scale;
  readonly y: Scale;
}

/** What each series holds, for those who do not see it. */
export function wordsOf({ x, y, series }: Plot, scales: Scales): string {
  const sentences = series.map((part) => {
    if (part.kind === "rule") return `${part.name ?? part.label ?? "Line"}: at ${(part.axis === "x" ? x : y).label || part.axis} ${number(part.at, part.axis === "x" ? x : y)}.`;
    const { what, ...of } = coordinates(part)!;
    return `${part.name ?? "Data"}: ${what} ${of.x.length}${range(of.x, x, scales.x)}${range(of.y, y, scales.y)}.`;
  });
  return sentences.length === 0 ? "Nothing to show." : sentences.join(" ");
}

function range(values: ArrayLike<number>, axis: PlotAxis, scale: Scale): string {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (!scale.finite(values[i])) continue;
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  if (low > high || axis.categories !== undefined) return "";
  return `, ${axis.label || "values"} ${low === high ? number(low, axis) : `${number(low, axis)} to ${number(high, axis)}`}`;
}

function number(value: number, { percent }: PlotAxis): string {
  return percent ? `${+(100 * value).toPrecision(3)} %` : `${+value.toPrecision(3)}`.replace("e+", "e");
}

/** How many values the picture leaves out, if any. */
export function leftOut({ series }: Plot, { x, y }: Scales): string {
  let missing = 0, outside = 0;
  for (const part of series) {
    const at = coordinates(part) ?? (part.kind === "rule" ? { x: part.axis === "x" ? [part.at] : [x.low], y: part.axis === "y" ? [part.at] : [y.low] } : { x: [], y: [] });
    // Ends of bars and bands stop where the axis does, so that only what is no number is missing.
    const open = part.kind === "bars" || part.kind === "band";
    for (let i = 0; i < at.x.length; i++) {
      if (open ? at.x[i] !== at.x[i] || at.y[i] !== at.y[i] : !x.finite(at.x[i]) || !y.finite(at.y[i])) missing++;
      else if (!open && (at.x[i] < x.low || at.x[i] > x.high || at.y[i] < y.low || at.y[i] > y.high)) outside++;
    }
  }
  return `${missing > 0 ? ` Not drawn, because no number stands for them: ${missing}.` : ""}${outside > 0 ? ` Beyond the axes: ${outside}.` : ""}`;
}
