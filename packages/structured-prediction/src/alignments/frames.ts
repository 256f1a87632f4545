import { logSumExp } from "@logits/core-wasm";
import { Tensor, asFloat32, asInt32, asLengths, checkInteger, rangeError, type TensorLike } from "@logits/tensor";
import type { CtcSequence } from "@logits/core-wasm/alignments";

/** Which column is the blank, and how long sequences are. */
export interface CtcOptions {
  /** The column of the blank. Default 0. */
  readonly blank?: number;
  /** int32 [B]: how many frames of each sequence count. Default T. */
  readonly lengths?: TensorLike;
  /** int32 [B]: how many labels of each sequence count. Default S. */
  readonly labelLengths?: TensorLike;
  /** This label stands for any class: its weight in a frame is 1. Default: none. */
  readonly wildcard?: number;
}

/** Frames with their labels, checked, one sequence after the other. */
export interface CtcBatch {
  readonly logits: Tensor<"float32">;
  readonly batch: number;
  readonly frames: number;
  readonly classes: number;
  readonly blank: number;
  readonly lengths: Int32Array;
  /** The sequence of item b; one column more where it has wildcards. */
  sequence(b: number): CtcSequence;
}

/** Refuses frames that have no most probable class: with NaN or +Infinity, or only -Infinity. */
export function checkFrames(where: string, { data }: Tensor<"float32">, frames: number, classes: number): void {
  for (let t = 0; t < frames; t++) {
    let possible = false;
    for (let c = 0; c < classes; c++) {
      const x = data[t * classes + c];
      if (x !== x) throw rangeError(where, "logits", "without NaN", `NaN in frame ${t}, column ${c}`);
      if (x === Infinity) throw rangeError(where, "logits", "below +Infinity", `+Infinity in frame ${t}, column ${c}`);
      if (x > -Infinity) possible = true;
    }
    if (!possible) throw rangeError(where, "logits", "with a possible class in every frame", `only -Infinity in frame ${t}`);
  }
}

/** Frames [B, T, C] or [T, C] and labels [B, S] or [S]; items of weight 0 are not read. */
export function ctcBatch(where: string, logits: TensorLike, labels: TensorLike, { blank = 0, lengths, labelLengths, wildcard }: CtcOptions, weights?: Float32Array): CtcBatch {
  const x = asFloat32(where, "logits", logits), y = asInt32(where, "labels", labels), single = x.shape.length === 2;
  if (!single && x.shape.length !== 3) throw rangeError(where, "logits", "of shape [B, T, C] or [T, C]", `[${x.shape.join(", ")}]`);
  const [batch, frames, classes] = single ? [1, ...x.shape] : x.shape, S = y.shape.at(-1) ?? 0;
  if (y.shape.length !== x.shape.length - 1 || y.size !== batch * S) throw rangeError(where, "labels", single ? "of shape [S]" : `of shape [${batch}, S]`, `[${y.shape.join(", ")}]`);
  checkInteger(where, "blank", blank, 0, classes - 1);
  if (wildcard !== undefined && wildcard >= 0 && wildcard < classes) throw rangeError(where, "wildcard", "a number that is no class", `${wildcard}`);
  const held = asLengths(where, "lengths", lengths, batch, frames), spelt = asLengths(where, "labelLengths", labelLengths, batch, S);
  for (let b = 0; b < batch; b++) {
    if (weights?.[b] === 0) continue;
    for (let i = b * S; i < b * S + spelt[b]; i++) {
      const label = y.data[i];
      if (label === wildcard) continue;
      if (!(label >= 0 && label < classes)) throw rangeError(where, "labels", `in [0, ${classes})`, `${label} at index ${i}`);
      if (label === blank) throw rangeError(where, "labels", `other than the blank, ${blank}`, `${label} at index ${i}`);
    }
  }
  return {
    logits: x,
    batch,
    frames,
    classes,
    blank,
    lengths: held,
    sequence(b) {
      const T = held[b], own = y.data.slice(b * S, b * S + spelt[b]), data = x.data.slice(b * frames * classes, (b * frames + T) * classes);
      if (wildcard === undefined || !own.includes(wildcard)) return { scores: new Tensor("float32", [T, classes], data), classes, labels: own, blank };
      // A wildcard's score is log Z of the frame: its weight is 1.
      const wide = new Float32Array(T * (classes + 1)), z = logSumExp(new Tensor("float32", [T, classes], data)).data;
      for (let t = 0; t < T; t++) {
        wide.set(data.subarray(t * classes, (t + 1) * classes), t * (classes + 1));
        wide[t * (classes + 1) + classes] = z[t];
      }
      return { scores: new Tensor("float32", [T, classes + 1], wide), classes, labels: own.map((label) => (label === wildcard ? classes : label)), blank };
    },
  };
}
