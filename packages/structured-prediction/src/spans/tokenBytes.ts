import { normalise, type Normalization } from "./normalisedText.ts";

/** How tokens are written. */
export type TokenKind = "wordpiece" | "byte-level" | "sentencepiece";

const utf8 = new TextEncoder();
/** The byte that each character of byte-level BPE stands for: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and up (Radford et al. 2019). */
const BYTE_OF: ReadonlyMap<number, number> = /* @__PURE__ */ (() => {
  const out = new Map<number, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) out.set((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff) ? byte : next++, byte);
  return out;
})();
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The bytes of the normalised text that a token stands for; white space at its start is a count, because texts and tokens differ in it. */
export interface TokenBytes {
  /** White space characters before the rest. */
  readonly spaces: number;
  readonly bytes: Uint8Array;
}

/** Undefined where a byte-level token holds a character that stands for no byte. */
export function tokenBytes(token: string, kind: TokenKind, prefix: string, normalization: Normalization): TokenBytes | undefined {
  if (kind === "byte-level") {
    const bytes: number[] = [];
    for (const character of token) {
      const byte = BYTE_OF.get(character.codePointAt(0)!);
      if (byte === undefined) return undefined;
      bytes.push(byte);
    }
    let spaces = 0;
    while (spaces < bytes.length && (bytes[spaces] === 0x20 || (bytes[spaces] >= 9 && bytes[spaces] <= 13))) spaces++;
    return { spaces, bytes: Uint8Array.from(bytes.slice(spaces)) };
  }
  if (kind === "wordpiece") return { spaces: 0, bytes: utf8.encode(normalise(prefix !== "" && token.startsWith(prefix) && token.length > prefix.length ? token.slice(prefix.length) : token, normalization)) };
  const byte = BYTE_TOKEN.exec(token);
  if (byte) return { spaces: 0, bytes: Uint8Array.of(parseInt(byte[1], 16)) };
  // Pieces are normalised already, but for a vocabulary that kept other forms.
  const spaces = /^[\u2581\s]*/u.exec(token)![0].length;
  return { spaces, bytes: utf8.encode(normalise(token.slice(spaces).replaceAll("\u2581", " "), normalization)) };
}
