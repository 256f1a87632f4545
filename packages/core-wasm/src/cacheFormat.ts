import { rangeError } from "@logits/tensor";
import { wasmMemory } from "./memory.ts";

/** How a cache holds its numbers. */
export type CacheDType = "float32" | "float16" | "int8";

/** Sizes of a page. */
export interface CacheSizes {
  /** G, heads of keys and values. */
  readonly groups: number;
  /** D. */
  readonly features: number;
  /** E. */
  readonly width: number;
  /** P, tokens of a page, a multiple of 64. */
  readonly pageSize: number;
}

/** A page's layout, as assembly/decode.ts reads it: a block for each head, scales before keys before values. Pages begin as zeros. */
export interface CacheFormat extends CacheSizes {
  readonly dtype: CacheDType;
  /** Where keys begin in a block, in bytes. */
  readonly keysAt: number;
  readonly valuesAt: number;
  readonly blockBytes: number;
  readonly pageBytes: number;
  /**
   * Writes tokens into a page, for every head: key [G, count, D] and value [G, count, E] from token `from` on, to token `at` of the page.
   *
   * @throws RangeError for a number that the dtype does not hold; the page may then hold some of the tokens
   */
  write(where: string, page: number, at: number, n: number, key: Float32Array, value: Float32Array, from: number, count: number): void;
  /** Reads them again as float32, to the same places. */
  read(page: number, at: number, n: number, key: Float32Array, value: Float32Array, from: number, count: number): void;
  /** Copies what is held of one token to another place. */
  copy(page: number, at: number, toPage: number, toAt: number): void;
}

/** Elements, codes and inverses of one dtype: `index` is the element of row (token) and column within keys or values, in elements of the array. */
interface Cells {
  readonly keys: (token: number, feature: number) => number;
  readonly values: (token: number, column: number) => number;
}

const eight = (n: number): number => (n + 7) & ~7;

/** Elements of 8 tokens or columns side by side. */
function plain({ features, pageSize }: CacheSizes, order: readonly number[]): Cells {
  return { keys: (token, feature) => ((token >> 3) * features + feature) * 8 + order[token & 7], values: (token, column) => ((column >> 3) * pageSize + token) * 8 + order[column & 7] };
}

/** Four tokens with four features each side by side; four columns with four tokens each. */
function squares({ features, pageSize }: CacheSizes): Cells {
  const deep = (features + 3) >> 2, order = [0, 2, 1, 3];
  return {
    keys: (token, feature) => (((token >> 2) * deep + (feature >> 2)) * 4 + (token & 3)) * 4 + (feature & 3),
    values: (token, column) => (((column >> 2) * (pageSize >> 2) + (token >> 2)) * 4 + (column & 3)) * 4 + order[token & 3],
  };
}

const FLOAT = /* @__PURE__ */ new Float32Array(1), BITS = /* @__PURE__ */ new Uint32Array(FLOAT.buffer);

/** float16 bits of x, to nearest, ties to even; below 2^-14, where float16 has fewer digits, to the nearer of 0 and 2^-14. NaN where it does not fit. */
function half(x: number): number {
  FLOAT[0] = x;
  const bits = BITS[0], sign = (bits >>> 16) & 0x8000, rest = bits & 0x7fffffff;
  // 2^-15 and 2^-14.
  if (rest < 0x38800000) return sign | (rest < 0x38000000 ? 0 : 0x400);
  const rounded = (rest + 0xfff + ((rest >>> 13) & 1)) >>> 13;
  // 65536 is 0x8f8 << 6 here: what rounds to it, and NaN, does not fit.
  return rounded >= 0x23c00 ? NaN : sign | (rounded - 0x1c000);
}

function single(h: number): number {
  BITS[0] = (h & 0x7fff) === 0 ? (h & 0x8000) << 16 : ((h & 0x8000) << 16) | (((h & 0x7fff) + 0x1c000) << 13);
  return FLOAT[0];
}

const refused = (where: string, argument: string, dtype: CacheDType, x: number): RangeError => rangeError(where, argument, dtype === "int8" ? "finite, for an int8 cache" : "within [-65504, 65504], for a float16 cache", `${x}`, "Use dtype float32");

/**
 * The layout of pages of one dtype.
 *
 * float32 holds what it is given. float16 holds x within max(2^-11 |x|, 2^-15). int8 holds the D (E) numbers of a token and head as integers times a float32 scale, max |x| / 127: within 1.0001 max |x| / 254.
 *
 * @param dtype - "float32", "float16" or "int8"
 * @param sizes - groups, features, width, pageSize
 */
