import { featureChecks } from "@logits/testkit";
import { webgpu, type Gpu, type WebGpuOptions } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, expected, missing } from "./adapter.ts";
import { asBackend } from "./backend.ts";
import { cpu } from "./cpu.ts";

// Nearest neighbours, Mahalanobis scores, linear cross-entropy and attention: one battery for the packages in WebAssembly and for WebGPU.

const made: Gpu[] = [];
const faults: string[] = [];
afterAll(() => made.forEach((gpu) => gpu.dispose()));

async function backend(options: WebGpuOptions = {}): Promise<Gpu> {
  const gpu = await webgpu({ gpu: dawn, ...options });
  (gpu.device as unknown as { onuncapturederror: unknown }).onuncapturederror = (event: { error: Error }): void => void faults.push(event.error.message);
  made.push(gpu);
  return gpu;
}

describe("in WebAssembly", () => {
  for (const { name, run } of featureChecks(cpu)) it(name, run);
});

it("there is an adapter, or the checks say that they did not run", () => {
  if (missing) console.log(`WebGPU in Node: did not run (${missing})`);
  if (expected) expect(missing).toBe("");
});

if (!missing) {
  const settings: Record<string, WebGpuOptions> = { "without subgroups": { subgroups: false }, "with subgroups, where the adapter has them, and bindings of 64 KiB": { bindingBytes: 65536 } };
  for (const [name, options] of Object.entries(settings)) {
    const gpu = await backend(options);
    describe(name, () => {
      for (const check of featureChecks(asBackend(gpu, name))) it(check.name, check.run);
    });
  }

  it("no call left an error that nobody caught", () => expect(faults).toEqual([]));
}
