import { matmul } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, rangeError, tensorToJSON, typeError, describe, type JsonFields, type TensorJSON, type TensorLike } from "@logits/tensor";
import { KeptMatrix } from "./keptMatrix.ts";

/** The last layer of a classifier: logits = features . weights + bias. What `readLinearHead` of `@logits/interop/onnx` gives is one. */
export interface LinearHead {
  /** float32 [F, C], finite. A layer of PyTorch or ONNX `Gemm` with `transB` holds [C, F]: transpose it. */
  readonly weights: TensorLike;
  /** float32 [C], finite. Default zeros. */
  readonly bias?: TensorLike;
}

/** What a detector with a head writes of it. */
export interface LinearHeadJSON {
  /** float32 [F, C]. */
  readonly weights: TensorJSON;
  /** float32 [C]. */
  readonly bias: TensorJSON;
}

/** A linear head as one matrix [F + 1, C], whose last row is the bias: features come with a 1 at their end. */
export class HeadLayer {
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  readonly #matrix: KeptMatrix;

  constructor(matrix: Float32Array, features: number, classes: number) {
    this.features = features;
    this.classes = classes;
    this.#matrix = new KeptMatrix(matrix, [features + 1, classes]);
  }

  static of(where: string, head: LinearHead): HeadLayer {
    if (typeof head !== "object" || head === null || !("weights" in head)) throw typeError(where, "head", "an object with `weights`", describe(head));
    const weights = asFloat32(where, "weights", head.weights);
    checkShape(where, "weights", weights, ["F", "C"]);
    const [features, classes] = weights.shape;
    if (features === 0 || classes === 0) throw rangeError(where, "weights", "of shape [F, C], F >= 1 and C >= 1", `[${features}, ${classes}]`);
    const bias = head.bias === undefined ? new Tensor("float32", [classes], new Float32Array(classes)) : asFloat32(where, "bias", head.bias);
    checkShape(where, "bias", bias, [classes]);
    for (const [name, { data }] of [["weights", weights], ["bias", bias]] as const) {
      const bad = data.findIndex((value) => value - value !== 0);
      if (bad >= 0) throw rangeError(where, name, "of finite numbers", `${data[bad]} at index ${bad}`);
    }
    const matrix = new Float32Array((features + 1) * classes);
    matrix.set(weights.data);
    matrix.set(bias.data, features * classes);
    return new HeadLayer(matrix, features, classes);
  }

  /** [F, C] row by row, then the bias; a view, valid until the next operation. */
  get data(): Float32Array {
    return this.#matrix.data;
  }

  /** Logits [N, C] of rows [N, F + 1]; a row has the same bits alone and in any batch. */
  logits(rows: Float32Array): Tensor<"float32"> {
    const width = this.features + 1;
    return matmul({ data: rows, shape: [rows.length / width, width] }, this.#matrix.tensor);
  }

  dispose(): void {
    this.#matrix.dispose();
  }

  toJSON(): LinearHeadJSON {
    const { features, classes, data } = this, cut = features * classes;
    return { weights: tensorToJSON(new Tensor("float32", [features, classes], data.slice(0, cut))), bias: tensorToJSON(new Tensor("float32", [classes], data.slice(cut))) };
  }

  static read(fields: JsonFields): HeadLayer {
    const weights = fields.tensor("weights", "float32", 2), bias = fields.tensor("bias", "float32", 1);
    const [features, classes] = weights.shape;
    if (features === 0 || classes === 0) fields.fail("weights", "of shape [F, C], F >= 1 and C >= 1", `[${features}, ${classes}]`);
    if (bias.size !== classes) fields.fail("bias", `of shape [${classes}]`, `[${bias.size}]`);
    return HeadLayer.of("", { weights, bias });
  }
}
