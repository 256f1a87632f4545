import { FormatError } from "@logits/tensor";
/** The error of every reader, in the house form: which reader, which file, what was expected, what came, what to do. */
export declare function formatError(reader: string, file: string, expected: string, got: string, todo?: string, cause?: unknown): FormatError;
/** Text of a file in an error message: at most 40 characters, control characters escaped. */
export declare function quote(text: string): string;
