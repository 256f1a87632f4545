import type { Scale } from "./axis.ts";
import type { PlotBand, PlotBars, PlotColour, PlotLine, PlotPoints, PlotRule, PlotSeries, PlotShape } from "./plot.ts";
import { escaped, px, widthOf } from "./text.ts";

/** Where values become pixels. */
export interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly x: Scale;
  readonly y: Scale;
  /** The first name of y on top. */
  readonly down: boolean;
}

/** Colours by name, each with one that is legible on light and on dark ground. */
export const PAINT: Readonly<Record<PlotColour, string>> = {
  1: "var(--plot-1,#2a7fb8)", 2: "var(--plot-2,#d9622b)", 3: "var(--plot-3,#3a8f5c)", 4: "var(--plot-4,#8a63c9)", 5: "var(--plot-5,#7a828c)", 6: "var(--plot-6,#b08a1e)",
  ink: "var(--plot-ink,currentColor)", soft: "var(--plot-soft,currentColor)",
};

/** The colour of each series: its own, that of text for rules, else 1, 2, ... in order. */
export function coloursOf(series: readonly PlotSeries[]): PlotColour[] {
  let next = 0;
  return series.map((part) => {
    if (part.kind === "rule") return part.colour ?? "ink";
    const index = next++;
    return part.colour ?? (((index % 6) + 1) as PlotColour);
  });
}

/** Fill and stroke of areas, of lines: the soft colour lets through what is behind it. */
const fill = (colour: PlotColour, opacity: number): string => `fill="${PAINT[colour]}" fill-opacity="${colour === "soft" ? 0.16 : opacity}"`;
const stroke = (colour: PlotColour, width: number, opacity = colour === "soft" ? 0.5 : 1): string => `fill="none" stroke="${PAINT[colour]}"${opacity < 1 ? ` stroke-opacity="${opacity}"` : ""} stroke-width="${width}"`;
const DASHES = ' stroke-dasharray="5 4"';

/** Text over data: the ground, where the page names it, keeps it legible. */
export const label = (x: number, y: number, text: string, anchor: "start" | "middle" | "end"): string =>
  `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" stroke="var(--plot-ground,none)" stroke-width="3" paint-order="stroke">${escaped(text)}</text>`;

/** Pixels of a value; far outside they end where arithmetic with them is still exact enough. */
const inside = (value: number): number => Math.max(-1e6, Math.min(1e6, value));
const across = (frame: Frame, value: number): number => inside(frame.left + frame.x.at(value) * frame.width);
const along = (frame: Frame, value: number): number => inside(frame.top + (frame.down ? frame.y.at(value) : 1 - frame.y.at(value)) * frame.height);

/** Within the domain; infinite ends where the axis does. NaN stays. */
const clamped = (scale: Scale, value: number): number => (value < scale.low ? scale.low : value > scale.high ? scale.high : value);
const shown = (scale: Scale, value: number): boolean => scale.finite(value) && value >= scale.low && value <= scale.high;

/** The markup of a series. */
export function mark(frame: Frame, series: PlotSeries, colour: PlotColour): string {
  switch (series.kind) {
    case "line": return line(frame, series, colour);
    case "points": return points(frame, series, colour);
    case "bars": return bars(frame, series, colour);
    case "band": return band(frame, series, colour);
    case "rule": return rule(frame, series, colour);
  }
}

type Point = readonly [x: number, y: number];

/** Runs of points that can be drawn. */
function runs(frame: Frame, x: ArrayLike<number>, y: ArrayLike<number>): Point[][] {
  const found: Point[][] = [];
  let open: Point[] | undefined;
  for (let i = 0; i < x.length; i++) {
    if (!frame.x.finite(x[i]) || !frame.y.finite(y[i])) open = undefined;
    else {
      if (open === undefined) found.push((open = []));
      open.push([across(frame, x[i]), along(frame, y[i])]);
    }
  }
  return found;
}

/**
 * What a long line leaves on each column of pixels: where it enters, its highest and lowest point, where it leaves. The picture is the same.
 * Jugel, Jerzak, Hackenbroich, Markl, "M4: a visualization-oriented time series data aggregation", VLDB 2014.
 */
function thinned(run: Point[]): Point[] {
  const kept: Point[] = [];
  for (let start = 0; start < run.length; ) {
    let end = start + 1, low = start, high = start;
    while (end < run.length && Math.floor(run[end][0]) === Math.floor(run[start][0])) {
      if (run[end][1] < run[low][1]) low = end;
      if (run[end][1] > run[high][1]) high = end;
      end++;
    }
    for (const i of new Set([start, Math.min(low, high), Math.max(low, high), end - 1])) kept.push(run[i]);
    start = end;
  }
  return kept;
}

