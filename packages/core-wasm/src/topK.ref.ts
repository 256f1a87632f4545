/** The columns of the k largest, largest first, equal values by column. */
export function topKRef(x: Float64Array, k: number): Float64Array {
  return Float64Array.from([...x.keys()].sort((a, b) => (x[a] === x[b] ? a - b : x[a] < x[b] ? 1 : -1)).slice(0, k));
}
