import { Tensor, UnsupportedKernelError, typeError } from "@logits/tensor";
import { rulesOf, type SamplerOptions } from "./rules.ts";
import type { Samples } from "./sampler.ts";

/** A tensor of a GPU that brings its operations, as @logits/webgpu makes them; its own type is not needed here. */
export interface GpuScores {
  readonly shape: readonly number[];
  readonly location: "gpu-buffer";
  /** Where several tensors are read at once. */
  readonly gpu: { read(tensors: object): Promise<object> };
  readonly operations: { sampleTokens(logits: GpuScores, options: object): object };
}

/** Whether an argument is on a GPU, with its operations or without. */
export function isOnGpu(x: unknown): boolean {
  return (x as { readonly location?: unknown } | null | undefined)?.location === "gpu-buffer";
}

/** Refuses what looks at the scores of single tokens or keeps a state of them: it has no form on a GPU. */
export function checkGpuRules(where: string, options: SamplerOptions, biased: boolean): void {
  const { guidance, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, allowed, mirostat } = options;
  const used = Object.entries({ guidance, logitBias: biased || undefined, repetitionPenalty: repetitionPenalty !== 1 || undefined, presencePenalty: presencePenalty || undefined, frequencyPenalty: frequencyPenalty || undefined, allowed, mirostat });
  const names = used.filter(([, value]) => value !== undefined).map(([name]) => name);
  if (names.length > 0) throw new UnsupportedKernelError(`${where}: expected a sampler of temperature, topK, topP, minP, typicalP and eta for scores on a GPU, got ${names.join(", ")}. Read the scores: sampler.sample(await logits.read(), context)`);
}

/** Draws where the scores are and reads what was drawn: 24 bytes a row. */
export async function drawOnGpu(where: string, logits: GpuScores, options: SamplerOptions, uniform: (row: number) => number): Promise<Samples> {
  if (typeof (logits as Partial<GpuScores>).operations?.sampleTokens !== "function") throw typeError(where, "logits", "a tensor that brings its operations", "a GPU tensor of another library", "Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu");
  const rows = logits.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const made = logits.operations.sampleTokens(logits, { ...rulesOf(options), uniforms: Float64Array.from({ length: rows }, (_, row) => uniform(row)) }) as Readonly<Record<string, { dispose(): void }>>;
  try {
    return (await logits.gpu.read(made)) as Record<keyof Samples, Tensor> as unknown as Samples;
  } finally {
    for (const tensor of Object.values(made)) tensor.dispose();
  }
}