/** Pieces of a line inside the frame (Liang and Barsky, 1984), as a path. */
function path(frame: Frame, run: readonly Point[]): string {
  const { left, top, width, height } = frame, right = left + width, bottom = top + height;
  let text = "", at: Point | undefined;
  const go = (from: Point, to: Point): void => {
    if (at === undefined || at[0] !== from[0] || at[1] !== from[1]) text += `M${px(from[0])},${px(from[1])}`;
    text += `L${px(to[0])},${px(to[1])}`;
    at = to;
  };
  if (run.length === 1) {
    const [[x, y]] = run;
    // A lone point: a dot of the line's width.
    return x >= left && x <= right && y >= top && y <= bottom ? `M${px(x)},${px(y)}h0` : "";
  }
  for (let i = 1; i < run.length; i++) {
    const [a, b] = [run[i - 1], run[i]], dx = b[0] - a[0], dy = b[1] - a[1];
    let from = 0, to = 1, out = false;
    for (const [towards, room] of [[-dx, a[0] - left], [dx, right - a[0]], [-dy, a[1] - top], [dy, bottom - a[1]]]) {
      if (towards === 0) out ||= room < 0;
      else if (towards < 0) from = Math.max(from, room / towards);
      else to = Math.min(to, room / towards);
    }
    if (!out && from <= to) go(from === 0 ? a : [a[0] + from * dx, a[1] + from * dy], to === 1 ? b : [a[0] + to * dx, a[1] + to * dy]);
  }
  return text;
}

function line(frame: Frame, { x, y, dashed }: PlotLine, colour: PlotColour): string {
  const text = runs(frame, x, y).map((run) => path(frame, run.length > 4 * frame.width ? thinned(run) : run)).join("");
  return text === "" ? "" : `<path ${stroke(colour, dashed ? 1.5 : 2)}${dashed ? DASHES : ""} stroke-linejoin="round" stroke-linecap="${dashed ? "butt" : "round"}" d="${text}"/>`;
}

const RADIUS = 4, LARGEST = 11;

/** The outline of a point around (x, y), of like area for each form. */
export function outline(form: PlotShape, x: number, y: number, r: number): string {
  switch (form) {
    case "circle": return `M${px(x - r)},${px(y)}a${px(r)},${px(r)} 0 1,0 ${px(2 * r)},0a${px(r)},${px(r)} 0 1,0 ${px(-2 * r)},0Z`;
    case "square": return `M${px(x - 0.89 * r)},${px(y - 0.89 * r)}h${px(1.78 * r)}v${px(1.78 * r)}h${px(-1.78 * r)}Z`;
    case "triangle": return `M${px(x)},${px(y - 1.35 * r)}l${px(1.2 * r)},${px(2.25 * r)}h${px(-2.4 * r)}Z`;
    case "diamond": return `M${px(x)},${px(y - 1.3 * r)}l${px(1.2 * r)},${px(1.3 * r)}l${px(-1.2 * r)},${px(1.3 * r)}l${px(-1.2 * r)},${px(-1.3 * r)}Z`;
    case "cross": return `M${px(x - r)},${px(y - r)}l${px(2 * r)},${px(2 * r)}m${px(-2 * r)},0l${px(2 * r)},${px(-2 * r)}`;
  }
}

/** Paint of a point's outline. */
export const pointPaint = (form: PlotShape, colour: PlotColour): string => (form === "cross" ? stroke(colour, 2) : fill(colour, 0.85));

function points(frame: Frame, { x, y, low, high, size, shape = "circle", labels }: PlotPoints, colour: PlotColour): string {
  let most = 0;
  if (size !== undefined) for (let i = 0; i < x.length; i++) if (size[i] < Infinity) most = Math.max(most, size[i]);
  // Many points are small, and their intervals thin.
  const ordinary = Math.max(1.5, Math.min(RADIUS, frame.width / x.length / 2.4));
  let dots = "", bars = "", words = "";
  for (let i = 0; i < x.length; i++) {
    if (!shown(frame.x, x[i]) || !(shown(frame.y, y[i]) || (low !== undefined && high !== undefined))) continue;
    const at = across(frame, x[i]);
    if (low !== undefined && high !== undefined) {
      const [a, b] = [clamped(frame.y, low[i]), clamped(frame.y, high[i])];
      if (a <= b && low[i] <= frame.y.high && high[i] >= frame.y.low) bars += `M${px(at)},${px(along(frame, a))}V${px(along(frame, b))}`;
    }
    if (!shown(frame.y, y[i])) continue;
    const height = along(frame, y[i]), radius = size === undefined ? ordinary : size[i] >= 0 ? Math.max(1, LARGEST * Math.sqrt(Math.min(1, size[i] / (most || 1)))) : 0;
    if (radius > 0) dots += outline(shape, at, height, radius);
    if (labels?.[i] !== undefined) words += pointLabel(frame, at, height, radius, labels[i]);
  }
  return (bars && `<path ${ordinary < RADIUS ? stroke(colour, 1, 0.45) : stroke(colour, 1.5, 0.75)} d="${bars}"/>`) + (dots && `<path ${pointPaint(shape, colour)} d="${dots}"/>`) + words;
}

