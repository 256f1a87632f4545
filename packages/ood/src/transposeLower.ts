/** Square tiles, so that neither side leaves the cache. */
const TILE = 32;

/** to[j, i] = from[i, j] for j <= i, all [n, n]; `to` may be `from`, which makes it symmetric. */
export function transposeLower(from: Float64Array, n: number, to: Float64Array): void {
  for (let top = 0; top < n; top += TILE) {
    for (let left = 0; left <= top; left += TILE) {
      for (let i = top; i < Math.min(n, top + TILE); i++) for (let j = left; j < Math.min(i + 1, left + TILE); j++) to[j * n + i] = from[i * n + j];
    }
  }
}
