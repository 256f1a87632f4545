/** An axis of a `Plot`. */
export interface PlotAxis {
  /** What is measured, with its unit. */
  readonly label: string;
  /** Ends of the axis, low < high; default: from the data, rounded outwards. What lies outside is not drawn. */
  readonly domain?: readonly [low: number, high: number];
  /** Whether a domain from the data reaches 0. */
  readonly zero?: boolean;
  /** Logarithmic; values must be positive to be drawn. */
  readonly log?: boolean;
  /** Shares shown in per cent. */
  readonly percent?: boolean;
  /** Names at 0, 1, 2, ...: what lies at k belongs to the name k. From left to right, or from top to bottom. */
  readonly categories?: readonly string[];
}

/** Six colours, that of text, and a soft one for what stands behind. 1 is what this library did, 2 what it is compared with. */
export type PlotColour = 1 | 2 | 3 | 4 | 5 | 6 | "ink" | "soft";

/** Form of a point, so that colours need not be told apart. */
export type PlotShape = "circle" | "square" | "triangle" | "diamond" | "cross";

interface Named {
  /** Shown in the legend; without one it has no entry. */
  readonly name?: string;
  /** Default: 1, 2, ... in the order of the series; a rule has the colour of text. */
  readonly colour?: PlotColour;
}

/** Points joined in their order; a value that cannot be drawn leaves a gap. */
export interface PlotLine extends Named {
  readonly kind: "line";
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  readonly dashed?: boolean;
}

/** Points, each with an interval along y where `low` and `high` are given. */
export interface PlotPoints extends Named {
  readonly kind: "points";
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  /** Ends of the intervals; infinite ones end where the axis does. */
  readonly low?: ArrayLike<number>;
  readonly high?: ArrayLike<number>;
  /** Areas follow these numbers, at least 0. */
  readonly size?: ArrayLike<number>;
  readonly shape?: PlotShape;
  /** Words at the points. */
  readonly labels?: readonly string[];
}

/** Bars over [low, high] from `base` (0) to `value`. */
export interface PlotBars extends Named {
  readonly kind: "bars";
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
  readonly value: ArrayLike<number>;
  readonly base?: ArrayLike<number>;
  /** The axis along which bars are long: "y" (default) or "x"; `low` and `high` lie on the other one. */
  readonly along?: "x" | "y";
  /** Words at the ends of the bars. */
  readonly labels?: readonly string[];
}

/** The area between two lines. */
export interface PlotBand extends Named {
  readonly kind: "band";
  readonly x: ArrayLike<number>;
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
}

/** A line across the plot at one value of an axis. */
export interface PlotRule extends Named {
  readonly kind: "rule";
  readonly axis: "x" | "y";
  readonly at: number;
  readonly dashed?: boolean;
  /** Words at its end. */
  readonly label?: string;
}

/** What a plot is made of, drawn in this order. */
export type PlotSeries = PlotLine | PlotPoints | PlotBars | PlotBand | PlotRule;

/** A plot as plain data: what is shown, not how. JSON holds it where its arrays are plain. */
export interface Plot {
  readonly title: string;
  /** What one sees, in words; default: what each series holds. */
  readonly description?: string;
  readonly x: PlotAxis;
  readonly y: PlotAxis;
  readonly series: readonly PlotSeries[];
}
