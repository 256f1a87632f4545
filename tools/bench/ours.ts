import type { Tensor } from "@logits/tensor";
import type { Answer, Contender, Mode, Problem, Variant } from "./types.ts";

/** Our side, from the built packages: the variant is chosen once per process. */

export type CoreWasm = typeof import("@logits/core-wasm");

export async function loadCore(variant: Variant): Promise<CoreWasm> {
  const library = await import("@logits/core-wasm");
  library.configureWasm({ variant });
  return library;
}

function resident(library: CoreWasm, shape: number[], data?: Float32Array): ReturnType<CoreWasm["core"]["alloc"]> & Tensor<"float32"> {
  const made = library.core.alloc(shape, "float32");
  if (data !== undefined) made.data.set(data);
  return made;
}

export function oursOf(library: CoreWasm, problem: Problem, mode: Mode): Contender {
  const held: { dispose(): void }[] = [];
  const hold = (shape: number[], data?: Float32Array): Tensor<"float32"> => {
    const made = resident(library, shape, data);
    held.push(made);
    return made;
  };
  const contender = (work: () => Answer, read = (answer: Answer): Answer => answer): Contender => {
    let answer: Answer = { values: [] };
    return { run: () => { answer = work(); }, read: () => read(answer), dispose: () => { for (const tensor of held) tensor.dispose(); } };
  };
  const values = (tensor: Tensor<"float32">): Answer => ({ values: tensor.data });

  if (problem.op === "matmul") {
    const { m, k, n } = problem;
    if (mode === "arrays") {
      const a = { data: problem.a, shape: [m, k] }, b = { data: problem.b, shape: [k, n] };
      return contender(() => values(library.matmul(a, b)));
    }
    const a = hold([m, k], problem.a), b = hold([k, n], problem.b), out = hold([m, n]);
    return contender(() => { library.matmul(a, b, { out }); return { values: [] }; }, () => values(out));
  }
  const { rows, cols } = problem;
  const given = mode === "arrays" ? { data: problem.x, shape: [rows, cols] } : hold([rows, cols], problem.x);
  switch (problem.op) {
    case "topk": return contender(() => {
      const top = library.topK(given, problem.k);
      return { values: top.values.data, indices: top.indices.data };
    });
    case "softmax":
    case "logsumexp": {
      const op = problem.op === "softmax" ? library.softmax : library.logSumExp;
      if (mode === "arrays") return contender(() => values(op(given)));
      const out = hold(problem.op === "softmax" ? [rows, cols] : [rows]);
      return contender(() => { op(given, { out }); return { values: [] }; }, () => values(out));
    }
  }
}
