import { describe, expect, it } from "vitest";
import { FakeOnnxTensor, fakeHead, type Asked } from "./fixtures/runtimes.ts";
import { guard } from "./onnxruntime.ts";
import type { GpuBackend } from "./gpu.ts";
import type { Head } from "./rows.ts";

// A backend that notes what it adopts; the real one is in tools/webgpu.

const events: string[] = [];
const gpu: GpuBackend = {
  tensor(x: { readonly dims: readonly number[] }) {
    events.push(`adopt [${x.dims.join(", ")}]`);
    return { shape: x.dims, location: "gpu-buffer", gpu: {} as never, operations: {} as never, reshape: () => undefined as never, row: () => undefined as never, dispose: () => void events.push("give back") };
  },
};
const head: Head<Asked> = {
  ...fakeHead(["up", "down"]),
  async decideAllAsync(rows, { ids }) {
    events.push(`decide ${"features" in rows ? "with features" : "logits alone"}`);
    return [...ids].map((id) => ({ label: `${id}` }));
  },
};

class Watched extends FakeOnnxTensor {
  override dispose(): void {
    super.dispose();
    events.push("dispose");
  }
}

function session(location = "gpu-buffer", shape: readonly number[] = [1, 2]) {
  return {
    inputNames: ["x"], outputNames: ["logits", "hidden"],
    async run(_: object, fetches: readonly string[]): Promise<object> {
      return Object.fromEntries(fetches.map((name) => [name, name === "hidden" ? new Watched([7], [1, 1], location) : new Watched([1, 2], shape, location)]));
    },
  };
}

describe("guard with a backend of the GPU", () => {
  it("adopts the logits, decides on them, and frees them afterwards", async () => {
    const decide = guard(session(), head, { feed: (x: readonly number[]) => x, gpu, logits: "logits" });
    expect(await decide([1, 2])).toEqual([{ label: "0" }, { label: "1" }]);
    const one = ["adopt [1, 2]", "decide logits alone", "give back", "dispose"];
    expect(events.splice(0)).toEqual([...one, ...one]);
    expect(await guard(session(), head, { gpu, logits: "logits", features: "hidden" })({})).toEqual([{ label: "0" }]);
    expect(events.splice(0)).toEqual(["adopt [1, 2]", "decide with features", "give back", "dispose", "dispose"]);
  });

  it("frees them where they do not fit the head", async () => {
    await expect(guard(session("gpu-buffer", [1, 3]), head, { gpu, logits: "logits" })({})).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of 2 classes on the last axis, got shape [1, 3]]`);
    expect(events.splice(0)).toEqual(["adopt [1, 3]", "give back", "dispose"]);
  });

  it("says what is wrong", async () => {
    await expect(guard(session("cpu"), head, { gpu, logits: "logits" })({})).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`logits\` on the GPU, as \`gpu\` says, got a tensor at location cpu. Load the model with device "webgpu" and preferredOutputLocation "gpu-buffer", or leave \`gpu\` out]`);
    expect(events.splice(0)).toEqual(["dispose"]);
    expect(() => guard(session(), fakeHead(["up", "down"]), { gpu })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`head\` with \`decideAllAsync\`, for logits that stay on the GPU, got Object. Leave \`gpu\` out]`);
    expect(() => guard(session(), head, { gpu: {} as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`gpu\` a backend of @logits/webgpu, got Object. Await it: await webgpu({ device })]`);
  });
});
