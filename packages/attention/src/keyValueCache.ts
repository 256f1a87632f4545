import { core, type ResidentTensor } from "@logits/core-wasm";
import { attentionDecode, cacheFormat, type CacheDType, type CacheFormat } from "@logits/core-wasm/decode";
import { log } from "@logits/statistics";
import { DisposedError, Tensor, asFloat32, asInt32, checkInteger, checkShape, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { attentionWithin, type AttentionOutput } from "./attention.ts";
import { prepare, type AttentionOptions } from "./options.ts";

/** Sizes of a KeyValueCache. */
export interface KeyValueCacheOptions {
  /** Hkv, heads of keys and values. */
  readonly heads: number;
  /** D, length of a key. */
  readonly features: number;
  /** E, length of a value. Default D. */
  readonly width?: number;
  /** Tokens of a page, a multiple of 64. Default 64. */
  readonly pageSize?: number;
  /** How numbers are held: "float16" within max(2^-11 |x|, 2^-15), "int8" within 1.0001 max |x| / 254 of the D (E) numbers of a token and head. Default "float32". */
  readonly dtype?: CacheDType;
}

/** What attend takes: what attention takes, for queries at the end of the cache that see what stands before them. */
export type AttendOptions = Pick<AttentionOptions, "scale" | "windowSize" | "softCap" | "sigmoidBias" | "sinks" | "softmaxOne" | "positionBias"> & { /** As of `attention`; not one of whole rows. */ readonly normalizer?: "softmax" | "sigmoid" };

/** From this many queries on, the tiles of `attention` on a contiguous copy pay. */
const TILED = 64;

/**
 * Keys and values of one sequence and layer in WebAssembly memory, in pages that are added as the sequence grows and are never moved: what decoding reads, token by token.
 *
 * @example
 *   const cache = new KeyValueCache({ heads: 2, features: 4 });
 *   cache.append(keys, values); // [2, n, 4] each
 *   const { output } = cache.attend(query); // [H, 4]
 *   cache.dispose();
 * Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention", SOSP 2023, for pages; Ainslie et al., "GQA", EMNLP 2023, for heads that share keys.
 */
export class KeyValueCache {
  readonly heads: number;
  readonly features: number;
  readonly width: number;
  readonly pageSize: number;
  readonly dtype: CacheDType;
  readonly #format: CacheFormat;
  readonly #pages: ResidentTensor<"float32">[] = [];
  #length = 0;
  #disposed = false;

  /**
   * An empty cache.
   *
   * @param options - heads, features, width, pageSize, dtype
   * @throws RangeError for sizes that are no integers from 1 on, a pageSize that is no multiple of 64, or another dtype
   */
  constructor(options: KeyValueCacheOptions) {
    const { heads, features, width = features, pageSize = 64, dtype = "float32" } = options;
    for (const [name, size] of Object.entries({ heads, features, width, pageSize })) checkInteger("KeyValueCache", name, size, 1, 65536);
    if (pageSize % 64 !== 0) throw rangeError("KeyValueCache", "pageSize", "a multiple of 64", `${pageSize}`);
    if (dtype !== "float32" && dtype !== "float16" && dtype !== "int8") throw rangeError("KeyValueCache", "dtype", '"float32", "float16" or "int8"', `${dtype as string}`);
    this.heads = heads;
    this.features = features;
    this.width = width;
    this.pageSize = pageSize;
    this.dtype = dtype;
    this.#format = cacheFormat(dtype, { groups: heads, features, width, pageSize });
  }

  /** Tokens held. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of WebAssembly memory held. */
  get bytes(): number {
    return this.#pages.length * this.#format.pageBytes;
  }

  /**
   * Adds tokens at the end.
   *
   * @param key - float32 [Hkv, n, D]; for n = 1 also [Hkv, D]
   * @param value - float32 [Hkv, n, E]; for n = 1 also [Hkv, E]
   * @throws RangeError for other shapes, and for numbers that the dtype does not hold (nothing is added then); DisposedError after dispose()
   */
  append(key: TensorLike, value: TensorLike): void {
    this.#alive("append");
    const { heads, features, width, pageSize } = this, where = "KeyValueCache.append", k = asFloat32(where, "key", key), v = asFloat32(where, "value", value);
    const count = k.shape.length === 2 ? 1 : k.shape[1], fits = ({ shape }: Tensor, last: number): boolean => shape[0] === heads && shape[shape.length - 1] === last && (shape.length === 3 ? shape[1] === count : shape.length === 2 && count === 1);
    if (!fits(k, features)) throw rangeError(where, "key", `of shape [${heads}, n, ${features}] ([Hkv, n, D])`, `[${k.shape.join(", ")}]`);
    if (!fits(v, width)) throw rangeError(where, "value", `of shape [${heads}, ${count}, ${width}] ([Hkv, n, E])`, `[${v.shape.join(", ")}]`);
    let done = 0;
    try {
      while (this.#pages.length * pageSize < this.#length + count) this.#pages.push(core.alloc([this.#format.pageBytes / 4]));
      for (let n = 0; done < count; done += n) {
        const at = this.#length + done, inside = at % pageSize;
        n = Math.min(pageSize - inside, count - done);
        this.#format.write(where, this.#pages[Math.floor(at / pageSize)].pointer, inside, n, k.data, v.data, done, count);
      }
      this.#length += count;
    } finally {
      // What a refused append had begun.
      this.truncate(this.#length);
    }
  }

  /**
   * Attention of the last T tokens of the cache, causal: query i sees the keys up to its own, the (S - T + i)-th, which `append` has added before.
   *
   * @param query - float32 [H, D] (T = 1) or [H, T, D], H a multiple of Hkv, T at most the length
   * @param options - as of `attention`; sigmoidBias is -log of the length where none is given
   * @returns output [H, E] or [H, T, E], logSumExp [H] or [H, T]; within rounding of `attention` with `causal`
   * @throws RangeError for other shapes and options; DisposedError after dispose()
   */
  attend(query: TensorLike, options: AttendOptions = {}): AttentionOutput {
    this.#alive("attend");
    const { features, width, heads: groups } = this, length = this.#length, where = "KeyValueCache.attend", q = asFloat32(where, "query", query), { shape } = q, single = shape.length === 2, heads = shape[0], queries = single ? 1 : shape[1];
    if ((!single && shape.length !== 3) || shape[shape.length - 1] !== features || heads % groups !== 0) throw rangeError(where, "query", `of shape [H, ${features}] or [H, T, ${features}] ([H, T, D]), H a multiple of ${groups}`, `[${shape.join(", ")}]`);
    if (queries > length) throw rangeError(where, "query", `with T <= ${length}, the tokens of the cache`, `${queries}`, "Append their keys first");
    const { windowSize = Infinity, positionBias } = options;
    if (typeof options.normalizer === "object") throw rangeError(where, "normalizer", '"softmax" or "sigmoid"', (options.normalizer as { name: string }).name);
    // Checks the options, on no keys.
    const { problem } = prepare(where, { data: new Float32Array(0), shape: [heads, 0, features] }, { data: new Float32Array(0), shape: [groups, 0, features] }, { data: new Float32Array(0), shape: [groups, 0, width] }, options);
    if (queries >= TILED) {
      const held = this.toTensors();
      return attentionWithin(where, q, held.key, held.value, { ...options, causal: true });
    }
    const shifts = problem.shifts && options.sigmoidBias === undefined ? problem.shifts.fill(-log(length)) : problem.shifts;
    const to = Int32Array.from({ length: queries }, (_, i) => length - queries + i + 1), from = to.map((end) => Math.max(0, end - windowSize)), most = Math.min(length, windowSize);
    const relative = positionBias && Float32Array.from({ length: heads * most }, (_, at) => positionBias.value(Math.floor(at / most), at % most));
    const { output, logSumExp } = attentionDecode({
      heads, queries, format: this.#format, query: lastingData(q), scale: problem.scale, softCap: problem.softCap, shifts, sinks: problem.sinks, from, to, relative, page: (index) => this.#pages[index].pointer,
    });
    return { output: new Tensor("float32", [...shape.slice(0, -1), width], output), logSumExp: new Tensor("float32", shape.slice(0, -1), logSumExp) };
  }

  /**
   * Forgets the tokens from `length` on: after rejected drafts, or to use a prefix again. Pages that are left over are given back.
   *
   * @param length - 0 to the length
   */
  truncate(length: number): void {
    this.#alive("truncate");
    checkInteger("KeyValueCache.truncate", "length", length, 0, this.#length);
    this.#length = length;
    for (const page of this.#pages.splice(Math.ceil(length / this.pageSize))) page.dispose();
  }

  /**
   * Keeps some tokens and forgets the others: what an eviction rule has chosen, by position or by score. They move together, with the numbers that the cache holds; windows and biases by distance then count the tokens that are left.
   * Keys that were turned by position (RoPE) keep their turn. Pages that are left over are given back.
   *
   * @param tokens - int32 [n], indices from 0 to length - 1, ascending, without repetition; [] forgets all
   * @throws RangeError for other indices; DisposedError after dispose()
   */
  keep(tokens: TensorLike): void {
    this.#alive("keep");
    const where = "KeyValueCache.keep", { data, shape } = asInt32(where, "tokens", tokens), { pageSize } = this;
    checkShape(where, "tokens", { shape }, ["n"]);
    for (let i = 0; i < data.length; i++) if (data[i] <= (i > 0 ? data[i - 1] : -1) || data[i] >= this.#length) throw rangeError(where, "tokens", `ascending indices in [0, ${this.#length - 1}]`, `${data[i]} at index ${i}`);
    const at = (token: number): number => this.#pages[Math.floor(token / pageSize)].pointer;
    for (let i = 0; i < data.length; i++) if (data[i] !== i) this.#format.copy(at(data[i]), data[i] % pageSize, at(i), i % pageSize);
    this.truncate(data.length);
  }

  /** Keys [Hkv, S, D] and values [Hkv, S, E] as ordinary tensors, with the numbers that the cache holds. */
  toTensors(): { readonly key: Tensor<"float32">; readonly value: Tensor<"float32"> } {
    this.#alive("toTensors");
    const { heads, features, width, pageSize } = this, length = this.#length, key = new Float32Array(heads * length * features), value = new Float32Array(heads * length * width);
    for (let first = 0; first < length; first += pageSize) this.#format.read(this.#pages[first / pageSize].pointer, 0, Math.min(pageSize, length - first), key, value, first, length);
    return { key: new Tensor("float32", [heads, length, features], key), value: new Tensor("float32", [heads, length, width], value) };
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    this.#disposed = true;
    for (const page of this.#pages.splice(0)) page.dispose();
  }

  #alive(method: string): void {
    if (this.#disposed) throw new DisposedError(`KeyValueCache.${method}: expected a live cache, got one after dispose()`);
  }
}
