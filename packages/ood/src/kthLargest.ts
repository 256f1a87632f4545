/** The k-th largest of `values`, k from 1, without NaN; their order is not kept. Hoare's selection. */
export function kthLargest(values: Float32Array, k: number): number {
  let low = 0, high = values.length - 1;
  const at = values.length - k;
  while (low < high) {
    const pivot = values[(low + high) >> 1];
    let i = low, j = high;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i <= j) {
        const held = values[i];
        values[i++] = values[j];
        values[j--] = held;
      }
    }
    if (at <= j) high = j;
    else if (at >= i) low = i;
    else break;
  }
  return values[at];
}
