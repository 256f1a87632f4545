/** The indices of a row in the order of its values; equal values (and -0, +0) by index. */
export function argsortRef(x: Float64Array, descending = false): Float64Array {
  const sign = descending ? -1 : 1;
  return Float64Array.from([...x.keys()].sort((a, b) => (x[a] === x[b] ? a - b : x[a] < x[b] ? -sign : sign)));
}