export function cacheFormat(dtype: CacheDType, sizes: CacheSizes): CacheFormat {
  const { groups, features, width, pageSize } = sizes, columns = eight(width);
  const size = dtype === "float32" ? 4 : dtype === "float16" ? 2 : 1, depth = dtype === "int8" ? (features + 3) & ~3 : features;
  const keysAt = dtype === "int8" ? 12 * pageSize : 0, valuesAt = keysAt + size * pageSize * depth, blockBytes = valuesAt + size * pageSize * columns, base = (valuesAt - keysAt) / size;
  const cells = dtype === "int8" ? squares(sizes) : plain(sizes, dtype === "float16" ? [0, 2, 4, 6, 1, 3, 5, 7] : [0, 1, 2, 3, 4, 5, 6, 7]);
  const arrays = (at: number): Float32Array | Uint16Array | Int8Array => {
    const { buffer } = wasmMemory(), from = at + keysAt, bytes = blockBytes - keysAt;
    return dtype === "float32" ? new Float32Array(buffer, from, bytes / 4) : dtype === "float16" ? new Uint16Array(buffer, from, bytes / 2) : new Int8Array(buffer, from, bytes);
  };
  /** Scales of the keys, room for sums, scales of the values. */
  const scales = (at: number): Float32Array => (dtype === "int8" ? new Float32Array(wasmMemory().buffer, at, 3 * pageSize) : FLOAT);
  const sums = ({ buffer, byteOffset }: Float32Array): Int32Array => new Int32Array(buffer, byteOffset + 4 * pageSize, pageSize);
  /** Each run of numbers that share a scale: keys and values of a token and head, and where they stand in the argument. */
  const runs = (page: number, n: number, from: number, count: number, visit: (held: ReturnType<typeof arrays>, scale: Float32Array, token: number, keys: boolean, start: number) => void): void => {
    for (let g = 0; g < groups; g++) {
      const held = arrays(page + g * blockBytes), scale = scales(page + g * blockBytes);
      for (let i = 0; i < n; i++) {
        visit(held, scale, i, true, (g * count + from + i) * features);
        visit(held, scale, i, false, (g * count + from + i) * width);
      }
    }
  };
  return {
    ...sizes, dtype, keysAt, valuesAt, blockBytes, pageBytes: groups * blockBytes,
    write(where, page, at, n, key, value, from, count): void {
      runs(page, n, from, count, (to, scaling, i, keys, start) => {
        const x = keys ? key : value, length = keys ? features : width, token = at + i, offset = keys ? 0 : base, place = keys ? cells.keys : cells.values;
        let by = 1;
        if (dtype === "int8") {
          let top = 0;
          for (let i = start; i < start + length; i++) {
            const a = Math.abs(x[i]);
            if (!(a <= 3.4028234663852886e38)) throw refused(where, keys ? "key" : "value", dtype, x[i]);
            if (a > top) top = a;
          }
          const scale = Math.fround(top / 127);
          scaling[(keys ? 0 : 2 * pageSize) + token] = scale;
          by = scale === 0 ? 0 : 1 / scale;
        }
        let sum = 0;
        for (let i = 0; i < length; i++) {
          let v = x[start + i];
          if (dtype === "int8") sum += v = Math.max(-127, Math.min(127, Math.round(v * by)));
          else if (dtype === "float16") {
            v = half(v);
            if (Number.isNaN(v)) throw refused(where, keys ? "key" : "value", dtype, x[start + i]);
          }
          to[offset + place(token, i)] = v;
        }
        if (dtype === "int8" && keys) sums(scaling)[token] = sum;
      });
    },
    read(page, at, n, key, value, from, count): void {
      runs(page, n, from, count, (held, scaling, i, keys, start) => {
        const y = keys ? key : value, length = keys ? features : width, token = at + i, offset = keys ? 0 : base, place = keys ? cells.keys : cells.values;
        const by = dtype === "int8" ? scaling[(keys ? 0 : 2 * pageSize) + token] : 1;
        for (let i = 0; i < length; i++) {
          const v = held[offset + place(token, i)];
          y[start + i] = dtype === "float16" ? single(v) : by * v;
        }
      });
    },
    copy(page, at, toPage, toAt): void {
      for (let g = 0; g < groups; g++) {
        const from = arrays(page + g * blockBytes), to = arrays(toPage + g * blockBytes);
        for (let i = 0; i < features; i++) to[cells.keys(toAt, i)] = from[cells.keys(at, i)];
        for (let i = 0; i < width; i++) to[base + cells.values(toAt, i)] = from[base + cells.values(at, i)];
        if (dtype !== "int8") continue;
        const scale = scales(page + g * blockBytes), toScale = scales(toPage + g * blockBytes);
        for (const kind of [0, 2 * pageSize]) toScale[kind + toAt] = scale[kind + at];
        sums(toScale)[toAt] = sums(scale)[at];
      }
    },
  };
}
