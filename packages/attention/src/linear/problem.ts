import { Tensor, asFloat32, asInt32, checkInteger, lastingData, rangeError, type TensorLike } from "@logits/tensor";
import { headsOf } from "../heads.ts";
import { FEATURE_MAPS, borrowsName, namedFeatureMap, type FeatureMap, type FeatureMapName } from "./featureMaps.ts";
import type { LinearNormalizer } from "./rowScale.ts";

/** How linear attention weighs, and which keys a query sees. */
export interface LinearAttentionOptions {
  /** phi, applied to queries and keys: "elu" (elu(x) + 1), "relu", "exp", "cosine" (x / |x|), "identity", or your own. Default "elu". */
  readonly featureMap?: FeatureMapName | FeatureMap;
  /** "sum": weights divided by their sum. "none". "count": divided by n^countPower, n the keys that the query sees. "magnitude": MALA's beta and gamma. Default "sum". */
  readonly normalize?: LinearNormalizer;
  /** With normalize "count": a number or float32 [H]. Cottention's is sigmoid(m). Default 1. */
  readonly countPower?: number | TensorLike;
  /** What phi(q) . phi(k) is multiplied with. Default 1, with normalize "magnitude" 1 / sqrt(F). */
  readonly scale?: number;
  /** A query sees no key behind its own position, the last query standing at the last key. Default false, with logGates true. */
  readonly causal?: boolean;
  /** float32 [B, Hkv, S] (one gate for a token) or [B, Hkv, S, F] (one for each feature), at most 0: the state is multiplied with exp(logGates[j]) before key j is added. Default none. With normalize "sum" or "none". */
  readonly logGates?: TensorLike;
  /** int32 [B]: keys from lengths[b] on are padding and seen by nobody. */
  readonly lengths?: TensorLike;
  /** Tokens of a chunk, at most 1024: results differ by rounding. Default 64. */
  readonly chunkSize?: number;
}

/** Log gates in float32, one for a token or `width` for its features. */
export interface Gates {
  readonly data: Float32Array;
  readonly width: number;
}

/** A checked call: arguments [B, H, T, D], [B, Hkv, S, D] and [B, Hkv, S, E]; the map makes F features of D, the query's are multiplied with `scale`. */
export interface LinearProblem {
  /** The caller, for messages. */
  readonly where: string;
  readonly batch: number;
  readonly heads: number;
  readonly groups: number;
  readonly queries: number;
  readonly keys: number;
  /** D. */
  readonly size: number;
  /** F. */
  readonly features: number;
  readonly width: number;
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly map: FeatureMap;
  readonly scale: number;
  readonly gates: Gates | undefined;
  /** Keys of each item that are no padding. */
  readonly lengths: Int32Array;
  readonly causal: boolean;
  readonly chunkSize: number;
  readonly normalize: LinearNormalizer;
  /** [H], with normalize "count". */
  readonly powers: Float64Array | undefined;
}

/** A checked call and the shapes in which it was made. */
export interface LinearCall {
  readonly problem: LinearProblem;
  readonly queryShape: readonly number[];
  readonly keyShape: readonly number[];
  readonly valueShape: readonly number[];
  readonly gateShape: readonly number[] | undefined;
  readonly powerGiven: boolean;
}

const NORMALIZERS: readonly LinearNormalizer[] = ["sum", "none", "count", "magnitude"];
const listed = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(" or ");

/** The map of a name, or the one that was given. */
export function checkMap(where: string, featureMap: FeatureMapName | FeatureMap): FeatureMap {
  if (typeof featureMap !== "string") {
    if (borrowsName(featureMap)) throw rangeError(where, "featureMap", "with a name of its own", `"${featureMap.name}"`);
    return featureMap;
  }
  if (!FEATURE_MAPS.includes(featureMap)) throw rangeError(where, "featureMap", `${listed(FEATURE_MAPS)} or an object`, `${featureMap as string}`);
  return namedFeatureMap(featureMap);
}

const fits = ({ shape }: Tensor, rows: number, columns: number): boolean => shape.length === 2 && shape[0] === rows && shape[1] === columns;

/** The features of rows [N, D]: [N, F]. */
export function mapped(where: string, map: FeatureMap, x: Tensor<"float32">, features: number): Float32Array {
  const made = map.apply(x), { shape: [rows] } = x;
  if (!fits(made, rows, features)) throw rangeError(where, "featureMap", `that gives [${rows}, ${features}] from [${x.shape.join(", ")}]`, `[${made.shape.join(", ")}] from "${map.name}"`);
  return lastingData(made);
}

/** The gradient in rows [N, D] from that in their features [N, F]. */
export function mappedGradient(where: string, map: FeatureMap, x: Tensor<"float32">, upstream: Tensor<"float32">): Float32Array {
  const made = map.gradient(x, upstream), [rows, size] = x.shape;
  if (!fits(made, rows, size)) throw rangeError(where, "featureMap", `with a gradient of shape [${rows}, ${size}]`, `[${made.shape.join(", ")}] from "${map.name}"`);
  return made.data;
}

