import { checkPositive, rangeError } from "@logits/tensor";
import { scaleOf, type Scale } from "./axis.ts";
import { PAINT, coloursOf, mark, outline, pointPaint, type Frame } from "./marks.ts";
import type { Plot, PlotAxis, PlotColour, PlotSeries } from "./plot.ts";
import { escaped, fitted, px, widthOf } from "./text.ts";
import { leftOut, wordsOf } from "./words.ts";

/** Options of `svg`. */
export interface SvgOptions {
  /** Size in pixels; default 400 x 260. The picture has a viewBox: a page may scale it. */
  readonly width?: number;
  readonly height?: number;
  /** Begins the ids inside the picture; default: from what is drawn. Two equal pictures on one page need two. */
  readonly id?: string;
  /** A file of its own: colours for light and dark come with it, and the ground behind it is that of the page which shows it. */
  readonly standalone?: boolean;
}

const LINE = 18, FONT = 12;
const STANDALONE =
  "<style>:root{color:#1c2126;--plot-1:#1f78ad;--plot-2:#c2541b;--plot-3:#1f7a47;--plot-4:#6a4fa3;--plot-5:#545d66;--plot-6:#8a6a10}" +
  "@media(prefers-color-scheme:dark){:root{color:#e8ebee;--plot-1:#62b4e4;--plot-2:#f0925e;--plot-3:#62c08a;--plot-4:#b59df0;--plot-5:#a9b3bb;--plot-6:#d8b44a}}</style>";

/**
 * A plot as SVG text: no script, no document, the same bytes everywhere.
 *
 * Role img with title and description; text escaped; colours are custom properties of the page (`--plot-1` to `--plot-6`, `--plot-ink`, `--plot-soft`, `--plot-ground`), each
 * with one that is legible on light and on dark ground. What cannot be drawn (NaN, infinities, 0 on a logarithmic axis) leaves a gap and is counted in the description;
 * infinite ends of intervals, bars and bands end where the axis does. Long lines are thinned to what the pixels show.
 *
 * @param plot - what is shown
 * @param options - `width` (400), `height` (260), `id`, `standalone` (false)
 * @returns an `svg` element
 * @throws RangeError for arrays of unlike lengths, a domain that is no interval, an axis with both categories and numbers, a size below 120 x 80
 * @example
 *   svg({ title: "Squares", x: { label: "x" }, y: { label: "y" }, series: [{ kind: "line", x: [0, 1, 2], y: [0, 1, 4] }] });
 * Source: Jugel, Jerzak, Hackenbroich, Markl, VLDB 2014, for thinning; Liang and Barsky, 1984, for clipping; ticks of 1, 2 and 5.
 */
export function svg(plot: Plot, options: SvgOptions = {}): string {
  const { width = 400, height = 260, standalone = false } = options;
  checkSize("width", width, 120);
  checkSize("height", height, 80);
  plot.series.forEach(checkSeries);
  const colours = coloursOf(plot.series), legend = legendOf(plot.series, colours, width);
  const top = legend.rows * LINE + (plot.y.label === "" ? 8 : LINE + 8), bottom = (plot.x.label === "" ? 22 : 40);
  const inner = Math.max(20, height - top - bottom);
  const down = plot.y.categories !== undefined;
  const y = scaleOf("y", plot.y, valuesOf(plot.series, "y"), Math.max(2, Math.round(inner / 45)));
  const room = Math.max(...y.ticks.map(({ text }) => widthOf(text)), 12), left = Math.min(room, 0.42 * width) + 10;
  const firstX = scaleOf("x", plot.x, valuesOf(plot.series, "x"), Math.max(2, Math.floor((width - left - 14) / 70)));
  const last = firstX.ticks.at(-1), right = Math.max(10, last === undefined || plot.x.categories ? 0 : widthOf(last.text) / 2 + 2, endOf(plot.series));
  const frame: Frame = { left, top, width: Math.max(20, width - left - right), height: inner, x: firstX, y, down };
  const drawn = `${grid(frame, plot.x, plot.y, width)}${plot.series.map((series, i) => mark(frame, series, colours[i])).join("")}${legend.markup}`;
  const description = `${plot.description ?? wordsOf(plot, frame)}${leftOut(plot, frame)}`, id = escaped(options.id ?? `plot-${hash(`${plot.title}\n${description}\n${drawn}`)}`);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${px(width)} ${px(height)}" width="${px(width)}" height="${px(height)}" role="img" aria-labelledby="${id}-title ${id}-description" ` +
    `font-family="system-ui,sans-serif" font-size="${FONT}" fill="var(--plot-ink,currentColor)"><title id="${id}-title">${escaped(plot.title)}</title><desc id="${id}-description">${escaped(description)}</desc>` +
    `${standalone ? STANDALONE : ""}${drawn}</svg>`
  );
}

