import { formatError } from "./formatError.ts";

/** JavaScript engines hold at most about 2^29 characters in one string. */
const TEXT_LIMIT = 268435456;

/** The file as text: UTF-8, a byte order mark dropped; anything else is an error. */
export function decodeText(reader: string, bytes: Uint8Array, file: string): string {
  if (bytes.length === 0) throw formatError(reader, file, "to hold numbers", "an empty file");
  if (bytes.length > TEXT_LIMIT) throw formatError(reader, file, "of at most 256 MiB", `${bytes.length} bytes`, "Save it as .npy");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw formatError(reader, file, "to be UTF-8 text", "other bytes", "Save it as UTF-8", cause);
  }
}

// Written so that no digit can be matched in two ways: a cell of a million digits and an x must not take a minute.
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const WORDS: Readonly<Record<string, number>> = { nan: NaN, inf: Infinity, "+inf": Infinity, "-inf": -Infinity, infinity: Infinity, "+infinity": Infinity, "-infinity": -Infinity };

/** The number that a cell spells, `undefined` if it is none: decimal notation, nan and inf in any case. Not hexadecimal, not empty. */
export function parseNumber(cell: string): number | undefined {
  const text = cell.trim();
  if (NUMBER.test(text)) return Number(text);
  const word = text.toLowerCase();
  return Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
}
