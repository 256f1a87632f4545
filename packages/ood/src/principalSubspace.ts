import { addOuterProducts, matmul, symmetricEigenSteps } from "@logits/core-wasm";
import { Tensor, partOf, tensorToJSON, type JsonFields, type Steps, type TensorJSON } from "@logits/tensor";
import type { FeatureStatistics } from "./featureStatistics.ts";
import { KeptMatrix } from "./keptMatrix.ts";

/** Rows that are projected together. */
const ROWS = 1024;

/** Squared lengths of a batch of rows: all of it, and its parts inside and outside the principal subspace. */
export interface Lengths {
  readonly whole: Float64Array;
  readonly inside: Float64Array;
  readonly outside: Float64Array;
}

/** What a `PrincipalSubspace` writes into the JSON of its detector. */
export interface SubspaceJSON {
  readonly features: number;
  readonly dimension: number;
  /** float32 [F]: subtracted from a row. */
  readonly origin: TensorJSON;
  /** float32 [F]: what is left is multiplied by. */
  readonly scales: TensorJSON;
  /** float32 [min(D, F - D), F], orthonormal rows: a basis of the subspace, or of what is perpendicular to it where that has fewer. */
  readonly basis: TensorJSON;
}

interface Fields {
  readonly features: number;
  readonly dimension: number;
  readonly origin: Float32Array;
  readonly scales: Float32Array;
  readonly basis: Float32Array;
}

/**
 * The directions in which rows of features vary most, as ViM, Residual and NECO use them: of g = scales (f - origin), the span of the eigenvectors of E[g g'] with the D largest eigenvalues.
 *
 * Kept as the smaller of the two bases (the subspace, or its complement); the part that the basis does not span is what is left of g once its projection is subtracted, never a difference of
 * squares, which would cancel. Eigenvectors of equal eigenvalues may turn; lengths do not see it unless the cut lies between them.
 */
export class PrincipalSubspace {
  readonly features: number;
  readonly dimension: number;
  readonly origin: Float32Array;
  readonly scales: Float32Array;
  readonly #basis: KeptMatrix;

  constructor(fields: Fields) {
    this.features = fields.features;
    this.dimension = fields.dimension;
    this.origin = fields.origin;
    this.scales = fields.scales;
    this.#basis = new KeptMatrix(fields.basis, [fields.basis.length / fields.features, fields.features]);
  }

  /** From the second moments of g, [F * F] lower triangle, up to a factor. */
  static *fromMoments(moments: Float64Array, origin: Float32Array, scales: Float32Array, dimension: number): Steps<PrincipalSubspace> {
    const features = origin.length, { vectors } = yield* symmetricEigenSteps(moments);
    const principal = dimension <= features - dimension;
    const basis = Float32Array.from(principal ? vectors.subarray(0, dimension * features) : vectors.subarray(dimension * features));
    return new PrincipalSubspace({ features, dimension, origin, scales, basis });
  }

  /** From statistics: moments about `origin`, or about the mean of all rows. */
  static *fromStatistics(statistics: FeatureStatistics, origin: Float32Array | undefined, dimension: number): Steps<PrincipalSubspace> {
    const { features, count, means, scatter } = statistics.pooled().finish();
    yield 0.1;
    const from = origin ?? Float32Array.from(means);
    // Also where the origin is the mean: it has been rounded to float32, and the rows will be centred on that.
    addOuterProducts(scatter, means.map((mean, j) => mean - from[j]), Float64Array.of(count));
    return yield* partOf(PrincipalSubspace.fromMoments(scatter, from, new Float32Array(features).fill(1), dimension), 0.1, 0.9);
  }

  /** Squared lengths of `count` rows of x from row 0; `part` says which of the two is needed, the other is left 0 where it would cost more. */
  lengths(x: Tensor<"float32">, count: number, part: "inside" | "outside"): Lengths {
    const { features, dimension, origin, scales } = this, [rows] = this.#basis.shape;
    const whole = new Float64Array(count), inside = new Float64Array(count), outside = new Float64Array(count);
    const principal = dimension <= features - dimension;
    const [direct, other] = principal ? [inside, outside] : [outside, inside];
    const centred = new Float32Array(Math.min(count, ROWS) * features);
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first), g = centred.subarray(0, some * features), { data } = x;
      for (let n = 0, at = 0, from = first * features; n < some; n++) for (let j = 0; j < features; j++, at++, from++) g[at] = (data[from] - origin[j]) * scales[j];
      squares(g, features, whole, first);
      if (rows === 0) {
        other.set(whole.subarray(first, first + some), first);
        continue;
      }
      const basis = this.#basis.tensor, onto = matmul({ data: g, shape: [some, features] }, basis, { transposeB: true });
      squares(onto.data, rows, direct, first);
      if (direct === (part === "inside" ? inside : outside)) continue;
      const back = matmul(onto, basis).data;
      for (let i = 0; i < g.length; i++) g[i] -= back[i];
      squares(g, features, other, first);
    }
    return { whole, inside, outside };
  }

  dispose(): void {
    this.#basis.dispose();
  }

  toJSON(): SubspaceJSON {
    const { features, dimension, origin, scales } = this, basis = this.#basis;
    return {
      features, dimension,
      origin: tensorToJSON(new Tensor("float32", [features], origin)),
      scales: tensorToJSON(new Tensor("float32", [features], scales)),
      basis: tensorToJSON(new Tensor("float32", [...basis.shape], basis.data)),
    };
  }

  /** From the fields of its detector. */
  static fromFields(fields: JsonFields): PrincipalSubspace {
    const features = fields.integer("features", 1, 32768), dimension = fields.integer("dimension", 0, features - 1);
    const vector = (field: string): Float32Array => {
      const { data } = fields.tensor(field, "float32", 1);
      return data.length === features ? data.slice() : fields.fail(field, `${features} numbers`, `${data.length}`);
    };
    const basis = fields.tensor("basis", "float32", 2), rows = Math.min(dimension, features - dimension);
    if (basis.shape[0] !== rows || basis.shape[1] !== features) fields.fail("basis", `of shape [${rows}, ${features}]`, `[${basis.shape.join(", ")}]`);
    return new PrincipalSubspace({ features, dimension, origin: vector("origin"), scales: vector("scales"), basis: basis.data.slice() });
  }
}

/** The squared length of each row of x, to out from `first` on. */
function squares(x: Float32Array, width: number, out: Float64Array, first: number): void {
  for (let from = 0, n = first; from < x.length; from += width, n++) {
    let sum = 0;
    for (let i = from; i < from + width; i++) sum += x[i] * x[i];
    out[n] = sum;
  }
}
