import { float32ToFloat16 } from "@logits/tensor";
import { expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { FakeOnnxTensor, FakeTensorFlowTensor } from "./fixtures/runtimes.ts";
import { disposeTensor, readTensor } from "./readTensor.ts";

const want = { shape: [1, 2], data: [1, 2] };

describe("readTensor", () => {
  it.each([
    ["ONNX Runtime", new FakeOnnxTensor([1, 2], [1, 2])],
    ["ONNX Runtime on a GPU", new FakeOnnxTensor([1, 2], [1, 2], "gpu-buffer")],
    ["WebNN", new FakeOnnxTensor([1, 2], [1, 2], "ml-tensor")],
    ["ONNX Runtime in float16", new FakeOnnxTensor(Uint16Array.from(float32ToFloat16(Float32Array.of(1, 2))), [1, 2], "cpu", "float16")],
    ["Transformers.js", { dims: [1, 2], type: "float32", location: "cpu", data: Float32Array.of(1, 2), ort_tensor: new FakeOnnxTensor([1, 2], [1, 2]) }],
    ["Transformers.js on a GPU", { dims: [1, 2], type: "float32", location: "gpu-buffer", ort_tensor: new FakeOnnxTensor([1, 2], [1, 2], "gpu-buffer") }],
    ["TensorFlow.js", new FakeTensorFlowTensor([1, 2], [1, 2])],
    ["a plain tensor", { dims: [1, 2], data: Float32Array.of(1, 2) }],
    ["whole numbers", { shape: [1, 2], dtype: "int32", data: Int32Array.of(1, 2) }],
  ])("reads a tensor of %s", async (_, x) => {
    expectExact(await readTensor("f", "x", x), want);
  });

  it("says what it refuses", async () => {
    const disposed = new FakeOnnxTensor([1, 2], [1, 2]);
    disposeTensor(disposed);
    const gone = new FakeTensorFlowTensor([1, 2], [1, 2]);
    disposeTensor(gone);
    const detached = new FakeOnnxTensor([1, 2], [1, 2]);
    structuredClone(null, { transfer: [(detached.data as Float32Array).buffer as ArrayBuffer] });
    await expect(readTensor("f", "x", disposed)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` a tensor with its data, got one that was disposed. Read it before dispose()]`);
    await expect(readTensor("f", "x", gone)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` a tensor with its data, got one that was disposed. Read it before dispose()]`);
    await expect(readTensor("f", "x", detached)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` a tensor with its data, got a detached buffer. It was transferred to a worker: copy it before]`);
    await expect(readTensor("f", "x", { dims: [1], location: "texture", data: undefined })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` a tensor on the CPU, got one at location texture without getData(). Download it first and pass { data, dims }]`);
    await expect(readTensor("f", "x", undefined)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` a tensor, got undefined]`);
    await expect(readTensor("f", "x", { dims: [1], data: ["a"], type: "string" })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`x\` of numbers, got String at index 0]`);
  });

  it("disposes what can be disposed", () => {
    expect(() => [undefined, null, 1, {}].forEach(disposeTensor)).not.toThrow();
  });
});
