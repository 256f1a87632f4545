/** The first 32 bits of the fractional parts of the square (n = 2) or cube (n = 3) roots of the first primes: the constants of FIPS 180-4, by integer arithmetic. */
function roots(count: number, n: 2 | 3): Int32Array {
  const out = new Int32Array(count);
  for (let i = 0, p = 2; i < count; p++) {
    let prime = true;
    for (let d = 2; d * d <= p; d++) if (p % d === 0) prime = false;
    if (!prime) continue;
    const target = BigInt(p) << BigInt(32 * n);
    let root = 0n;
    for (let bit = 1n << 36n; bit > 0n; bit >>= 1n) {
      const next = root + bit;
      if (next * next * (n === 3 ? next : 1n) <= target) root = next;
    }
    out[i++] = Number(root & 0xffffffffn);
  }
  return out;
}

let constants: { readonly start: Int32Array; readonly k: Int32Array } | undefined;

/** A digest in the making. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** 64 hexadecimal digits of all bytes so far; ends the digest. */
  digest(): string;
}

/**
 * SHA-256 without `await` (which `crypto.subtle` would need), of bytes that may come in pieces.
 *
 * Source: FIPS 180-4, section 6.2.
 */
export function sha256Stream(): Sha256 {
  const { start, k } = (constants ??= { start: roots(8, 2), k: roots(64, 3) });
  const h = start.slice(), w = new Int32Array(64), block = new Uint8Array(64);
  let filled = 0, length = 0;
  const update = (bytes: Uint8Array): void => {
    length += bytes.length;
    for (let from = 0; from < bytes.length; ) {
      if (filled === 0 && bytes.length - from >= 64) {
        compress(h, w, k, bytes, from);
        from += 64;
        continue;
      }
      block[filled++] = bytes[from++];
      if (filled === 64) compress(h, w, k, block, (filled = 0));
    }
  };
  const digest = (): string => {
    const tail = new Uint8Array((filled < 56 ? 64 : 128) - filled);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(length / 2 ** 29));
    view.setUint32(tail.length - 4, length << 3);
    update(tail);
    return Array.from(h, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  };
  return { update, digest };
}

/** SHA-256 of the parts, one after the other, as 64 hexadecimal digits. */
export function sha256(...parts: readonly Uint8Array[]): string {
  const hash = sha256Stream();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** One block of 64 bytes. */
function compress(h: Int32Array, w: Int32Array, k: Int32Array, bytes: Uint8Array, start: number): void {
  for (let t = 0, i = start; t < 16; t++, i += 4) w[t] = (bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3];
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15], y = w[t - 2];
    w[t] = (((w[t - 16] + w[t - 7]) | 0) + (((turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0)) | 0;
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
  for (let t = 0; t < 64; t++) {
    const first = (((((last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25))) | 0) + ((e & f) ^ (~e & g))) | 0) + ((k[t] + w[t]) | 0)) | 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    last = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  h[0] += a;
  h[1] += b;
  h[2] += c;
  h[3] += d;
  h[4] += e;
  h[5] += f;
  h[6] += g;
  h[7] += last;
}

function turn(x: number, n: number): number {
  return (x >>> n) | (x << (32 - n));
}
