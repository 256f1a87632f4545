import type { Steps, Tensor } from "@logits/tensor";
import { sha256Stream } from "./sha256.ts";

/** Elements between two pauses: about 2 ms. */
const PIECE = 2 ** 16;

/**
 * SHA-256 of tensors, so that an artefact can say which rows its promises rest on: for each one, the text `float32 [N, C]` and a line feed in ASCII, then its little-endian numbers.
 *
 * @returns 64 hexadecimal digits
 */
export function* rowsDigest(...tensors: readonly Tensor<"float32" | "int32">[]): Steps<string> {
  const hash = sha256Stream();
  for (const { dtype, shape, data } of tensors) {
    hash.update(new TextEncoder().encode(`${dtype} [${shape.join(", ")}]\n`));
    const view = new DataView(new ArrayBuffer(4 * Math.min(PIECE, data.length)));
    for (let from = 0; from < data.length; from += PIECE) {
      const count = Math.min(PIECE, data.length - from);
      for (let i = 0; i < count; i++) {
        if (dtype === "float32") view.setFloat32(4 * i, data[from + i], true);
        else view.setInt32(4 * i, data[from + i], true);
      }
      hash.update(new Uint8Array(view.buffer, 0, 4 * count));
      yield (from + count) / data.length;
    }
  }
  return hash.digest();
}