/** Right of the point, or left of it where there is no room. */
function pointLabel({ left, width }: Frame, x: number, y: number, radius: number, text: string): string {
  const right = x + radius + 5 + widthOf(text) <= left + width;
  return label(right ? x + radius + 4 : x - radius - 4, y + 4, text, right ? "start" : "end");
}

function bars(frame: Frame, { low, high, value, base, along: direction = "y", labels }: PlotBars, colour: PlotColour): string {
  const sideways = direction === "x", wide = sideways ? frame.y : frame.x, long = sideways ? frame.x : frame.y;
  const onWide = (v: number): number => (sideways ? along(frame, v) : across(frame, v)), onLong = (v: number): number => (sideways ? across(frame, v) : along(frame, v));
  let rectangles = "", words = "";
  for (let i = 0; i < value.length; i++) {
    const from = base?.[i] ?? (long.low > 0 ? long.low : 0);
    const a = clamped(wide, low[i]), b = clamped(wide, high[i]), c = clamped(long, from), d = clamped(long, value[i]);
    if (!(a <= b && c === c && d === d) || low[i] > wide.high || high[i] < wide.low) continue;
    if ((from > long.high && value[i] > long.high) || (from < long.low && value[i] < long.low)) continue;
    let [p, q] = [onWide(a), onWide(b)].sort((u, v) => u - v);
    const [r, s] = [onLong(c), onLong(d)], gap = q - p > 4 ? 0.5 : 0;
    [p, q] = [p + gap, q - gap];
    rectangles += sideways ? `M${px(r)},${px(p)}H${px(s)}V${px(q)}H${px(r)}Z` : `M${px(p)},${px(r)}V${px(s)}H${px(q)}V${px(r)}Z`;
    if (labels?.[i] !== undefined) words += sideways ? label(s + 4, (p + q) / 2 + 4, labels[i], "start") : label((p + q) / 2, s - 4, labels[i], "middle");
  }
  return (rectangles && `<path ${fill(colour, 0.8)} d="${rectangles}"/>`) + words;
}

function band(frame: Frame, { x, low, high }: PlotBand, colour: PlotColour): string {
  let text = "", upper = "", lower: string[] = [];
  const close = (): void => {
    if (lower.length > 0) text += `${upper}${lower.reverse().join("")}Z`;
    [upper, lower] = ["", []];
  };
  for (let i = 0; i < x.length; i++) {
    const a = clamped(frame.y, low[i]), b = clamped(frame.y, high[i]);
    if (!shown(frame.x, x[i]) || !(a <= b)) close();
    else {
      const at = px(across(frame, x[i]));
      upper += `${upper === "" ? "M" : "L"}${at},${px(along(frame, b))}`;
      lower.push(`L${at},${px(along(frame, a))}`);
    }
  }
  close();
  return text === "" ? "" : `<path ${fill(colour, 0.2)} d="${text}"/>`;
}

function rule(frame: Frame, { axis, at, dashed, label: words }: PlotRule, colour: PlotColour): string {
  const { left, top, width, height } = frame;
  if (!shown(frame[axis], at)) return "";
  const paint = `${stroke(colour, 1.5, colour === "ink" ? 0.65 : undefined)}${dashed ? DASHES : ""}`;
  if (axis === "x") {
    const x = across(frame, at), right = x + 5 + widthOf(words ?? "") <= left + width;
    return `<path ${paint} d="M${px(x)},${px(top)}V${px(top + height)}"/>${words === undefined ? "" : label(right ? x + 5 : x - 5, top + 11, words, right ? "start" : "end")}`;
  }
  const y = along(frame, at);
  return `<path ${paint} d="M${px(left)},${px(y)}H${px(left + width)}"/>${words === undefined ? "" : label(left + width - 2, y - top > 16 ? y - 5 : y + 14, words, "end")}`;
}
