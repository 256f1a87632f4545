import { backendChecks, type BackendLike } from "@logits/testkit";
import { describe, it } from "vitest";
import { argmax, entropy, entropyGrad, logitStatistics, logSoftmax, logSoftmaxGrad, logSumExp, logSumExpGrad, matmul, max, softmax, softmaxGrad, topK } from "./index.ts";

// The battery that the WebGPU backend passes too, with the same bounds.
const backend: BackendLike = {
  name: "core-wasm",
  tensor: (x) => x,
  read: (y) => Promise.resolve(y as Awaited<ReturnType<BackendLike["read"]>>),
  operations: { argmax, entropy, entropyGrad, logitStatistics, logSoftmax, logSoftmaxGrad, logSumExp, logSumExpGrad, matmul, max, softmax, softmaxGrad, topK },
};

describe("core-wasm as a backend", () => {
  for (const { name, run } of backendChecks(backend)) it(name, run);
});
