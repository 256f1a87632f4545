/** The data of the experiments, from the folder `data`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { Tensor } from "@logits/tensor";
import type { Rows } from "./mlp.ts";

/** Rows with their classes. */
export interface Labelled {
  readonly x: Rows;
  readonly y: Int32Array;
}

const read = (...path: readonly string[]): Buffer => gunzipSync(readFileSync(join(import.meta.dirname, "../../data", ...path)));

/** Images of clothes [N, 196], pixels in [0, 1], and their classes: 10. The first `count` of 5,000 to train on, of 2,500 to test. */
export function clothes(part: "train" | "test", count: number = part === "train" ? 5000 : 2500): Labelled {
  const bytes = read("fashion-mnist-14", `${part}-images.bin.gz`).subarray(0, 98 * count);
  return { x: new Tensor("float32", [count, 196], Float32Array.from({ length: 196 * count }, (_, i) => (i % 2 === 0 ? bytes[i >> 1] >> 4 : bytes[i >> 1] & 15) / 15)), y: Int32Array.from(read("fashion-mnist-14", `${part}-labels.bin.gz`).subarray(0, count)) };
}

/** Letters [N, 16], features less their mean 7.5 over 4, and their classes: 26. The first 16,000 of the set to train on, the last 4,000 to test. */
export function letters(part: "train" | "test"): Labelled {
  const lines = read("letter", "letter-recognition.data.gz").toString().trim().split(/\r?\n/), rows = part === "train" ? lines.slice(0, 16000) : lines.slice(16000);
  const x = new Float32Array(16 * rows.length);
  const y = Int32Array.from(rows, (line, i) => {
    const [letter, ...values] = line.split(",");
    values.forEach((value, j) => (x[16 * i + j] = (Number(value) - 7.5) / 4));
    return letter.charCodeAt(0) - 65;
  });
  return { x: new Tensor("float32", [rows.length, 16], x), y };
}

/** Handwritten digits [N, 64], 8 x 8 pixels in [0, 1], and their classes: 10. 3,823 to train on, 1,797 by other writers to test. */
export function digits(part: "train" | "test"): Labelled {
  const lines = read("optdigits", part === "train" ? "optdigits.tra.gz" : "optdigits.tes.gz").toString().trim().split(/\r?\n/), x = new Float32Array(64 * lines.length);
  const y = Int32Array.from(lines, (line, i) => {
    const values = line.split(",").map(Number);
    for (let j = 0; j < 64; j++) x[64 * i + j] = values[j] / 16;
    return values[64];
  });
  return { x: new Tensor("float32", [lines.length, 64], x), y };
}
