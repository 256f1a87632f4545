import { BackendUnavailableError, checkInteger, typeError } from "@logits/tensor";
import type { AdapterLike, GpuDeviceLike, GpuEntryLike } from "./device.ts";
import { Gpu } from "./gpu.ts";
import { OPERATIONS } from "./operations.ts";

/** Options of webgpu. */
export interface WebGpuOptions {
  /** A device to adopt: that of ONNX Runtime (`await ort.env.webgpu.device`), of TensorFlow.js (`tf.backend().device`) or of jax-js. Default: a new one. */
  readonly device?: GpuDeviceLike;
  /** Where adapters come from. Default `navigator.gpu`; in Node what a package brings, such as `create([])` of the package webgpu. */
  readonly gpu?: GpuEntryLike;
  /** Which adapter of several. Default: the platform's choice. */
  readonly powerPreference?: "low-power" | "high-performance";
  /** Whether reductions may use subgroups where the device has them. Default true. */
  readonly subgroups?: boolean;
  /** Bytes of unused buffers that are kept for the next tensors. Default 256 MiB. */
  readonly poolBytes?: number;
  /** Largest part of a buffer that one dispatch sees, in bytes, at least 65,536. Default: the device's limit. */
  readonly bindingBytes?: number;
}

/**
 * The WebGPU backend: a device, its buffers and its compiled kernels.
 *
 * @param options - `device` adopts one that exists; otherwise `gpu` and `powerPreference` choose an adapter and a device is made with its largest buffer limits and subgroups
 * @throws BackendUnavailableError with the reason where there is no WebGPU, no adapter or no device
 * @example
 *   const gpu = await webgpu();
 *   const probabilities = softmax(gpu.tensor([[1, 2, 3]]));
 *   await probabilities.read(); // 0.0900, 0.2447, 0.6652
 */
export async function webgpu(options: WebGpuOptions = {}): Promise<Gpu> {
  const { device, subgroups = true, poolBytes = 2 ** 28, bindingBytes } = options;
  checkInteger("webgpu", "poolBytes", poolBytes, 0, Number.MAX_SAFE_INTEGER);
  if (bindingBytes !== undefined) checkInteger("webgpu", "bindingBytes", bindingBytes, 65536, Number.MAX_SAFE_INTEGER);
  if (device !== undefined && typeof (device as Partial<GpuDeviceLike> | null)?.createComputePipeline !== "function") throw typeError("webgpu", "device", "a GPUDevice", `${device as unknown}`);
  const { owned, adapter } = device ? { owned: device, adapter: "" } : await request(options);
  return new Gpu(owned, OPERATIONS, {
    subgroups: subgroups && owned.features.has("subgroups"),
    poolBytes,
    bindingBytes: Math.min(bindingBytes ?? Infinity, owned.limits.maxStorageBufferBindingSize),
    adapter,
    ...(device ? {} : { again: () => webgpu(options) }),
  });
}

async function request({ gpu, powerPreference }: WebGpuOptions): Promise<{ owned: GpuDeviceLike; adapter: string }> {
  const fail = (got: string, todo: string, cause?: unknown): BackendUnavailableError => new BackendUnavailableError(`webgpu: expected an engine with WebGPU, got ${got}. ${todo}`, { cause });
  const entry = gpu ?? (globalThis as { navigator?: { gpu?: GpuEntryLike } }).navigator?.gpu;
  if (!entry) throw fail("no navigator.gpu", "A page needs https (or localhost) and a browser with WebGPU; in Node pass { gpu } of a package that brings it");
  let adapter: AdapterLike | null;
  try {
    adapter = (await entry.requestAdapter(powerPreference ? { powerPreference } : {})) as AdapterLike | null;
  } catch (cause) {
    throw fail(`requestAdapter failing with ${(cause as Error).message}`, "The browser or its driver refuses WebGPU here", cause);
  }
  if (!adapter) throw fail("no adapter", "The browser or its driver refuses WebGPU here");
  const requiredLimits: Record<string, number> = {};
  for (const name of ["maxStorageBufferBindingSize", "maxBufferSize"]) requiredLimits[name] = adapter.limits[name];
  try {
    const owned = await adapter.requestDevice({ requiredFeatures: adapter.features.has("subgroups") ? ["subgroups"] : [], requiredLimits });
    const { vendor, architecture, device, description } = adapter.info ?? {};
    return { owned, adapter: description || [vendor, architecture, device].filter(Boolean).join(" ") };
  } catch (cause) {
    throw fail(`requestDevice failing with ${(cause as Error).message}`, "The device may be in use or blocked", cause);
  }
}
