import { segmentTables, type SegmentTables } from "@logits/core-wasm/segments";
import { asFloat32, asMask, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Scores beside transitions and durations. */
export interface SegmentModelOptions {
  /** float32 [C]: of the label of the segment at the beginning. Default 0. */
  readonly start?: TensorLike;
  /** float32 [C]: of the label of the last segment. Default 0. */
  readonly end?: TensorLike;
  /** uint8 [D, C], 1 = a segment of length d + 1 may have this label. Default: all. */
  readonly allowed?: TensorLike;
  /** float32 [C]: a geometric tail. Segments longer than D score the duration D and this for each further position. Default: none is longer. */
  readonly tail?: TensorLike;
}

/** The scores of a semi-Markov model that no sequence changes, made ready for sums. Use `SemiMarkov.compile`. */
export class SegmentModel {
  /** C. */
  readonly labels: number;
  /** D. */
  readonly longest: number;
  /** float32 [C, C], [from, to]. */
  readonly transitions: Float32Array;
  /** float32 [D, C], [length - 1, label]; -Infinity where a length is not allowed. */
  readonly durations: Float32Array;
  readonly start: Float32Array;
  readonly end: Float32Array;
  readonly tail: Float32Array | undefined;
  readonly tables: SegmentTables;

  constructor(where: string, transitions: TensorLike, durations: TensorLike, { start, end, allowed, tail }: SegmentModelOptions) {
    const A = asFloat32(where, "transitions", transitions), L = asFloat32(where, "durations", durations), C = A.shape[0] ?? 0, D = L.shape[0] ?? 0;
    if (A.shape.length !== 2 || C === 0 || A.shape[1] !== C) throw rangeError(where, "transitions", "of shape [C, C]", `[${A.shape.join(", ")}]`);
    if (L.shape.length !== 2 || D === 0 || L.shape[1] !== C) throw rangeError(where, "durations", `of shape [D, ${C}] with D at least 1`, `[${L.shape.join(", ")}]`);
    const row = (argument: string, given: TensorLike | undefined): Float32Array => {
      if (given === undefined) return new Float32Array(C);
      const x = asFloat32(where, argument, given);
      checkShape(where, argument, x, [C]);
      return checkScores(where, argument, x.data).slice();
    };
    this.labels = C;
    this.longest = D;
    this.transitions = checkScores(where, "transitions", A.data).slice();
    this.durations = checkScores(where, "durations", L.data).slice();
    if (allowed !== undefined) {
      const mask = asMask(where, "allowed", allowed);
      checkShape(where, "allowed", mask, L.shape);
      mask.data.forEach((one, k) => { if (one === 0) this.durations[k] = -Infinity; });
    }
    this.start = row("start", start);
    this.end = row("end", end);
    this.tail = tail === undefined ? undefined : row("tail", tail);
    this.tables = segmentTables({ labels: C, longest: D, durations: this.durations, transitions: this.transitions, start: this.start, end: this.end, ...(this.tail && { tail: this.tail }) });
  }

  /** The score of a length: -Infinity beyond D where there is no tail. */
  durationOf(length: number, label: number): number {
    const { longest: D, labels: C, tail } = this;
    if (length <= D) return this.durations[(length - 1) * C + label];
    return tail ? this.durations[(D - 1) * C + label] + (length - D) * tail[label] : -Infinity;
  }
}

/** Scores are finite or -Infinity. */
export function checkScores(where: string, argument: string, x: Float32Array): Float32Array {
  for (let i = 0; i < x.length; i++) if (!(x[i] < Infinity)) throw rangeError(where, argument, "finite or -Infinity", `${x[i]} at index ${i}`);
  return x;
}
