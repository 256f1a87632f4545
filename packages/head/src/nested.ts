import { FormatError } from "@logits/tensor";

/** A part of the artefact: its errors say where it stands. */
export function nested<Result>(where: string, field: string, read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(`${where}: in \`${field}\`: ${cause.message}`, { cause });
  }
}
