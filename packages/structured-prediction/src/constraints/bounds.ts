import { checkInteger } from "@logits/tensor";

/** How many: at least and at most, both included. */
export interface Bounds {
  /** Default 0. */
  readonly atLeast?: number;
  /** Default Infinity. */
  readonly atMost?: number;
}

/** The bounds, with their defaults. */
export function checkedBounds(where: string, { atLeast = 0, atMost = Infinity }: Bounds): { readonly atLeast: number; readonly atMost: number } {
  checkInteger(where, "atLeast", atLeast, 0, 0x7fffffff);
  if (atMost !== Infinity) checkInteger(where, "atMost", atMost, atLeast, 0x7fffffff);
  return { atLeast, atMost };
}
