import { Tensor, UnsupportedKernelError, typeError } from "@logits/tensor";
import { rulesOf, type SamplerOptions } from "./rules.ts";
import type { Samples } from "./sampler.ts";

/** A tensor of a GPU that brings its operations, as @logits/webgpu makes them; its own type is not needed here. */
export interface GpuScores {
  readonly shape: readonly number[];
  readonly location: "gpu-buffer";
  /** Where several tensors are read at once. */
  readonly gpu: { read(tensors: object): Promise<object> };
  readonly operations: { sampleTokens(logits: GpuScores, options: object): object; logitStatistics(logits: GpuScores, options: object): object };
}

/** Whether an argument is on a GPU, with its operations or without. */
export function isOnGpu(x: unknown): boolean {
  return (x as { readonly location?: unknown } | null | undefined)?.location === "gpu-buffer";
}

/** Refuses what looks at the scores of single tokens or keeps a state of them: it has no form on a GPU. */
export function checkGpuRules(where: string, options: SamplerOptions, biased: boolean): void {
  const { guidance, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, allowed, typicalP = 1, eta = 0, mirostat } = options;
  const used = Object.entries({ guidance, logitBias: biased || undefined, repetitionPenalty: repetitionPenalty !== 1 || undefined, presencePenalty: presencePenalty || undefined, frequencyPenalty: frequencyPenalty || undefined, allowed, typicalP: typicalP < 1 || undefined, eta: eta || undefined, mirostat });
  const names = used.filter(([, value]) => value !== undefined).map(([name]) => name);
  if (names.length > 0) throw new UnsupportedKernelError(`${where}: expected a sampler of temperature, topK, topP and minP for scores on a GPU, got ${names.join(", ")}. Read the scores: sampler.sample(await logits.read(), context)`);
}

/** Draws where the scores are and reads what was drawn: 28 bytes a row. */
export async function drawOnGpu(where: string, logits: GpuScores, options: SamplerOptions, uniform: (row: number) => number): Promise<Samples> {
  const { operations, gpu, shape } = logits;
  if (typeof (operations as Partial<typeof operations> | undefined)?.sampleTokens !== "function") throw typeError(where, "logits", "a tensor that brings its operations", "a GPU tensor of another library", "Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu");
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const made: Record<string, { dispose(): void }> = {};
  try {
    Object.assign(made, operations.sampleTokens(logits, { ...rulesOf(options), uniforms: Float64Array.from({ length: rows }, (_, row) => uniform(row)) }));
    Object.assign(made, operations.logitStatistics(logits, { select: ["energy", "entropy", "margin"] }));
    const { tokens, scores, drawLogProbabilities, candidates, energy, entropy, margin } = (await gpu.read(made)) as { tokens: Samples["tokens"]; candidates: Samples["candidates"] } & Record<"scores" | "drawLogProbabilities" | "energy" | "entropy" | "margin", Tensor<"float32">>;
    // -T log Z at T = 1.
    const logProbabilities = new Tensor("float32", tokens.shape, scores.data.map((score, row) => Math.min(0, score + energy.data[row])));
    return { tokens, logProbabilities, drawLogProbabilities, entropies: entropy, margins: margin, candidates };
  } finally {
    for (const tensor of Object.values(made)) tensor.dispose();
  }
}
