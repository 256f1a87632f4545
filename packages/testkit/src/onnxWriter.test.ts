import { expect, it } from "vitest";
import { onnxExternalFiles, onnxModel, type OnnxModel } from "./onnxWriter.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const base: OnnxModel = { nodes: [], inputs: [], outputs: [], producer: "", name: "" };

it("writes the bytes that protobuf's encoding gives for a Gemm with a float initialiser, worked out by hand", () => {
  const bytes = onnxModel({
    ...base,
    nodes: [{ type: "Gemm", inputs: ["x", "W"], outputs: ["y"], attributes: { transB: 1 } }],
    inputs: [{ name: "x", shape: ["B", 2] }],
    outputs: [{ name: "y" }],
    initializers: [{ name: "W", type: "float32", shape: [1, 2], data: [1, -2] }],
    opsets: { "": 18 },
  });
  const node = "0a1e" + "0a0178" + "0a0157" + "120179" + "220447656d6d" + "2a0d" + "0a067472616e7342" + "1801" + "a00102";
  const tensor = "2a13" + "0801" + "0802" + "1001" + "420157" + "4a08" + "0000803f" + "000000c0";
  const input = "5a14" + "0a0178" + "120f" + "0a0d" + "0801" + "1209" + "0a03120142" + "0a020802";
  const output = "6209" + "0a0179" + "1204" + "0a02" + "0801";
  const graph = [node, "1200", tensor, input, output].join("");
  // 30 + 19 + 20 + 9 bytes, two each for their heads, and the empty name: 88.
  expect(hex(bytes)).toBe(`08081200` + `3a58${graph}` + "4204" + "0a00" + "1012");
});

it("rounds float16 to nearest, ties to even, with subnormals and infinities", () => {
  const cases: [number, number][] = [[0, 0], [-0, 0x8000], [1, 0x3c00], [-2, 0xc000], [65504, 0x7bff], [65519.9, 0x7bff], [65520, 0x7c00], [2 ** -24, 1], [2 ** -25, 0], [1.5 * 2 ** -24, 2], [1 + 2 ** -11, 0x3c00], [1 + 3 * 2 ** -11, 0x3c02], [2 ** -14, 0x400], [2 - 2 ** -12, 0x4000], [0.1, 0x2e66], [NaN, 0x7e00]];
  const bytes = onnxExternalFiles({ ...base, initializers: [{ name: "h", type: "float16", shape: [cases.length], data: cases.map(([x]) => x), storage: { location: "f" } }] }).get("f")!;
  expect([...new Uint16Array(bytes.buffer)]).toEqual(cases.map(([, bits]) => bits));
});

it("puts external tensors at their offsets, and names file, offset and length in the model", () => {
  const model: OnnxModel = {
    ...base,
    initializers: [
      { name: "a", type: "int8", shape: [2], data: [-1, 2], storage: { location: "w.onnx_data", offset: 4 } },
      { name: "b", type: "uint4", shape: [3], data: [1, 2, 15], storage: { location: "w.onnx_data" } },
    ],
  };
  expect(hex(onnxExternalFiles(model).get("w.onnx_data")!)).toBe("210f0000ff02");
  const text = Buffer.from(onnxModel(model)).toString("latin1");
  for (const part of ["\x0a\x08location\x12\x0bw.onnx_data", "\x0a\x06offset\x12\x014", "\x0a\x06length\x12\x012"]) expect(text).toContain(part);
});

it("writes typed fields packed, negative integers as ten bytes", () => {
  const bytes = onnxModel({ ...base, initializers: [{ name: "i", type: "int8", shape: [2], data: [-1, 3], storage: "typed" }], opsets: {} });
  expect(hex(bytes)).toContain("2a0b" + "ff".repeat(9) + "01" + "03");
});
