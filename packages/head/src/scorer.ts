import { FormatError, message, type CsrMatrix, type Tensor, type TensorLike } from "@logits/tensor";
import { LinearHead } from "./linearHead.ts";
import { PrototypeHead } from "./prototypeHead.ts";
import { ZeroShotScorer } from "./zeroShotScorer.ts";

/** What makes logits of features: a decision head carries one to decide from features alone. */
export interface Scorer {
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
  /** float32 [N, F] or CSR to float32 [N, C]; one row [F] to [C]. A row with NaN: NaN. */
  logits(features: TensorLike | CsrMatrix): Tensor<"float32">;
  toJSON(): { readonly format: string; readonly version: number };
}

/**
 * Reads any of the scorers.
 *
 * @param json - what `toJSON` of a scorer gave, parsed
 * @throws FormatError for another format or version, or a field that is missing or not what it must be
 * @example
 *   scorerFromJSON(JSON.parse(text)).logits(features);
 */
export function scorerFromJSON(json: unknown): Scorer {
  const { format } = (typeof json === "object" && json !== null ? json : {}) as { format?: unknown };
  if (format === "logits/linear-head") return LinearHead.fromJSON(json);
  if (format === "logits/zero-shot-scorer") return ZeroShotScorer.fromJSON(json);
  if (format === "logits/prototype-head") return PrototypeHead.fromJSON(json);
  throw new FormatError(message("scorerFromJSON", "format", '"logits/linear-head", "logits/prototype-head" or "logits/zero-shot-scorer"', typeof format === "string" ? `"${format}"` : "nothing: the field is missing"));
}
