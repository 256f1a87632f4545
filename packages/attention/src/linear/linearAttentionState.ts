import { exp } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, lastingData, rangeError, readJson, tensorToJSON, type TensorJSON, type TensorLike } from "@logits/tensor";
import { Group, emptyState, type LinearState } from "./chunks.ts";
import { FEATURE_MAPS, namedFeatureMap, type FeatureMap, type FeatureMapName } from "./featureMaps.ts";
import type { LinearAttentionOutput } from "./linearAttention.ts";
import { checkGates, checkMap, checkPowers, featuresOf, mapped, prepareLinear, type LinearAttentionOptions } from "./problem.ts";
import { emptyScale, rowScale, type LinearNormalizer } from "./rowScale.ts";

/** Sizes and kind of a LinearAttentionState. */
export interface LinearAttentionStateOptions extends Pick<LinearAttentionOptions, "featureMap" | "normalize" | "scale"> {
  /** Hkv, heads of keys and values. */
  readonly heads: number;
  /** D, length of a key. */
  readonly features: number;
  /** E, length of a value. Default D. */
  readonly width?: number;
  /** With normalize "count": a number, or one for each of the query heads that will attend, float32 [H], H a multiple of Hkv. Default 1. */
  readonly countPower?: number | TensorLike;
}

/** What LinearAttentionState.toJSON gives. */
export interface LinearAttentionStateJSON {
  readonly format: "logits/linear-attention-state";
  readonly version: 1;
  readonly features: number;
  readonly featureMap: string;
  readonly normalize: LinearNormalizer;
  readonly scale: number;
  readonly countPower: number | readonly number[];
  readonly length: number;
  /** The float64 sums as pairs of int32: products [Hkv, F, 2 E], keySum [Hkv, 2 F], valueSum [Hkv, 2 E]. */
  readonly products: TensorJSON;
  readonly keySum: TensorJSON;
  readonly valueSum: TensorJSON;
}

const FORMAT = "logits/linear-attention-state";
const NORMALIZERS = ["sum", "none", "count", "magnitude"] as const;

/**
 * Linear attention token by token: what all keys so far have left, F x E numbers a head in float64, of one size whatever the length. The recurrent form of `linearAttention` with `causal`.
 *
 * @example
 *   const state = new LinearAttentionState({ heads: 2, features: 4 });
 *   state.extend(queries, keys, values); // a prompt, [2, n, 4] each
 *   state.append(key, value); // [2, 4] each
 *   const { output } = state.attend(query); // [2, 4]
 * Source: Katharopoulos et al., "Transformers are RNNs", ICML 2020, section 3.4.
 */
export class LinearAttentionState {
  readonly heads: number;
  readonly features: number;
  readonly width: number;
  readonly featureMap: FeatureMap;
  readonly normalize: LinearNormalizer;
  readonly scale: number;
  readonly countPower: number | readonly number[];
  /** F, what the feature map makes of D. */
  readonly #mapped: number;
  #states: LinearState[];

