import { asInt32, checkInteger, checkShape, rangeError, Tensor, type TensorLike } from "@logits/tensor";

/** Positions [start, end) of one label. */
export interface Segment {
  /** Its first position. */
  readonly start: number;
  /** One behind its last. */
  readonly end: number;
  readonly label: number;
}

/**
 * The segments of one sequence of labels.
 *
 * @param labels - int32 [T]: the label at the first position of each segment, -1 at the others
 * @returns the segments, from the beginning
 * @throws RangeError for another shape, or a first position without a label
 * @example
 *   segmentsOf([2, -1, -1, 0]); // [{ start: 0, end: 3, label: 2 }, { start: 3, end: 4, label: 0 }]
 * Source: folklore; the representation is torch-struct's.
 */
export function segmentsOf(labels: TensorLike): Segment[] {
  const y = asInt32("segmentsOf", "labels", labels), out: Segment[] = [];
  checkShape("segmentsOf", "labels", y, ["T"]);
  if (y.size > 0 && y.data[0] < 0) throw rangeError("segmentsOf", "labels", "with a segment that begins at position 0", `${y.data[0]}`);
  for (let s = 0; s < y.size; ) {
    let t = s + 1;
    while (t < y.size && y.data[t] < 0) t++;
    out.push({ start: s, end: t, label: y.data[s] });
    s = t;
  }
  return out;
}

/**
 * The labels of segments that cover a sequence: what `segmentsOf` reads.
 *
 * @param segments - from the beginning, each where the one before ends; the last ends at T
 * @returns int32 [T]
 * @throws RangeError for a gap or an overlap, an empty segment, a label below 0
 * @example
 *   segmentLabels([{ start: 0, end: 3, label: 2 }, { start: 3, end: 4, label: 0 }]).toArray(); // [2, -1, -1, 0]
 * Source: folklore.
 */
export function segmentLabels(segments: readonly Segment[]): Tensor<"int32"> {
  const where = "segmentLabels", labels = new Int32Array(segments.at(-1)?.end ?? 0).fill(-1);
  segments.forEach(({ start, end, label }, i) => {
    checkInteger(where, `segments[${i}].label`, label, 0, 0x7fffffff);
    if (start !== (i === 0 ? 0 : segments[i - 1].end) || !(end > start)) throw rangeError(where, `segments[${i}]`, `from ${i === 0 ? 0 : segments[i - 1].end} to a later boundary`, `[${start}, ${end})`);
    labels[start] = label;
  });
  return new Tensor("int32", [labels.length], labels);
}
