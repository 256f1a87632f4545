import { createRequire } from "node:module";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Answer, Contender, Mode, Peer, Problem } from "../types.ts";

/** TensorFlow.js with its WASM backend (XNNPACK, baseline SIMD, one thread). It has one SIMD build, which stands against both our variants. */

const require = createRequire(import.meta.url);

export async function tfjs(): Promise<Peer[]> {
  const tf = require("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
  const backend = require("@tensorflow/tfjs-backend-wasm") as typeof import("@tensorflow/tfjs-backend-wasm");
  backend.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  if (tf.getBackend() !== "wasm" || !(await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT"))) throw new Error("TensorFlow.js runs without its SIMD backend");

  const contender = (inputs: { data: Float32Array; shape: number[] }[], op: (...inputs: Tensor[]) => Tensor[], mode: Mode): Contender => {
    const upload = (): Tensor[] => inputs.map(({ data, shape }) => tf.tensor(data, shape, "float32"));
    const kept = mode === "resident" ? upload() : [];
    let outputs: Tensor[] = [], answer: Answer = { values: [] };
    const free = (): void => { for (const output of outputs) output.dispose(); outputs = []; };
    const download = (): Answer => {
      const [values, indices] = outputs.map((output) => output.dataSync());
      return { values, indices };
    };
    return {
      run(): void {
        free();
        const given = mode === "resident" ? kept : upload();
        outputs = op(...given);
        if (mode === "arrays") {
          answer = download();
          for (const input of given) input.dispose();
        }
      },
      read: () => (mode === "arrays" ? answer : download()),
      dispose(): void {
        free();
        for (const input of kept) input.dispose();
      },
    };
  };

  const prepare = async (problem: Problem, mode: Mode): Promise<Contender | undefined> => {
    if (problem.op === "matmul") {
      const { m, k, n, a, b } = problem;
      return contender([{ data: a, shape: [m, k] }, { data: b, shape: [k, n] }], (x, y) => [tf.matMul(x, y)], mode);
    }
    const { rows, cols, x } = problem, input = [{ data: x, shape: [rows, cols] }];
    switch (problem.op) {
      case "softmax": return contender(input, (t) => [tf.softmax(t)], mode);
      case "logsumexp": return contender(input, (t) => [tf.logSumExp(t, 1)], mode);
      case "topk": return contender(input, (t) => { const { values, indices } = tf.topk(t, problem.k); return [values, indices]; }, mode);
    }
  };
  return [{ name: "tfjs-wasm", version: backend.version_wasm, wasm: true, prepare }];
}