function checkSize(name: string, value: number, least: number): void {
  checkPositive("svg", name, value);
  if (value < least) throw rangeError("svg", name, `at least ${least}`, `${value}`);
}

/** Names of the arrays of a series; those that may be absent come last. */
const ARRAYS = { line: ["x", "y"], points: ["x", "y", "low", "high", "size", "labels"], bars: ["value", "low", "high", "base", "labels"], band: ["x", "low", "high"], rule: [] } as const;

/** A series of any kind, for its arrays. */
type ArraysOf = { readonly kind: string } & { readonly [Name in (typeof ARRAYS)[PlotSeries["kind"]][number]]?: ArrayLike<unknown> };

function checkSeries(series: PlotSeries, index: number): void {
  const fields: ArraysOf = series, [first, ...others] = ARRAYS[series.kind];
  if (first === undefined) return;
  const { length } = fields[first]!;
  for (const name of others) {
    const array = fields[name];
    if (array !== undefined && array.length !== length) throw rangeError("svg", `series[${index}].${name}`, `of the length of \`${first}\`, ${length}`, `${array.length}`);
  }
}

/** The numbers of a series that lie on an axis. */
function* valuesOf(series: readonly PlotSeries[], axis: "x" | "y"): Generator<number> {
  for (const part of series) {
    for (const array of arraysOn(part, axis)) for (let i = 0; i < array.length; i++) yield array[i];
    if (part.kind === "bars" && part.base === undefined && (part.along ?? "y") === axis && part.value.length > 0) yield 0;
  }
}

function arraysOn(part: PlotSeries, axis: "x" | "y"): readonly ArrayLike<number>[] {
  switch (part.kind) {
    case "line": return [part[axis]];
    case "points": return axis === "x" ? [part.x] : [part.y, ...(part.low && part.high ? [part.low, part.high] : [])];
    case "band": return axis === "x" ? [part.x] : [part.low, part.high];
    case "bars": return (part.along ?? "y") === axis ? [part.value, ...(part.base ? [part.base] : [])] : [part.low, part.high];
    case "rule": return part.axis === axis ? [[part.at]] : [];
  }
}

/** Room for the words at the ends of bars that lie. */
function endOf(series: readonly PlotSeries[]): number {
  return Math.max(0, ...series.flatMap((part) => (part.kind === "bars" && part.along === "x" ? (part.labels ?? []).map((text) => widthOf(text) + 8) : [])));
}

