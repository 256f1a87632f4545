import { exp } from "@logits/statistics";
import { Tensor, typeError } from "@logits/tensor";
import type { ScoreChange } from "./penalties.ts";
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

/** What a draw on a GPU is told of a row. */
export interface GpuDraw {
  /** In [0, 1). */
  readonly uniform: number;
  /** By token. */
  readonly scores: ReadonlyMap<number, ScoreChange>;
  /** Whether the tokens without a change are impossible. */
  readonly only: boolean;
  /** The bound of mirostat on the surprise, in nats. */
  readonly bound: number | undefined;
}

/** Draws where the scores are and reads what was drawn: 28 bytes a row, 32 with bounds. */
export async function drawOnGpu(logits: GpuScores, options: SamplerOptions, draws: readonly GpuDraw[], guidance: object | undefined): Promise<{ readonly samples: Samples; readonly surprises: Tensor<"float32"> }> {
  const { operations, gpu } = logits, bounded = draws.some(({ bound }) => bound !== undefined);
  const made: Record<string, { dispose(): void }> = {};
  try {
    Object.assign(made, operations.sampleTokens(logits, {
      ...rulesOf(options), uniforms: draws.map(({ uniform }) => uniform),
      ...(guidance && { guidance }),
      ...(draws.some(({ scores, only }) => scores.size > 0 || only) && { changes: draws.map(({ scores, only }) => ({ scores, only })) }),
      // At least the smallest normal float32: an epsilon of 0 is no rule, beside which impossible tokens count.
      ...(bounded && { epsilons: draws.map(({ bound = Infinity }) => Math.min(1, Math.max(2 ** -126, exp(-bound)))) }),
    }));
    Object.assign(made, operations.logitStatistics(logits, { select: ["energy", "entropy", "margin"] }));
    if (!bounded) {
      made.surprises.dispose();
      delete made.surprises;
    }
    const { tokens, scores, drawLogProbabilities, candidates, energy, entropy, margin, surprises } = (await gpu.read(made)) as { tokens: Samples["tokens"]; candidates: Samples["candidates"] } & Record<"scores" | "drawLogProbabilities" | "energy" | "entropy" | "margin" | "surprises", Tensor<"float32">>;
    // -T log Z at T = 1.
    const logProbabilities = new Tensor("float32", tokens.shape, scores.data.map((score, row) => Math.min(0, score + energy.data[row])));
    return { samples: { tokens, logProbabilities, drawLogProbabilities, entropies: entropy, margins: margin, candidates }, surprises };
  } finally {
    for (const tensor of Object.values(made)) tensor.dispose();
  }
}

/** Checks that a tensor on a GPU brings what draws from it. */
export function checkGpuScores(where: string, logits: unknown): asserts logits is GpuScores {
  const { operations } = logits as { readonly operations?: Partial<GpuScores["operations"]> };
  if (typeof operations?.sampleTokens !== "function") throw typeError(where, "logits", "a tensor that brings its operations", "a GPU tensor of another library", "Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu");
}
