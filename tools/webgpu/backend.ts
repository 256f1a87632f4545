import type { BackendLike } from "@logits/testkit";
import { attention, linearCrossEntropy, type Gpu, type GpuTensor } from "@logits/webgpu";

/** The WebGPU backend as the battery takes it. */
export function asBackend(gpu: Gpu, name: string): BackendLike {
  return {
    name,
    tensor: (x) => gpu.tensor(x),
    read: (y) => (y as GpuTensor).read(),
    dispose: (y) => (y as GpuTensor).dispose(),
    operations: { ...gpu.operations, attention, linearCrossEntropy } as unknown as BackendLike["operations"],
  };
}
