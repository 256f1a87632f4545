/** The distinct values in increasing order, with how often each is there and how often with a mask of 1. */
export function tallyRef(x: ArrayLike<number>, mask: ArrayLike<number>): { values: number[]; counts: number[]; ones: number[] } {
  const list = Array.from(x, (value) => value + 0), values = [...new Set(list)].sort((a, b) => (a < b ? -1 : 1));
  const rows = values.map((value) => list.flatMap((other, i) => (other === value ? [mask[i]] : [])));
  return { values, counts: rows.map(({ length }) => length), ones: rows.map((row) => row.reduce((sum, one) => sum + one, 0)) };
}
