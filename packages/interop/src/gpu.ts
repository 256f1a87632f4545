import type { GpuLogits } from "@logits/head";
import { describe, typeError } from "@logits/tensor";

/** The WebGPU backend on the device of the model's runtime, as `await webgpu({ device })` of @logits/webgpu gives it; its own type is not needed here. */
export interface GpuBackend {
  tensor(x: unknown): GpuLogits;
}

/** Checks that a backend and a head belong together. */
export function checkGpu(where: string, gpu: GpuBackend | undefined, head: { readonly decideAllAsync?: unknown }): void {
  if (gpu === undefined) return;
  if (typeof gpu?.tensor !== "function") throw typeError(where, "gpu", "a backend of @logits/webgpu", describe(gpu), "Await it: await webgpu({ device })");
  if (typeof head.decideAllAsync !== "function") throw typeError(where, "head", "with `decideAllAsync`, for logits that stay on the GPU", describe(head), "Leave `gpu` out");
}

/** A model's logits where they are: adopted without a copy. The tensor of the model must outlive them. */
export function adoptLogits(where: string, name: string, gpu: GpuBackend, x: unknown): GpuLogits {
  const { ort_tensor: inner = x } = (x ?? {}) as { readonly ort_tensor?: unknown };
  const { location } = (inner ?? {}) as { readonly location?: unknown };
  if (location !== "gpu-buffer") throw typeError(where, name, "on the GPU, as `gpu` says", location === undefined ? describe(x) : `a tensor at location ${String(location)}`, 'Load the model with device "webgpu" and preferredOutputLocation "gpu-buffer", or leave `gpu` out');
  return gpu.tensor(inner);
}
