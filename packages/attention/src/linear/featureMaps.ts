import { exp } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";

/** What is applied to queries and keys before they meet: a kernel phi(q) . phi(k) instead of exp(q . k). */
export interface FeatureMap {
  /** Not that of one that is built in: what is kept of a map is its name. */
  readonly name: string;
  /** [N, D] -> [N, F], each row for itself; a row of zeros too, which is asked for F. */
  apply(x: Tensor<"float32">): Tensor<"float32">;
  /** Gradient in x, [N, D], from the gradient in apply(x), [N, F]. */
  gradient(x: Tensor<"float32">, upstream: Tensor<"float32">): Tensor<"float32">;
}

/** Names of the feature maps that are built in. */
export type FeatureMapName = "elu" | "relu" | "exp" | "cosine" | "identity";

type Rows = Tensor<"float32">;

/** min(x, 0) and max(x, 0), NaN in one of the two: by the bits, without a branch that would guess the sign of every number. */
function halves({ data, shape }: Rows): readonly [below: Rows, above: Float32Array] {
  const below = new Float32Array(data.length), above = new Float32Array(data.length), from = new Int32Array(data.buffer, data.byteOffset, data.length), low = new Int32Array(below.buffer), high = new Int32Array(above.buffer);
  for (let at = 0; at < from.length; at++) {
    const bits = from[at], sign = bits >> 31;
    low[at] = bits & sign;
    high[at] = bits & ~sign;
  }
  return [new Tensor("float32", shape, below), above];
}

/** x, times what the upstream says in place. */
function times(x: Rows, { data: by }: Rows): Rows {
  const { data } = x;
  for (let at = 0; at < data.length; at++) data[at] *= by[at];
  return x;
}

const MAPS: Record<FeatureMapName, Omit<FeatureMap, "name">> = {
  elu: {
    apply(x) {
      const [below, above] = halves(x), { data } = exp(below, { out: below });
      for (let at = 0; at < data.length; at++) data[at] += above[at];
      return below;
    },
    gradient(x, upstream) {
      const [below] = halves(x);
      return times(exp(below, { out: below }), upstream);
    },
  },
  relu: {
    apply(x) {
      const out = new Float32Array(x.size), { data } = x;
      for (let at = 0; at < out.length; at++) out[at] = Math.max(data[at], 0);
      return new Tensor("float32", x.shape, out);
    },
    gradient(x, { data: by }) {
      const out = new Float32Array(x.size), { data } = x;
      for (let at = 0; at < out.length; at++) out[at] = data[at] <= 0 ? 0 : by[at];
      return new Tensor("float32", x.shape, out);
    },
  },
  exp: { apply: (x) => exp(x), gradient: (x, upstream) => times(exp(x), upstream) },
  identity: { apply: (x) => x, gradient: (_, upstream) => upstream },
  cosine: { apply: (x) => byRow(x, undefined), gradient: (x, { data }) => byRow(x, data) },
};

/** x / |x|, and the gradient of it: (u - (u . y) y) / |x|. A row of zeros has no direction: 0 in both. */
function byRow(x: Rows, upstream: Float32Array | undefined): Rows {
  const width = x.shape[x.shape.length - 1], out = new Float32Array(x.size), { data } = x;
  for (let from = 0; from < data.length; from += width) {
    let square = 0, along = 0;
    for (let at = from; at < from + width; at++) square += data[at] * data[at];
    if (square === 0) continue;
    const length = Math.sqrt(square);
    if (upstream) for (let at = from; at < from + width; at++) along += upstream[at] * data[at];
    for (let at = from; at < from + width; at++) out[at] = upstream ? (upstream[at] - (along / square) * data[at]) / length : data[at] / length;
  }
  return new Tensor("float32", x.shape, out);
}

export const FEATURE_MAPS: readonly FeatureMapName[] = ["elu", "relu", "exp", "cosine", "identity"];

/** The map of a name. */
export function namedFeatureMap(name: FeatureMapName): FeatureMap {
  return { name, ...MAPS[name] };
}

/** Whether another map bears the name of one that is built in. */
export function borrowsName({ name, apply }: FeatureMap): boolean {
  return Object.hasOwn(MAPS, name) && MAPS[name as FeatureMapName].apply !== apply;
}
