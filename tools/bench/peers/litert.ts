import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fullyConnectedModel, matmulModel, softmaxModel, topKModel } from "../models/tflite.ts";
import type { Answer, Contender, Mode, Peer, Problem, Variant } from "../types.ts";

/** LiteRT (XNNPACK). Its relaxed SIMD build stands against our relaxed variant, its compat build against our baseline. */

const require = createRequire(import.meta.url);

interface TensorBuffer {
  delete(): void;
}

interface LiteRtTensor {
  liteRtTensorBuffer: TensorBuffer;
  toTypedArray(): Float32Array | Int32Array;
  delete(): void;
}

interface LiteRt {
  loadLiteRt(path: string): Promise<unknown>;
  loadAndCompile(model: Uint8Array, options: object): Promise<CompiledModel>;
  Tensor: new (data: Float32Array | TensorBuffer, shape?: number[]) => LiteRtTensor;
}

interface CompiledModel {
  isFullyAccelerated: boolean;
  liteRtCompiledModel: { run(signature: number, inputs: TensorBuffer[]): TensorBuffer[] };
  delete(): void;
}

/** The package loads its glue code as a browser's script: in Node, `importScripts` evaluates the file, and `Module` keeps its log quiet. */
async function load(variant: Variant): Promise<LiteRt> {
  const scope = globalThis as unknown as Record<string, unknown>;
  const folder = join(dirname(require.resolve("@litertjs/core")), "../wasm");
  scope.self = globalThis;
  scope.Module = { print: () => {}, printErr: () => {} };
  scope.importScripts = (path: string) => {
    const glue = new Function("require", "__dirname", "__filename", `${readFileSync(path, "utf8")}\nreturn ModuleFactory;`);
    scope.ModuleFactory = glue(require, folder, path);
  };
  const litert = (await import("@litertjs/core")) as unknown as LiteRt;
  // Without a WebGPU device it warns and goes on; there is none in Node.
  const warn = console.warn;
  console.warn = () => {};
  await litert.loadLiteRt(join(folder, variant === "relaxed-simd" ? "litert_wasm_internal.js" : "litert_wasm_compat_internal.js"));
  console.warn = warn;
  delete scope.importScripts;
  delete scope.self;
  return litert;
}

async function contender(litert: LiteRt, bytes: Uint8Array, inputs: { data: Float32Array; shape: number[] }[], mode: Mode): Promise<Contender> {
  const model = await litert.loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
  const compiled = model.liteRtCompiledModel;
  const upload = (): LiteRtTensor[] => inputs.map(({ data, shape }) => new litert.Tensor(data, shape));
  let kept = mode === "resident" ? upload() : [];
  let outputs: TensorBuffer[] = [], answer: Answer = { values: [] };
  const free = (): void => { for (const output of outputs) output.delete(); };
  const download = (): Answer => {
    const [values, indices] = outputs.map((buffer) => new litert.Tensor(buffer).toTypedArray());
    return { values, indices };
  };
  // The compiled model is called directly: `model.run` of the package adds checks and promises of some microseconds.
  return {
    run(): void {
      free();
      if (mode === "arrays") kept = upload();
      outputs = compiled.run(0, kept.map((tensor) => tensor.liteRtTensorBuffer));
      if (mode === "arrays") {
        answer = download();
        for (const tensor of kept) tensor.delete();
      }
    },
    read: () => (mode === "arrays" ? answer : download()),
    dispose(): void {
      free();
      if (mode === "resident") for (const tensor of kept) tensor.delete();
      model.delete();
    },
  };
}

function transposed(b: Float32Array, k: number, n: number): Float32Array {
  const out = new Float32Array(b.length);
  for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) out[j * k + l] = b[l * n + j];
  return out;
}

export async function litert(variant: Variant): Promise<Peer[]> {
  const library = await load(variant);
  const { version } = JSON.parse(readFileSync(join(dirname(require.resolve("@litertjs/core")), "../package.json"), "utf8")) as { version: string };
  const build = variant === "relaxed-simd" ? "relaxed" : "compat";
  const prepare = (problem: Problem, mode: Mode): Promise<Contender | undefined> => {
    switch (problem.op) {
      case "softmax": return contender(library, softmaxModel(problem.rows, problem.cols), [{ data: problem.x, shape: [problem.rows, problem.cols] }], mode);
      case "topk": return contender(library, topKModel(problem.rows, problem.cols, problem.k), [{ data: problem.x, shape: [problem.rows, problem.cols] }], mode);
      case "matmul": {
        const { m, k, n, a, b } = problem;
        return contender(library, matmulModel(m, k, n), [{ data: a, shape: [m, k] }, { data: b, shape: [k, n] }], mode);
      }
      default: return Promise.resolve(undefined);
    }
  };
  // Weights that never change are packed when the model is compiled: less work than ours, shown all the same.
  const constantWeights = async (problem: Problem, mode: Mode): Promise<Contender | undefined> => {
    if (problem.op !== "matmul") return undefined;
    const { m, k, n, a, b } = problem;
    return contender(library, fullyConnectedModel(m, k, n, transposed(b, k, n)), [{ data: a, shape: [m, k] }], mode);
  };
  return [
    { name: `litert (${build})`, version, wasm: true, prepare },
    { name: `litert (${build}), constant weights`, version, wasm: true, prepare: constantWeights },
  ];
}
