import { type TensorLike, rangeError } from "@logits/tensor";
import type { Region } from "./connectedComponents.ts";
import { mapsOf } from "./mapShape.ts";

/** Options of `mapSvg`. */
export interface MapSvgOptions {
  /** What the picture shows. Default "Anomaly map". */
  readonly title?: string;
  /** The numbers of no colour and of full colour, low < high. Default: the least and the largest finite element. */
  readonly domain?: readonly [low: number, high: number];
  /** Regions to be framed, of `connectedComponents`. */
  readonly regions?: readonly Region[];
  /** Pixels of an element, > 0. Default 8. */
  readonly cell?: number;
  /** Begins the ids inside the picture; two pictures on one page need two. Default "map". */
  readonly id?: string;
}

const LEVELS = 12;

/**
 * A map as SVG text: the higher, the fuller the colour; regions are framed. No script, no document, the same bytes everywhere.
 *
 * Role img with title and description. Colours are custom properties of the page (`--plot-2`, `--plot-1`, `--plot-soft`) with ones that are legible on light and on dark ground. NaN is hatched by a cross.
 *
 * @param map - float32 [H, W]
 * @param options - `title`, `domain`, `regions`, `cell` (8), `id` ("map")
 * @returns an `svg` element
 * @throws RangeError for another shape, a domain that is no interval, a `cell` that is not above 0
 * @example
 *   mapSvg([[0, 1], [2, 9]], { regions: connectedComponents([[0, 0], [0, 1]]).regions });
 * Source: folklore.
 */
export function mapSvg(map: TensorLike, options: MapSvgOptions = {}): string {
  const where = "mapSvg", { x, lead, height, width } = mapsOf(where, map), { title = "Anomaly map", regions = [], cell = 8, id = "map" } = options;
  if (lead.length > 0) throw rangeError(where, "map", "of shape [H, W]", `[${x.shape.join(", ")}]`);
  if (!(cell > 0 && cell < Infinity)) throw rangeError(where, "cell", "a finite number > 0", `${cell}`);
  const finite = x.data.filter((value) => value - value === 0), ends = [finite.reduce((a, b) => Math.min(a, b), Infinity), finite.reduce((a, b) => Math.max(a, b), -Infinity)] as const;
  const [low, high] = options.domain ?? (finite.length === 0 ? [0, 1] : ends[0] < ends[1] ? ends : [ends[0] - 1, ends[0]]);
  if (!(Math.abs(low) < Infinity && Math.abs(high) < Infinity && low < high)) throw rangeError(where, "domain", "of two finite numbers, the lower one before", `[${low}, ${high}]`);
  const level = (value: number): number => (value !== value ? -1 : Math.round(LEVELS * Math.min(1, Math.max(0, (value - low) / (high - low)))));
  let cells = "", unknown = "";
  for (let i = 0; i < height; i++) {
    for (let from = 0, to = 0; from < width; from = to) {
      const own = level(x.data[i * width + from]);
      for (to = from + 1; to < width && level(x.data[i * width + to]) === own; ) to++;
      if (own > 0) cells += `<rect x="${from}" y="${i}" width="${to - from}" height="1" opacity="${+(own / LEVELS).toFixed(3)}"/>`;
      if (own < 0) for (let j = from; j < to; j++) unknown += `M${j} ${i}l1 1m0 -1l-1 1`;
    }
  }
  const frames = regions.map(({ top, left, bottom, right }) => `<rect x="${left}" y="${top}" width="${right - left}" height="${bottom - top}"/>`).join("");
  const words = `${height} rows of ${width} elements, from ${low.toPrecision(3)} without colour to ${high.toPrecision(3)} in full colour${regions.length === 0 ? "" : `; ${regions.length} ${regions.length === 1 ? "region is" : "regions are"} framed, of ${regions.map(({ area }) => area).join(", ")} elements`}.`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width * cell}" height="${height * cell}" role="img" aria-labelledby="${escaped(id)}-title ${escaped(id)}-description">` +
    `<title id="${escaped(id)}-title">${escaped(title)}</title><desc id="${escaped(id)}-description">${escaped(words)}</desc>` +
    `<g fill="var(--plot-2,#c2541b)" shape-rendering="crispEdges">${cells}</g>` +
    `${unknown === "" ? "" : `<path d="${unknown}" stroke="var(--plot-soft,#8a939b)" stroke-width="0.1" fill="none"/>`}` +
    `<rect width="${width}" height="${height}" fill="none" stroke="var(--plot-soft,#8a939b)" stroke-width="0.1"/>` +
    `${frames === "" ? "" : `<g fill="none" stroke="var(--plot-1,#1f78ad)" stroke-width="0.3">${frames}</g>`}</svg>`
  );
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]!);
}
