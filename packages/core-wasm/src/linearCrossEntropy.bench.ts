import { Tensor, type CsrMatrix } from "@logits/tensor";
import { LinearCrossEntropy } from "./families/linear.ts";
import { core, type ResidentTensor } from "./index.ts";

/** One pass with gradient: 4 rows * features * classes floating-point operations. Images in 10 classes, embeddings in 10 to 1,000, and hashed texts: 120 elements in a row of 2^16. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  [4096, 784, 10, 0],
  [4096, 384, 150, 0],
  [2048, 768, 1000, 0],
  [4096, 65536, 150, 120],
].map(([rows, features, classes, each]) => {
  let run: (() => number) | undefined;
  // The harness makes a dense matrix; rows of texts are made of as many of its numbers as they have elements.
  const cols = each || features;
  return { name: `${rows} x ${features} x ${classes}${each ? " CSR" : ""}`, rows, cols, run: (x: Tensor<"float32">) => (run ??= passOf(x, features, classes, each))() };
});

function passOf(x: Tensor<"float32">, features: number, classes: number, each: number): () => number {
  const rows = x.shape[0];
  const sparse: CsrMatrix = { shape: [rows, features], indptr: Int32Array.from({ length: rows + 1 }, (_, n) => n * each), indices: Int32Array.from({ length: rows * each }, (_, j) => Math.floor(features * ((j * 0.6180339887498949) % 1) ** 3)), data: x.data.subarray(0, rows * each) };
  const loss = new LinearCrossEntropy(each ? sparse : x, new Tensor("int32", [rows], Int32Array.from({ length: rows }, (_, n) => n % classes)), new Float32Array(rows).fill(1 / rows), classes);
  const parameters: ResidentTensor<"float32"> = core.alloc(loss.shape), gradient: ResidentTensor<"float32"> = core.alloc(loss.shape);
  return () => {
    let value = 0;
    for (let first = 0; first < rows; first = loss.pieceEnd(first)) value += loss.pass(parameters, gradient, first);
    return value;
  };
}
