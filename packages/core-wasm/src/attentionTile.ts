/** The record that assembly/attention.ts reads, its fields in order; each has four bytes. */
const FIELDS = [
  "panels", "queries", "features", "keys", "first", "count", "values", "valueBytes", "width", "from", "to", "scores", "max", "half", "out", "outBytes", "relative", "bias", "biasBytes", "mask", "maskBytes", "rows",
  "cap", "sigmoid", "shift", "upstream", "valueRows", "keyColumns", "keyBytes", "total", "delta", "gradients", "slopes", "queryGradient", "queryBytes", "queryColumns", "upstreamColumns", "keyGradient", "keyStride",
  "valueGradient", "valueStride", "relativeGradient", "biasGradient", "biasGradientBytes", "shiftGradient", "bounds",
] as const;

/** One field of the record. */
export type TileField = (typeof FIELDS)[number];

/** Bytes of the record. */
export const TILE_BYTES: number = 4 * FIELDS.length;

const PLACES: Readonly<Record<TileField, number>> = /* @__PURE__ */ Object.fromEntries(FIELDS.map((name, i) => [name, i])) as Record<TileField, number>;

/** Writes fields of the record at a word of memory; `cap` and `shift` are float32. Called for every tile: no arrays are made. */
export function writeTile(floats: Float32Array, ints: Int32Array, word: number, fields: Partial<Record<TileField, number>>): void {
  for (const key in fields) {
    const name = key as TileField;
    (name === "cap" || name === "shift" ? floats : ints)[word + PLACES[name]] = fields[name]!;
  }
}
