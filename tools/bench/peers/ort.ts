import * as ort from "onnxruntime-web";
import { logSumExpModel, matmulModel, softmaxModel, topKModel } from "../models/onnx.ts";
import type { Answer, Contender, Peer, Problem } from "../types.ts";

/**
 * ONNX Runtime Web, WASM provider (MLAS, baseline SIMD, one thread). Its WASM provider has no resident tensors: every run copies the input in and the output
 * out, so its figures hold the copies (about 0.25 ns per element) in both modes.
 */

interface Model {
  bytes: Uint8Array;
  feeds: Record<string, ort.Tensor>;
}

function modelOf(problem: Problem): Model {
  if (problem.op === "matmul") {
    const { m, k, n, a, b } = problem;
    return { bytes: matmulModel(m, k, n), feeds: { a: new ort.Tensor("float32", a, [m, k]), b: new ort.Tensor("float32", b, [k, n]) } };
  }
  const { rows, cols, x } = problem, feeds = { x: new ort.Tensor("float32", x, [rows, cols]) };
  switch (problem.op) {
    case "softmax": return { bytes: softmaxModel(rows, cols), feeds };
    case "logsumexp": return { bytes: logSumExpModel(rows, cols), feeds };
    case "topk": return { bytes: topKModel(rows, cols, problem.k), feeds };
  }
}

async function prepare(problem: Problem): Promise<Contender> {
  const { bytes, feeds } = modelOf(problem);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  let outputs: ort.InferenceSession.OnnxValueMapType = {};
  return {
    async run(): Promise<void> {
      outputs = await session.run(feeds);
    },
    read(): Answer {
      const values = (outputs.y ?? outputs.values).data as Float32Array;
      const indices = outputs.indices === undefined ? undefined : Array.from(outputs.indices.data as BigInt64Array, Number);
      return { values, indices };
    },
    dispose: () => void session.release(),
  };
}

export async function onnxRuntime(): Promise<Peer[]> {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return [{ name: "onnxruntime-web", version: ort.env.versions.web as string, wasm: true, prepare }];
}