/** Lines at the ticks, their numbers, and the names of the axes. */
function grid({ left, top, width, height, x, y, down }: Frame, xAxis: PlotAxis, yAxis: PlotAxis, whole: number): string {
  const bottom = top + height, right = left + width;
  const yAt = (value: number): number => top + (down ? y.at(value) : 1 - y.at(value)) * height, xAt = (value: number): number => left + x.at(value) * width;
  const vertical = down || xAxis.log ? x.ticks.map(({ value }) => `M${px(xAt(value))},${px(top)}V${px(bottom)}`).join("") : "";
  const horizontal = y.ticks.map(({ value }) => `M${px(left)},${px(yAt(value))}H${px(right)}`).join("");
  const floor = yAxis.categories === undefined && !yAxis.log && y.low <= 0 && y.high >= 0 ? 0 : y.low;
  const base = down ? (x.low <= 0 && x.high >= 0 ? `M${px(xAt(0))},${px(top)}V${px(bottom)}` : "") : `M${px(left)},${px(yAt(floor))}H${px(right)}`;
  const every = sparse(x, width, xAxis.categories !== undefined);
  const texts = [
    ...y.ticks.map(({ value, text }) => `<text x="${px(left - 6)}" y="${px(yAt(value) + 4)}" text-anchor="end">${escaped(fitted(text, left - 8))}</text>`),
    ...x.ticks.filter((_, i) => i % every === 0).map(({ value, text }) => `<text x="${px(xAt(value))}" y="${px(bottom + 16)}" text-anchor="middle">${escaped(xAxis.categories ? fitted(text, (every * width) / x.ticks.length - 2) : text)}</text>`),
    yAxis.label === "" ? "" : `<text x="2" y="${px(top - 13)}">${escaped(fitted(yAxis.label, whole - 4))}</text>`,
    xAxis.label === "" ? "" : `<text x="${px(right)}" y="${px(bottom + 34)}" text-anchor="end">${escaped(fitted(xAxis.label, right - 2))}</text>`,
  ];
  return `<path fill="none" stroke="var(--plot-ink,currentColor)" stroke-opacity="0.13" d="${horizontal}${vertical}"/>${base && `<path fill="none" stroke="var(--plot-ink,currentColor)" stroke-opacity="0.5" d="${base}"/>`}<g fill-opacity="0.8">${texts.join("")}</g>`;
}

/** Every how many ticks a name has room. Names of groups may be cut to 5 letters; numbers are not. */
function sparse({ ticks }: Scale, width: number, categories: boolean): number {
  const needed = Math.max(...ticks.map(({ text }) => Math.min(widthOf(text), categories ? 40 : Infinity)), 1) + 6;
  return Math.max(1, Math.ceil((needed * ticks.length) / width));
}

/** Names of the series with their marks, in as many rows as needed. */
function legendOf(series: readonly PlotSeries[], colours: readonly PlotColour[], width: number): { readonly rows: number; readonly markup: string } {
  let x = 2, row = 0, markup = "", any = false;
  series.forEach((part, i) => {
    if (part.name === undefined) return;
    const text = fitted(part.name, width - 30), needed = 20 + widthOf(text) + 14;
    if (any && x + needed - 14 > width) [x, row] = [2, row + 1];
    any = true;
    const y = row * LINE + 9, colour = colours[i];
    if (part.kind === "points") markup += `<path ${pointPaint(part.shape ?? "circle", colour)} d="${outline(part.shape ?? "circle", x + 7, y, 4)}"/>`;
    else if (part.kind === "line" || part.kind === "rule") markup += `<path fill="none" stroke="${PAINT[colour]}" stroke-width="2"${part.dashed ? ' stroke-dasharray="5 3"' : ""} d="M${px(x)},${y}h14"/>`;
    else markup += `<path fill="${PAINT[colour]}" fill-opacity="${colour === "soft" ? 0.25 : part.kind === "band" ? 0.3 : 0.8}" d="M${px(x + 2)},${y - 5}h10v10h-10Z"/>`;
    markup += `<text x="${px(x + 19)}" y="${y + 4}">${escaped(text)}</text>`;
    x += needed;
  });
  return { rows: any ? row + 1 : 0, markup };
}

/** 32 bits of a text (Fowler, Noll, Vo 1a), so that an id is the picture's own. */
function hash(text: string): string {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return (state >>> 0).toString(36);
}
