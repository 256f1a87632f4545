/** The record that assembly/attention.ts reads, its fields in order; each has four bytes. */
const FIELDS = [
  "panels", "queries", "features", "keys", "first", "count", "values", "valueBytes", "width", "from", "to", "scores", "max", "half", "out", "outBytes", "relative", "bias", "biasBytes", "mask", "maskBytes", "rows",
  "cap", "sigmoid", "shift", "upstream", "valueRows", "keyColumns", "keyBytes", "total", "delta", "gradients", "slopes", "queryGradient", "queryBytes", "queryColumns", "upstreamColumns", "keyGradient", "keyStride",
  "valueGradient", "valueStride", "relativeGradient", "biasGradient", "biasGradientBytes", "shiftGradient", "bounds",
] as const;

/** Fields that are float32. */
const FLOATS: ReadonlySet<string> = new Set(["cap", "shift"]);

/** One field of the record. */
export type TileField = (typeof FIELDS)[number];

/** Bytes of the record. */
export const TILE_BYTES: number = 4 * FIELDS.length;

const PLACES: ReadonlyMap<string, number> = new Map(FIELDS.map((name, i) => [name, i]));

/** Writes fields of the record at a word of memory. */
export function writeTile(floats: Float32Array, ints: Int32Array, word: number, fields: Partial<Record<TileField, number>>): void {
  for (const [name, value] of Object.entries(fields) as [TileField, number][]) {
    const at = word + PLACES.get(name)!;
    if (FLOATS.has(name)) floats[at] = value;
    else ints[at] = value;
  }
}
