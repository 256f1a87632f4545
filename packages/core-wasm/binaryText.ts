/**
 * A binary as text for a JavaScript literal. Bytes stay whole, so that gzip sees the second variant beside the first, and frequent ones take one character:
 * 5.9 KB gzip for a page with softmax, where hexadecimal takes 6.2 KB and base64, which cuts across bytes, 6.8 KB.
 *
 * A byte is the digit d = byte + 5 mod 256: small numbers and 0xfd, the prefix of SIMD instructions, come first. d < 90 is one character, the others are two, the first of them digit 90 or 91.
 * Digits are the characters from "#" on; "!" stands for the backslash, which a literal would have to escape. `decode` in src/family.ts reads it.
 */
export function binaryText(bytes: Uint8Array): string {
  const digit = (d: number): string => (d === 57 ? "!" : String.fromCharCode(35 + d));
  return Array.from(bytes, (byte) => {
    const d = (byte + 5) & 255;
    return d < 90 ? digit(d) : digit(90 + Math.floor((d - 90) / 92)) + digit((d - 90) % 92);
  }).join("");
}
