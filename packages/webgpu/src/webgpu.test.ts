import { Tensor, asFloat32, asInt32 } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { softmax, webgpu, type GpuEntryLike } from "./index.ts";

describe("webgpu without a GPU", () => {
  const entry = (requestAdapter: () => Promise<unknown>): GpuEntryLike => ({ requestAdapter });
  const adapter = { features: new Set(), limits: { maxBufferSize: 1, maxStorageBufferBindingSize: 1 }, requestDevice: () => Promise.reject(new Error("blocked")) };

  it("says why there is no backend", async () => {
    await expect(webgpu()).rejects.toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: webgpu: expected an engine with WebGPU, got no navigator.gpu. A page needs https (or localhost) and a browser with WebGPU; in Node pass { gpu } of a package that brings it]`);
    await expect(webgpu({ gpu: entry(() => Promise.resolve(null)) })).rejects.toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: webgpu: expected an engine with WebGPU, got no adapter. The browser or its driver refuses WebGPU here]`);
    await expect(webgpu({ gpu: entry(() => Promise.reject(new Error("disabled"))) })).rejects.toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: webgpu: expected an engine with WebGPU, got requestAdapter failing with disabled. The browser or its driver refuses WebGPU here]`);
    await expect(webgpu({ gpu: entry(() => Promise.resolve(adapter)) })).rejects.toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: webgpu: expected an engine with WebGPU, got requestDevice failing with blocked. The device may be in use or blocked]`);
    await expect(webgpu()).rejects.toMatchObject({ code: "BACKEND_UNAVAILABLE", docs: "errors/backend-unavailable" });
  });

  it("refuses options that are none", async () => {
    await expect(webgpu({ device: {} as never })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: webgpu: expected \`device\` a GPUDevice, got [object Object]]`);
    await expect(webgpu({ poolBytes: -1 })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: webgpu: expected \`poolBytes\` an integer in [0, 9007199254740991], got -1]`);
    await expect(webgpu({ bindingBytes: 100 })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: webgpu: expected \`bindingBytes\` an integer in [65536, 9007199254740991], got 100]`);
  });

  it("refuses tensors of other backends by name", () => {
    expect(() => softmax([1, 2] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: softmax: expected \`x\` a tensor of the WebGPU backend, got Array outside the GPU. Pass gpu.tensor(x)]`);
    expect(() => softmax(Object.assign(new Tensor("float32", [2], new Float32Array(2)), { owner: { version: "0.1.0" } }) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: softmax: expected \`x\` a tensor of the WebGPU backend, got Tensor of the WebAssembly backend. Pass gpu.tensor(x)]`);
  });
});

describe("a tensor on the GPU in a function for ordinary ones", () => {
  it("is refused with the way to read it", () => {
    const there = { dtype: "float32", shape: [2], dims: [2], type: "float32", location: "gpu-buffer" } as never;
    for (const run of [() => asFloat32("softmax", "x", there), () => asInt32("softmax", "labels", there)]) expect(run).toThrow(/a tensor at location gpu-buffer\. Pass \{ data: await tensor\.getData\(\), dims: tensor\.dims \}$/);
  });
});
