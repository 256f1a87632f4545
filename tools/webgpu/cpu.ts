import { attention } from "@logits/attention";
import { nearestNeighbors } from "@logits/core-wasm";
import { linearCrossEntropy } from "@logits/losses/large-vocabulary";
import { MahalanobisDetector } from "@logits/ood";
import { Tensor, tensorToJSON } from "@logits/tensor";
import type { BackendLike } from "@logits/testkit";

type Matrix = Tensor<"float32">;

/** What a fitted detector with this state scores. */
function mahalanobis(x: Matrix, { mean, whitening, means }: { readonly mean: Matrix; readonly whitening: Matrix; readonly means: Matrix }): Matrix {
  const [classes, features] = means.shape, lower = Float32Array.from(whitening.data).filter((_, i) => i % features <= Math.floor(i / features));
  const json = (data: Float32Array, ...shape: number[]): unknown => tensorToJSON(new Tensor("float32", shape, data)), all = new Tensor("int32", [classes], Int32Array.from({ length: classes }, (_, c) => c));
  const detector = MahalanobisDetector.fromJSON({
    format: MahalanobisDetector.format, version: 1, classes, features, n: 100, shrinkage: 0, deadFeatures: 0,
    supportedClasses: tensorToJSON(all), mean: json(mean.data, features), whitening: json(lower, lower.length), means: json(means.data, classes, features),
  });
  try {
    return detector.score({ features: x });
  } finally {
    detector.dispose();
  }
}

/** The packages that compute in WebAssembly, as the battery takes them. */
export const cpu: BackendLike = {
  name: "WebAssembly",
  tensor: ({ shape, data }) => new Tensor("float32", shape, data),
  read: (y) => Promise.resolve(y as Matrix),
  operations: { attention, linearCrossEntropy, mahalanobis, nearestNeighbors } as unknown as BackendLike["operations"],
};
