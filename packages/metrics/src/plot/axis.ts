import { log } from "@logits/statistics";
import { rangeError } from "@logits/tensor";
import type { PlotAxis } from "./plot.ts";

/** An axis with numbers in it: where values lie, and which of them are named. */
export interface Scale {
  readonly low: number;
  readonly high: number;
  /** Whether a value can be drawn at all; outside of the domain it lies beyond the frame. */
  readonly finite: (value: number) => boolean;
  /** Position in [0, 1] inside the domain. */
  readonly at: (value: number) => number;
  readonly ticks: readonly { readonly value: number; readonly text: string }[];
}

/** Larger numbers count as infinite: differences of two of them must be finite. */
const LARGEST = 1e300;
/** Values nearer to each other than this share of them are one value. */
const APART = 1e-12;

/** The decimal exponent of a number other than 0. */
const exponentOf = (value: number): number => Number(value.toExponential().split("e")[1]);
const powerOfTen = (exponent: number): number => Number(`1e${exponent}`);

/** The scale of an axis; `count` is the number of ticks to aim at. */
export function scaleOf(name: string, axis: PlotAxis, values: Iterable<number>, count: number): Scale {
  if (axis.categories !== undefined) {
    if (axis.log || axis.percent || axis.domain) throw rangeError("svg", name, "with either `categories` or `domain`, `log`, `percent`", "both");
    const { length } = axis.categories, low = -0.5, high = Math.max(1, length) - 0.5;
    return { low, high, finite: (value) => Math.abs(value) <= LARGEST, at: (value) => (value - low) / (high - low), ticks: axis.categories.map((text, value) => ({ value, text })) };
  }
  const finite = axis.log ? (value: number): boolean => value >= 1 / LARGEST && value <= LARGEST : (value: number): boolean => Math.abs(value) <= LARGEST;
  const [low, high] = axis.domain === undefined ? domainOf(axis, values, finite, count) : checked(name, axis, axis.domain);
  if (axis.log) {
    const start = log(low), span = log(high) - start;
    return { low, high, finite, at: (value) => (log(value) - start) / span, ticks: logTicks(low, high, count) };
  }
  return { low, high, finite, at: (value) => (value - low) / (high - low), ticks: ticksOf(low, high, count, axis.percent === true) };
}

function checked(name: string, { log: logarithmic }: PlotAxis, domain: readonly [number, number]): readonly [number, number] {
  const [low, high] = domain, least = logarithmic ? 1 / LARGEST : -LARGEST;
  if (!(low >= least && high <= LARGEST && isApart(low, high))) {
    throw rangeError("svg", `${name}.domain`, `[low, high], ${logarithmic ? "positive, " : ""}finite, low below high by more than rounding`, `[${domain.join(", ")}]`);
  }
  return domain;
}

const isApart = (low: number, high: number): boolean => high - low > APART * Math.max(Math.abs(low), Math.abs(high)) && high - low > 1 / LARGEST;

function domainOf({ zero, log: logarithmic }: PlotAxis, values: Iterable<number>, finite: (value: number) => boolean, count: number): readonly [number, number] {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!finite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (logarithmic) return low > high ? [1, 10] : [Math.max(1 / LARGEST, low / 1.25), Math.min(LARGEST, high * 1.25)];
  if (zero || low > high) {
    low = Math.min(0, low);
    high = Math.max(0, high);
  }
  if (!isApart(low, high)) {
    // One value: as much below as above; 0, or nothing: from 0 to 1.
    const room = Math.abs(high) / 2;
    [low, high] = room > 1e-288 ? [low - room, Math.min(LARGEST, high + room)] : [low < 0 ? -1 : 0, 1];
  }
  // Rounding outwards may call for a larger step, and that for rounding again.
  for (let step = 0; ; ) {
    const next = stepOf(low, high, count);
    if (next <= step) return [low, high];
    step = next;
    [low, high] = [Math.max(-LARGEST, Math.floor(low / step + 1e-9) * step), Math.min(LARGEST, Math.ceil(high / step - 1e-9) * step)];
  }
}

/** 1, 2 or 5 times a power of ten, so that about `count` of them fit. */
function stepOf(low: number, high: number, count: number): number {
  const rough = (high - low) / count, base = powerOfTen(exponentOf(rough)), times = rough / base;
  return (times < 1.42 ? 1 : times < 3.17 ? 2 : times < 7.08 ? 5 : 10) * base;
}

function ticksOf(low: number, high: number, count: number, percent: boolean): Scale["ticks"] {
  const step = stepOf(low, high, count), first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  // One number alone says nothing about the others.
  if (last - first < 1) return ticksOf(low, high, 2 * count, percent);
  const exponent = exponentOf(step) + (percent ? 2 : 0), largest = Math.max(Math.abs(low), Math.abs(high)) * (percent ? 100 : 1);
  const plain = largest < 1e6 && exponent >= -5, decimals = Math.max(0, -exponent);
  return Array.from({ length: Math.max(0, last - first) + 1 }, (_, i) => {
    const value = (first + i) * step, shown = percent ? 100 * value : value;
    const text = plain ? grouped(Math.abs(shown) < Math.abs(step) / 2 ? "0" : shown.toFixed(decimals)) : value === 0 ? "0" : scientific(shown, Math.max(0, exponentOf(shown) - exponent));
    return { value: value + 0, text: minus(percent ? `${text}\u00a0%` : text) };
  });
}

/** Powers of ten; with few of them also 2 and 5 times these; with none or one, ticks as on a linear axis. */
function logTicks(low: number, high: number, count: number): Scale["ticks"] {
  const first = exponentOf(low), last = exponentOf(high), every = Math.max(1, Math.ceil((last - first) / count));
  const factors = 3 * (last - first) <= count ? [1, 2, 5] : [1];
  const values: number[] = [];
  for (let exponent = Math.ceil(first / every) * every; exponent <= last; exponent += every) {
    for (const factor of factors) {
      const value = Number(`${factor}e${exponent}`);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) values.push(value);
    }
  }
  if (values.length < 2 && isApart(low, high)) return ticksOf(low, high, count, false).filter(({ value }) => value > 0);
  return values.map((value) => ({ value, text: minus(value >= 1e-4 && value < 1e6 ? grouped(`${value}`) : scientific(value, 0)) }));
}

/** "12,345". */
const grouped = (text: string): string => text.replace(/\d+/, (digits) => digits.replace(/\B(?=(?:\d{3})+$)/g, ","));
/** "2.5e-7". */
const scientific = (value: number, digits: number): string => value.toExponential(Math.min(12, digits)).replace("e+", "e");
const minus = (text: string): string => text.replaceAll("-", "−");
