import { exp } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";

/** What is applied to queries and keys before they meet: a kernel phi(q) . phi(k) instead of exp(q . k). */
export interface FeatureMap {
  readonly name: string;
  /** [..., D] -> [..., F], each row for itself. */
  apply(x: Tensor<"float32">): Tensor<"float32">;
  /** Gradient in x, [..., D], from the gradient in apply(x), [..., F]. */
  gradient(x: Tensor<"float32">, upstream: Tensor<"float32">): Tensor<"float32">;
}

/** Names of the feature maps that are built in. */
export type FeatureMapName = "elu" | "relu" | "exp" | "cosine" | "identity";

const like = (x: Tensor<"float32">, data: Float32Array): Tensor<"float32"> => new Tensor("float32", x.shape, data);

/** exp(min(x, 0)) where x <= 0 decides, 1 elsewhere; NaN stays. */
const lower = (x: Tensor<"float32">): Float32Array => exp(like(x, x.data.map((value) => (value > 0 ? 0 : value)))).data;

const MAPS: Record<FeatureMapName, Omit<FeatureMap, "name">> = {
  elu: {
    apply: (x) => like(x, lower(x).map((e, at) => (x.data[at] > 0 ? x.data[at] + 1 : e))),
    gradient: (x, { data }) => like(x, lower(x).map((e, at) => e * data[at])),
  },
  relu: {
    apply: (x) => like(x, x.data.map((value) => (value > 0 || value !== value ? value : 0))),
    gradient: (x, { data }) => like(x, x.data.map((value, at) => (value > 0 ? data[at] : value !== value ? NaN : 0))),
  },
  exp: {
    apply: (x) => exp(x),
    gradient: (x, { data }) => like(x, exp(x).data.map((e, at) => e * data[at])),
  },
  identity: { apply: (x) => x, gradient: (_, upstream) => upstream },
  cosine: {
    apply: (x) => byRow(x, undefined),
    gradient: (x, upstream) => byRow(x, upstream.data),
  },
};

/** x / |x|, and the gradient of it: (u - (u . y) y) / |x|. A row of zeros has no direction: 0 in both. */
function byRow(x: Tensor<"float32">, upstream: Float32Array | undefined): Tensor<"float32"> {
  const width = x.shape[x.shape.length - 1], out = new Float32Array(x.size), { data } = x;
  for (let from = 0; from < data.length; from += width) {
    let square = 0, along = 0;
    for (let at = from; at < from + width; at++) square += data[at] * data[at];
    if (square === 0) continue;
    const length = Math.sqrt(square);
    if (upstream) for (let at = from; at < from + width; at++) along += upstream[at] * data[at];
    for (let at = from; at < from + width; at++) out[at] = upstream ? (upstream[at] - (along / square) * data[at]) / length : data[at] / length;
  }
  return like(x, out);
}

export const FEATURE_MAPS: readonly FeatureMapName[] = ["elu", "relu", "exp", "cosine", "identity"];

/** The map of a name. */
export function namedFeatureMap(name: FeatureMapName): FeatureMap {
  return { name, ...MAPS[name] };
}
