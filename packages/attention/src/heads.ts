import { asFloat32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";

/** A shape with the leading axes that it lacks, of length 1. */
export const four = (shape: readonly number[]): number[] => [...new Array<number>(4 - shape.length).fill(1), ...shape];

/** Queries, keys and values that fit each other, [B, H, T, D], [B, Hkv, S, D] and [B, Hkv, S, E] or without B, or without B and H; and their sizes. */
export interface Heads {
  readonly query: Tensor<"float32">;
  readonly key: Tensor<"float32">;
  readonly value: Tensor<"float32">;
  readonly sizes: { readonly batch: number; readonly heads: number; readonly groups: number; readonly queries: number; readonly keys: number; readonly features: number; readonly width: number };
}

function padded(where: string, argument: string, x: TensorLike, letters: string): Tensor<"float32"> {
  const made = asFloat32(where, argument, x), { shape } = made;
  if (shape.length < 2 || shape.length > 4) throw rangeError(where, argument, `of shape [T, ${letters}], [H, T, ${letters}] or [B, H, T, ${letters}]`, `[${shape.join(", ")}]`);
  return made;
}

/** Checks the three arguments of attention of any kind. */
export function headsOf(where: string, q: TensorLike, k: TensorLike, v: TensorLike): Heads {
  const query = padded(where, "query", q, "D"), key = padded(where, "key", k, "D"), value = padded(where, "value", v, "E");
  const [batch, heads, queries, features] = four(query.shape), [keyBatch, groups, keys, keyFeatures] = four(key.shape), [valueBatch, valueGroups, valueKeys, width] = four(value.shape);
  if (features < 1) throw rangeError(where, "query", "with D >= 1", `[${query.shape.join(", ")}]`);
  if (keyBatch !== batch || keyFeatures !== features || groups < 1 || heads % groups !== 0) throw rangeError(where, "key", `of shape [${batch}, Hkv, S, ${features}] ([B, Hkv, S, D]) with Hkv a divisor of ${heads}`, `[${key.shape.join(", ")}]`);
  if (valueBatch !== batch || valueGroups !== groups || valueKeys !== keys || width < 1) throw rangeError(where, "value", `of shape [${batch}, ${groups}, ${keys}, E] ([B, Hkv, S, E])`, `[${value.shape.join(", ")}]`);
  return { query, key, value, sizes: { batch, heads, groups, queries, keys, features, width } };
}