/** F, asked of a row of zeros. */
export function featuresOf(where: string, map: FeatureMap, size: number): number {
  const { shape } = map.apply(new Tensor("float32", [1, size], new Float32Array(size)));
  if (shape.length !== 2 || shape[0] !== 1 || shape[1] < 1) throw rangeError(where, "featureMap", `that gives [1, F], F >= 1, from [1, ${size}]`, `[${shape.join(", ")}] from "${map.name}"`);
  return shape[1];
}

/** Powers of the count for each head. */
export function checkPowers(where: string, normalize: LinearNormalizer, countPower: number | TensorLike | undefined, heads: number): Float64Array | undefined {
  if (!NORMALIZERS.includes(normalize)) throw rangeError(where, "normalize", listed(NORMALIZERS), `${normalize as string}`);
  if (normalize !== "count") {
    if (countPower !== undefined) throw rangeError(where, "countPower", 'with normalize "count"', `"${normalize}"`);
    return undefined;
  }
  const powers = typeof countPower === "number" || countPower === undefined ? new Float64Array(heads).fill(countPower ?? 1) : undefined, made = powers ? undefined : asFloat32(where, "countPower", countPower as TensorLike), all = powers ?? new Float64Array(made!.data);
  if (made && (made.shape.length !== 1 || made.size !== heads)) throw rangeError(where, "countPower", `of shape [${heads}] ([H])`, `[${made.shape.join(", ")}]`);
  const bad = all.findIndex((power) => !Number.isFinite(power));
  if (bad >= 0) throw rangeError(where, "countPower", "finite", `${all[bad]}${made ? ` at index ${bad}` : ""}`);
  return all;
}

/** Log gates of `rows` tokens: one each or `features` each, none above 0. */
export function checkGates(where: string, logGates: TensorLike, leading: readonly number[], features: number, letters: string): Gates & { readonly shape: readonly number[] } {
  const made = asFloat32(where, "logGates", logGates), { shape } = made, data = lastingData(made), axes = leading.length;
  if (shape.slice(0, axes).some((size, axis) => size !== leading[axis]) || !(shape.length === axes || (shape.length === axes + 1 && shape[axes] === features))) {
    throw rangeError(where, "logGates", `of shape [${leading.join(", ")}] or [${[...leading, features].join(", ")}] ([${letters}] or [${letters}, F])`, `[${shape.join(", ")}]`);
  }
  for (let at = 0; at < data.length; at++) if (data[at] > 0) throw rangeError(where, "logGates", "at most 0", `${data[at]} at index ${at}`, "Gates are factors in [0, 1]: give their logarithms");
  return { data, width: shape.length === axes ? 1 : features, shape };
}

/** Checks a call and applies the feature map. */
export function prepareLinear(where: string, q: TensorLike, k: TensorLike, v: TensorLike, options: LinearAttentionOptions): LinearCall {
  const { query, key, value, sizes: { batch, heads, groups, queries, keys, features: size, width } } = headsOf(where, q, k, v);
  const { featureMap = "elu", normalize = "sum", countPower, logGates, causal = logGates !== undefined, chunkSize = 64 } = options;
  const map = checkMap(where, featureMap), powers = checkPowers(where, normalize, countPower, heads);
  checkInteger(where, "chunkSize", chunkSize, 1, 1024);
  const features = featuresOf(where, map, size), { scale = normalize === "magnitude" ? 1 / Math.sqrt(features) : 1 } = options;
  if (!Number.isFinite(scale)) throw rangeError(where, "scale", "finite", `${scale}`);
  const gates = logGates === undefined ? undefined : checkGates(where, logGates, key.shape.slice(0, -1), features, ["B", "Hkv", "S"].slice(4 - key.shape.length).join(", "));
  if (gates && !causal) throw rangeError(where, "causal", "true with `logGates`: a recurrence runs forward", "false");
  if (gates && normalize !== "sum" && normalize !== "none") throw rangeError(where, "normalize", '"sum" or "none" with `logGates`', `"${normalize}"`);
  const given = options.lengths === undefined ? undefined : asInt32(where, "lengths", options.lengths);
  if (given && (given.shape.length !== 1 || given.size !== batch)) throw rangeError(where, "lengths", `of shape [${batch}] ([B])`, `[${given.shape.join(", ")}]`);
  if (given) for (let b = 0; b < batch; b++) if (given.data[b] < 0 || given.data[b] > keys) throw rangeError(where, "lengths", `in [0, ${keys}]`, `${given.data[b]} at index ${b}`);
  return {
    queryShape: query.shape, keyShape: key.shape, valueShape: value.shape, gateShape: gates?.shape, powerGiven: countPower !== undefined && typeof countPower !== "number",
    problem: {
      where, batch, heads, groups, queries, keys, size, features, width, query: lastingData(query), key: lastingData(key), value: lastingData(value), map, scale, gates,
      lengths: given ? lastingData(given) : new Int32Array(batch).fill(keys), causal, chunkSize, normalize, powers,
    },
  };
}
