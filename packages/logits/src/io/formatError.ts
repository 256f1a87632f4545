import { FormatError, message } from "@logits/tensor";

/** The error of every reader, in the house form: which reader, which file, what was expected, what came, what to do. */
export function formatError(reader: string, file: string, expected: string, got: string, todo?: string, cause?: unknown): FormatError {
  return new FormatError(message(reader, file, expected, got, todo), cause === undefined ? undefined : { cause });
}

/** Text of a file in an error message: at most 40 characters, control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