  /**
   * A state before the first token.
   *
   * @param options - heads, features, width, and what linearAttention takes: featureMap, normalize, scale, countPower
   * @throws RangeError for sizes that are no integers from 1 on, and unknown names
   */
  constructor(options: LinearAttentionStateOptions) {
    const where = "LinearAttentionState", { heads, features, width = features, featureMap = "elu", normalize = "sum", countPower } = options;
    for (const [name, size] of Object.entries({ heads, features, width })) checkInteger(where, name, size, 1, 65536);
    const powers = countPower === undefined || typeof countPower === "number" ? undefined : asFloat32(where, "countPower", countPower);
    checkPowers(where, normalize, countPower, powers ? powers.size : 1);
    if (powers && (powers.size === 0 || powers.size % heads !== 0)) throw rangeError(where, "countPower", `of shape [H], H a multiple of ${heads}`, `[${powers.shape.join(", ")}]`);
    this.heads = heads;
    this.features = features;
    this.width = width;
    this.featureMap = checkMap(where, featureMap);
    this.normalize = normalize;
    this.countPower = powers ? Array.from(powers.data) : ((countPower as number | undefined) ?? 1);
    this.#mapped = featuresOf(where, this.featureMap, features);
    this.scale = options.scale ?? (normalize === "magnitude" ? 1 / Math.sqrt(this.#mapped) : 1);
    if (!Number.isFinite(this.scale)) throw rangeError(where, "scale", "finite", `${this.scale}`);
    this.#states = Array.from({ length: heads }, () => emptyState(this.#mapped, width));
  }

  /** Tokens added so far. */
  get length(): number {
    return this.#states[0].count;
  }

  /** Bytes of the sums: the same for every length. */
  get bytes(): number {
    return 8 * this.heads * (this.#mapped * this.width + this.#mapped + this.width);
  }

  /**
   * Adds tokens.
   *
   * @param key - float32 [Hkv, n, D]; for n = 1 also [Hkv, D]
   * @param value - float32 [Hkv, n, E]; for n = 1 also [Hkv, E]
   * @param options - `logGates` [Hkv, n] or [Hkv, n, F], without n where the key has none; with normalize "sum" or "none"
   * @throws RangeError for other shapes, log gates above 0
   */
  append(key: TensorLike, value: TensorLike, options: { readonly logGates?: TensorLike } = {}): void {
    const where = "LinearAttentionState.append", { count, k, v } = this.#tokens(where, key, value), { width, heads } = this, n = this.#mapped, phi = mapped(where, this.featureMap, new Tensor("float32", [heads * count, this.features], lastingData(k)), n);
    const gates = options.logGates === undefined ? undefined : this.#gates(where, options.logGates, k.shape.slice(0, -1));
    const { data } = v;
    for (let h = 0; h < heads; h++) {
      const { products, keySum, valueSum } = this.#states[h];
      for (let token = h * count; token < (h + 1) * count; token++) {
        const from = token * width;
        for (let f = 0, at = 0; f < n; f++) {
          const x = phi[token * n + f], gate = gates ? exp(gates.data[gates.width === 1 ? token : token * n + f]) : 1;
          // A gate of 0 forgets NaN too.
          if (gate === 0) {
            keySum[f] = 0;
            products.fill(0, at, at + width);
          }
          else if (gate !== 1) {
            keySum[f] *= gate;
            for (let e = at; e < at + width; e++) products[e] *= gate;
          }
          keySum[f] += x;
          for (let e = from; e < from + width; e++) products[at++] += x * data[e];
        }
        if (this.normalize === "magnitude") for (let e = 0; e < width; e++) valueSum[e] += data[from + e];
      }
      this.#states[h].count += count;
    }
  }

  /**
   * Attention of one token over all that were added.
   *
   * @param query - float32 [H, D], H a multiple of Hkv
   * @returns output [H, E] and rowSum [H]; 0 before the first token
   * @throws RangeError for other shapes
   */
  attend(query: TensorLike): LinearAttentionOutput {
    const where = "LinearAttentionState.attend", q = asFloat32(where, "query", query), { features, width } = this, groups = this.heads, n = this.#mapped;
    if (q.shape.length !== 2 || q.shape[1] !== features || q.shape[0] % groups !== 0) throw rangeError(where, "query", `of shape [H, ${features}] ([H, D]), H a multiple of ${groups}`, `[${q.shape.join(", ")}]`, q.shape.length === 3 ? "Several tokens go through `extend`" : undefined);
    const [heads] = q.shape, powers = this.#powers(where, heads), phi = mapped(where, this.featureMap, new Tensor("float32", q.shape, lastingData(q)), n), output = new Float32Array(heads * width), rowSum = new Float32Array(heads), out = new Float64Array(width), scale = emptyScale();
    for (let h = 0; h < heads; h++) {
      const { products, keySum, valueSum, count } = this.#states[Math.floor((h * groups) / heads)];
      let sum = 0;
      out.fill(0);
      for (let f = 0; f < n; f++) {
        const x = phi[h * n + f] * this.scale;
        sum += x * keySum[f];
        for (let e = 0, at = f * width; e < width; e++, at++) out[e] += x * products[at];
      }
      if (rowScale(this.normalize, sum, count, typeof powers === "object" ? powers[h] : (powers ?? 0), scale)) for (let e = 0; e < width; e++) output[h * width + e] = scale.beta * out[e] - scale.gamma * valueSum[e];
      rowSum[h] = sum;
    }
    return { output: new Tensor("float32", [heads, width], output), rowSum: new Tensor("float32", [heads], rowSum) };
  }

  /**
   * Adds tokens and gives what each attends to, itself included: a prompt, whole or in pieces, by chunks as in `linearAttention`.
   *
   * @param query - float32 [H, n, D], H a multiple of Hkv
   * @param key - float32 [Hkv, n, D]
   * @param value - float32 [Hkv, n, E]
   * @param options - `logGates` [Hkv, n] or [Hkv, n, F]; `chunkSize`
   * @returns output [H, n, E] and rowSum [H, n], within rounding of append and attend token by token
   * @throws RangeError for other shapes, log gates above 0
   */
  extend(query: TensorLike, key: TensorLike, value: TensorLike, options: Pick<LinearAttentionOptions, "logGates" | "chunkSize"> = {}): LinearAttentionOutput {
    const where = "LinearAttentionState.extend", { count, k, v } = this.#tokens(where, key, value), q = asFloat32(where, "query", query), { featureMap, normalize, scale } = this;
    if (k.shape.length !== 3) throw rangeError(where, "key", `of shape [${this.heads}, n, ${this.features}] ([Hkv, n, D])`, `[${k.shape.join(", ")}]`);
    if (q.shape.length !== 3 || q.shape[1] !== count) throw rangeError(where, "query", `of shape [H, ${count}, ${this.features}] ([H, n, D])`, `[${q.shape.join(", ")}]`);
    const [heads] = q.shape, countPower = this.#powers(where, heads), { problem } = prepareLinear(where, q, k, v, { ...options, featureMap, normalize, scale, causal: true, ...(countPower !== undefined && { countPower }) });
    const sums = new Float64Array(heads * count), raw = new Float32Array(sums.length * this.width), states = this.#states.map(copy);
    for (const [g, state] of states.entries()) {
      const group = new Group(problem, 0, g, this.#states[g]), own = (heads / this.heads) * count, results = raw.subarray(g * own * this.width, (g + 1) * own * this.width), totals = sums.subarray(g * own, (g + 1) * own);
      group.forward(state, results, totals, false);
      group.normalize(results, totals);
    }
    this.#states = states;
    return { output: new Tensor("float32", [heads, count, this.width], raw), rowSum: new Tensor("float32", [heads, count], new Float32Array(sums)) };
  }

  /** The state as it is now, for a branch: drafts that may be rejected, beams. */
  clone(): LinearAttentionState {
    const { heads, features, width, featureMap, normalize, scale, countPower } = this, made = new LinearAttentionState({ heads, features, width, featureMap, normalize, scale, ...(normalize === "count" && { countPower }) });
    made.#states = this.#states.map(copy);
    return made;
  }

  /** Plain JSON, bit by bit. RangeError where the sums are not finite. */
  toJSON(): LinearAttentionStateJSON {
    const { heads, features, width, featureMap: { name: featureMap }, normalize, scale, countPower, length } = this, n = this.#mapped;
    const pairs = (shape: readonly number[], part: (state: LinearState) => Float64Array): TensorJSON => {
      const made = new Int32Array(shape.reduce((a, b) => a * b, 1)), size = made.length / heads;
      for (const [h, state] of this.#states.entries()) {
        const sums = part(state), bad = sums.findIndex((x) => !Number.isFinite(x));
        if (bad >= 0) throw rangeError("LinearAttentionState.toJSON", "this", "with finite sums", `${sums[bad]} in head ${h}`);
        made.set(new Int32Array(sums.buffer, sums.byteOffset, size), h * size);
      }
      return tensorToJSON(new Tensor("int32", shape, made));
    };
    return {
      format: FORMAT, version: 1, features, featureMap, normalize, scale, countPower, length,
      products: pairs([heads, n, 2 * width], ({ products }) => products), keySum: pairs([heads, 2 * n], ({ keySum }) => keySum), valueSum: pairs([heads, 2 * width], ({ valueSum }) => valueSum),
    };
  }

  /**
   * The state that toJSON wrote.
   *
   * @param json - what toJSON gave, through text or not
   * @param options - `featureMap`: your own, where the state had one; of the same name
   * @throws FormatError for anything else
   */
  static fromJSON(json: unknown, options: { readonly featureMap?: FeatureMap } = {}): LinearAttentionState {
    const where = "LinearAttentionState.fromJSON", fields = readJson(where, json, FORMAT, 1, "@logits/attention"), features = fields.integer("features", 1, 65536), named = fields.string("featureMap"), { featureMap: own } = options;
    const normalize = fields.oneOf("normalize", NORMALIZERS), scale = fields.number("scale"), powers = fields.value("countPower"), length = fields.integer("length", 0, Number.MAX_SAFE_INTEGER);
    if (own ? own.name !== named : !FEATURE_MAPS.includes(named as FeatureMapName)) fields.fail("featureMap", own ? `"${own.name}", the map that was given` : FEATURE_MAPS.map((name) => `"${name}"`).join(" or "), `"${named}"`, own ? undefined : "Give your own map as `featureMap`");
    if (![powers].flat().every((power) => Number.isFinite(power))) fields.fail("countPower", "a finite number or a list of them", JSON.stringify(powers));
    if (normalize !== "count" && powers !== 1) fields.fail("countPower", `1 with normalize "${normalize}"`, JSON.stringify(powers));
    const countPower = Array.isArray(powers) ? Float32Array.from(powers as number[]) : (powers as number);
    const products = fields.tensor("products", "int32", 3), [heads, n, double] = products.shape, width = double / 2;
    if (heads < 1 || heads > 65536 || !Number.isInteger(width) || width < 1 || width > 65536) fields.fail("products", "of shape [Hkv, F, 2 E]", `[${products.shape.join(", ")}]`);
    if (Array.isArray(powers) && (powers.length === 0 || powers.length % heads !== 0)) fields.fail("countPower", `a multiple of ${heads} numbers`, `${powers.length}`);
    const expected = featuresOf(where, own ?? namedFeatureMap(named as FeatureMapName), features);
    if (expected !== n) fields.fail("products", `with F = ${expected}, as "${named}" makes of ${features}`, `${n}`);
    const made = new LinearAttentionState({ heads, features, width, featureMap: own ?? (named as FeatureMapName), normalize, scale, ...(normalize === "count" && { countPower }) });
    const sums = (field: string, shape: readonly number[], own: Tensor<"int32">): Float64Array => {
      if (own.shape.some((size, axis) => size !== shape[axis])) fields.fail(field, `of shape [${shape.join(", ")}]`, `[${own.shape.join(", ")}]`);
      const bits = new Float64Array(own.size / 2);
      new Int32Array(bits.buffer).set(own.data);
      if (!bits.every(Number.isFinite)) fields.fail(field, "finite numbers", "others");
      return bits;
    };
    const all = sums("products", products.shape, products), keySums = sums("keySum", [heads, 2 * n], fields.tensor("keySum", "int32", 2)), valueSums = sums("valueSum", [heads, 2 * width], fields.tensor("valueSum", "int32", 2));
    made.#states = Array.from({ length: heads }, (_, h) => ({ products: all.slice(h * n * width, (h + 1) * n * width), keySum: keySums.slice(h * n, (h + 1) * n), valueSum: valueSums.slice(h * width, (h + 1) * width), count: length }));
    return made;
  }

  #tokens(where: string, key: TensorLike, value: TensorLike): { readonly count: number; readonly k: Tensor<"float32">; readonly v: Tensor<"float32"> } {
    const { heads, features, width } = this, k = asFloat32(where, "key", key), v = asFloat32(where, "value", value), axes = k.shape.length, count = axes === 2 ? 1 : k.shape[1];
    const fits = ({ shape }: Tensor, last: number): boolean => shape.length === axes && shape[0] === heads && shape[axes - 1] === last && (axes === 2 || (axes === 3 && shape[1] === count));
    if (!fits(k, features)) throw rangeError(where, "key", `of shape [${heads}, n, ${features}] ([Hkv, n, D])`, `[${k.shape.join(", ")}]`);
    if (!fits(v, width)) throw rangeError(where, "value", `of shape [${heads}, ${axes === 2 ? "" : `${count}, `}${width}] ([${axes === 2 ? "Hkv, E" : "Hkv, n, E"}])`, `[${v.shape.join(", ")}]`);
    return { count, k, v };
  }

  /** The power of all query heads or of each, where powers count. */
  #powers(where: string, heads: number): number | readonly number[] | undefined {
    const { normalize, countPower } = this;
    if (normalize !== "count") return undefined;
    if (typeof countPower !== "number" && countPower.length !== heads) throw rangeError(where, "query", `of ${countPower.length} heads, as \`countPower\``, `${heads}`);
    return countPower;
  }

  #gates(where: string, logGates: TensorLike, leading: readonly number[]): { readonly data: Float32Array; readonly width: number } {
    if (this.normalize !== "sum" && this.normalize !== "none") throw rangeError(where, "logGates", 'with normalize "sum" or "none"', `"${this.normalize}"`);
    return checkGates(where, logGates, leading, this.#mapped, leading.length === 1 ? "Hkv" : "Hkv, n");
  }
}

function copy({ products, keySum, valueSum, count }: LinearState): LinearState {
  return { products: products.slice(), keySum: keySum.slice(), valueSum: valueSum.slice(), count };
}
