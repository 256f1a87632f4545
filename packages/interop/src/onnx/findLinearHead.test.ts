import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LinearHead } from "@logits/head";
import { float16ToFloat32, float32ToFloat16 } from "@logits/tensor";
import { ONNX_HEADS, expectClose, expectExact, onnxExternalFiles, onnxHeadModel, onnxModel, type OnnxHeadKind, type OnnxModel, type OnnxNode } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { findLinearHead, readLinearHead } from "./index.ts";
import { bytesField, textField } from "./protobuf.ts";

const make = (kind: OnnxHeadKind, options?: { features?: number; classes?: number; seed?: number }): { bytes: Uint8Array; files: Map<string, Uint8Array> } & ReturnType<typeof onnxHeadModel> => {
  const made = onnxHeadModel(kind, options);
  return { ...made, bytes: onnxModel(made.model), files: onnxExternalFiles(made.model) };
};

const node = (type: string, inputs: string[], outputs: string[], attributes: OnnxNode["attributes"] = {}, domain = ""): OnnxNode => ({ type, inputs, outputs, attributes, domain, name: `n_${outputs[0]}` });

/** x [B, 2] -> the given nodes -> logits, with W [2, 3] and b [3]. */
const small = (nodes: OnnxNode[], rest: Partial<OnnxModel> = {}): Uint8Array => onnxModel({
  inputs: [{ name: "x", shape: ["B", 2] }], outputs: [{ name: "logits", shape: ["B", 3] }], nodes, ...rest,
  initializers: [
    { name: "W", type: "float32", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }, { name: "b", type: "float32", shape: [3], data: [1, 0, -1] }, { name: "two", type: "float32", shape: [2], data: [1, 2] },
    ...(rest.initializers ?? []),
  ],
});

describe("agrees with the weights that were written", () => {
  it.each(ONNX_HEADS)("%s", (kind) => {
    // 40 features: the last block of 16 is half empty.
    for (const [features, classes, seed] of [[32, 5, 1], [40, 3, 2], [1, 1, 3]]) {
      const { bytes, files, features: tensor, weights, bias } = make(kind, { features, classes, seed });
      const head = readLinearHead(bytes, { files });
      expect(head).toMatchObject({ tensor, features, classes, output: "logits" });
      expect(head.weights.shape).toEqual([features, classes]);
      // One rounding to float32 of a float64 product; the sums of "folded scale" are two.
      expectClose(head.weights, weights, { ulp: 1, label: "weights" });
      expectClose(head.bias, bias, { ulp: 1, label: "bias" });
      expect(findLinearHead(bytes)).toEqual(Object.fromEntries(Object.entries(head).filter(([key]) => key !== "weights" && key !== "bias")));
    }
  });

  it("says how the weights stand in the file, and what follows the layer", () => {
    const seen = ONNX_HEADS.map((kind) => {
      const { node: { type }, storage: { dtype, quantization, blockSize }, after, outputIs, dtype: features, shape } = findLinearHead(make(kind).bytes);
      return `${kind}: ${type}, ${dtype} ${quantization} ${blockSize}, then ${after.join(" ") || "nothing"}: ${outputIs}; features ${features} [${shape?.join(", ") ?? ""}]`;
    });
    expect(seen.join("\n")).toMatchInlineSnapshot(`
      "gemm: Gemm, float32 none 0, then nothing: logits; features float32 [batch, 32]
      gemm alpha beta: Gemm, float32 none 0, then nothing: logits; features float32 []
      matmul: MatMul, float32 none 0, then nothing: logits; features float32 []
      matmul add: MatMul, float32 none 0, then Add: logits; features float32 []
      fused matmul: FusedMatMul, float32 none 0, then nothing: logits; features float32 []
      float16: Gemm, float16 none 0, then Cast: logits; features float16 []
      float16 weights: MatMul, float16 none 0, then Add: logits; features float32 []
      external data: Gemm, float32 none 0, then nothing: logits; features float32 [batch, 32]
      softmax: Gemm, float32 none 0, then Softmax: probabilities; features float32 [batch, 32]
      identity reshape: Gemm, float32 none 0, then Identity Reshape: logits; features float32 [batch, 32]
      folded scale: MatMul, float32 none 0, then Sub Mul Div Sub: logits; features float32 []
      dynamic uint8: MatMulInteger, uint8 dynamic 0, then Cast Mul Add: logits; features float32 []
      dynamic int8 per column: MatMulInteger, int8 dynamic 0, then Cast Mul Add: logits; features float32 []
      DynamicQuantizeMatMul: DynamicQuantizeMatMul, uint8 dynamic 0, then nothing: logits; features float32 []
      MatMulIntegerToFloat: MatMulIntegerToFloat, uint8 dynamic 0, then nothing: logits; features float32 []
      MatMulNBits 4: MatMulNBits, uint4 blockwise 16, then Add: logits; features float32 []
      MatMulNBits 4 zero points: MatMulNBits, uint4 blockwise 16, then Add: logits; features float32 []
      MatMulNBits 4 float16: MatMulNBits, uint4 blockwise 16, then Add Cast: logits; features float16 []
      MatMulNBits 8: MatMulNBits, uint8 blockwise 16, then Add: logits; features float32 []
      QDQ weights: MatMul, int8 static 0, then Add: logits; features float32 []
      QDQ int4 blocks: MatMul, int4 static 16, then nothing: logits; features float32 []
      QDQ features: MatMul, uint8 static 0, then Add: logits; features float32 []"
    `);
  });

  it("float32 weights are the bits of the file, of a Gemm whether transposed or not", () => {
    for (const kind of ["gemm", "matmul", "matmul add"] as const) {
      const { bytes, weights, bias } = make(kind);
      const head = readLinearHead(bytes);
      expectExact([...head.weights.data], [...weights]);
      expectExact([...head.bias.data], [...bias]);
    }
  });

  it("feeds LinearHead, whose logits are those of the definition", () => {
    const { bytes, weights, bias } = make("gemm", { features: 4, classes: 3 });
    const head = readLinearHead(bytes);
    const want = Array.from({ length: 3 }, (_, c) => bias[c] + [1, -2, 0.5, 3].reduce((sum, x, f) => sum + x * weights[f * 3 + c], 0));
    // Five float32 roundings of numbers below 4.
    expectClose(LinearHead.fromWeights(head.weights, head.bias).logits([[1, -2, 0.5, 3]]), want, { atol: 2e-6 });
  });
});

describe("files of other writers", () => {
  interface Case {
    readonly name: string;
    readonly model: string;
    readonly files: Record<string, string>;
    readonly tensor: string;
    readonly shape: number[];
    readonly weights: number[];
    readonly bias: number[];
  }
  const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "python.json"), "utf8")) as { cases: Case[] };
  const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

  it.each(cases)("$name", ({ model, files, tensor, shape, weights, bias }) => {
    const head = readLinearHead(bytesOf(model), { files: new Map(Object.entries(files).map(([name, data]) => [name, bytesOf(data)])) });
    expect([head.tensor, head.features, head.classes]).toEqual([tensor, ...shape]);
    expectExact([...head.weights.data], weights);
    expectExact([...head.bias.data], bias);
  });
});

describe("external data", () => {
  const { bytes, files, weights } = make("external data");

  it("lists what is needed, and takes a function that reads ranges", () => {
    expect(findLinearHead(bytes).external).toEqual([{ location: "model.onnx_data", offset: 64, length: 640 }, { location: "model.onnx_data", offset: 0, length: 20 }]);
    const asked: unknown[] = [];
    const head = readLinearHead(bytes, { files: (location, offset, length) => (asked.push([location, offset, length]), files.get(location)!.subarray(offset, offset + length)) });
    expectExact([...head.weights.data], [...weights]);
    expect(asked).toEqual([["model.onnx_data", 64, 640], ["model.onnx_data", 0, 20]]);
  });

  it("messages", () => {
    expect(() => readLinearHead(bytes)).toThrowErrorMatchingInlineSnapshot(`[RangeError: readLinearHead: expected \`files\` to hold "model.onnx_data", where the model keeps the head's weights, got no files. Pass { files: new Map([["model.onnx_data", bytes]]) }]`);
    expect(() => readLinearHead(bytes, { files: new Map([["model.data", new Uint8Array(9)]]) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: readLinearHead: expected \`files\` to hold "model.onnx_data", where the model keeps the head's weights, got "model.data". Pass { files: new Map([["model.onnx_data", bytes]]) }]`);
    expect(() => readLinearHead(bytes, { files: new Map([["model.onnx_data", new Uint8Array(99)]]) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: readLinearHead: expected \`files\` to hold the bytes [64, 704) of "model.onnx_data", got a file of 99 bytes. The file is truncated, or belongs to another model]`);
    expect(() => readLinearHead(bytes, { files: () => new Uint8Array(9) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: readLinearHead: expected \`files\` to answer with the bytes [64, 704) of "model.onnx_data", got 9 bytes]`);
    expect(() => readLinearHead(bytes, { files: (() => Promise.resolve()) as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: readLinearHead: expected \`files\` to answer with a Uint8Array: the bytes [64, 704) of "model.onnx_data", got object. Read the file before: the function must not be async]`);
  });
});

describe("outputs", () => {
  it("takes the one called logits, the only one, or the one asked for", () => {
    const nodes = [node("MatMul", ["x", "W"], ["logits"]), node("Relu", ["x"], ["other"]), node("MatMul", ["other", "W"], ["second"])];
    const bytes = small(nodes, { outputs: [{ name: "second" }, { name: "logits" }] });
    expect(findLinearHead(bytes).tensor).toBe("x");
    expect(findLinearHead(bytes, { output: "second" }).tensor).toBe("other");
    expect(findLinearHead(small(nodes, { outputs: [{ name: "second" }] })).tensor).toBe("other");
  });

  it("messages", () => {
    const bytes = small([node("MatMul", ["x", "W"], ["a"]), node("MatMul", ["x", "W"], ["c"])], { outputs: [{ name: "a" }, { name: "c" }] });
    expect(() => findLinearHead(bytes)).toThrowErrorMatchingInlineSnapshot(`[RangeError: findLinearHead: expected \`output\` the name of one of the model's 2 outputs "a", "c", got none. Pass { output: "a" }]`);
    expect(() => findLinearHead(bytes, { output: "logits" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: findLinearHead: expected \`output\` one of the model's outputs "a", "c", got "logits"]`);
  });
});

describe("graphs whose output is not made by one linear layer: the node is named", () => {
  const graph = { nodes: [node("MatMul", ["x", "W"], ["inner"])], inputs: [], outputs: [{ name: "inner" }] };
  const cases: Record<string, Uint8Array> = {
    convolution: small([node("Conv", ["x", "W"], ["y"]), node("Flatten", ["y"], ["logits"])]),
    "a sum of two layers": small([node("MatMul", ["x", "W"], ["y"]), node("MatMul", ["x", "W"], ["z"]), node("Add", ["y", "z"], ["logits"])]),
    "a product of computed tensors": small([node("MatMul", ["x", "W"], ["y"]), node("MatMul", ["x", "W"], ["z"]), node("Mul", ["y", "z"], ["logits"])]),
    "weights that are computed": small([node("Relu", ["W"], ["V"]), node("MatMul", ["x", "V"], ["logits"])]),
    "weights that are an input": small([node("Gemm", ["x", "x"], ["logits"])]),
    "features on the right": small([node("MatMul", ["W", "x"], ["logits"])]),
    "transposed features": small([node("Gemm", ["x", "W"], ["logits"], { transA: 1 })]),
    "weights of rank three": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [1, 2, 3], data: [1, 2, 3, 4, 5, 6] }] }),
    "no features": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [0, 3], data: [] }] }),
    "a bias of another width": small([node("MatMul", ["x", "W"], ["y"]), node("Add", ["y", "two"], ["logits"])]),
    "a scale after the softmax": small([node("MatMul", ["x", "W"], ["y"]), node("Softmax", ["y"], ["z"]), node("Mul", ["z", "b"], ["logits"])]),
    "one divided by scores": small([node("MatMul", ["x", "W"], ["y"]), node("Div", ["b", "y"], ["logits"])]),
    "a branch": small([node("If", ["x"], ["logits"], { then_branch: { graph }, else_branch: { graph } })]),
    "an operator of another domain": small([node("LinearClassifier", ["x"], ["logits"], {}, "ai.onnx.ml")]),
    "static integers": small([node("QLinearMatMul", ["x", "W"], ["y"]), node("DequantizeLinear", ["y", "b"], ["logits"])]),
    "an input": small([node("Identity", ["x"], ["logits"])]),
    "a constant": small([node("Identity", ["W"], ["logits"])]),
    "a name from nowhere": small([node("Identity", ["y"], ["logits"])]),
    "a name from a subgraph": small([node("If", ["x"], ["z"], { then_branch: { graph } }), node("Identity", ["inner"], ["logits"])]),
    "a cycle": small([node("Identity", ["logits"], ["y"]), node("Identity", ["y"], ["logits"])]),
    "a function that the file defines": new Uint8Array([...small([node("Classify", ["x"], ["logits"], {}, "mine")]), ...bytesField(25, textField(1, "Classify"), textField(10, "mine"))]),
    "a permuted block layout": small([node("MatMulNBits", ["x", "q", "s", "", "g"], ["logits"], { K: 2, N: 3, bits: 4, block_size: 16 }, "com.microsoft")], {
      initializers: [{ name: "q", type: "uint8", shape: [3, 1, 8], data: new Array(24).fill(0) }, { name: "s", type: "float32", shape: [3], data: [1, 1, 1] }, { name: "g", type: "int32", shape: [2], data: [0, 0] }],
    }),
    "blocks that do not fit": small([node("MatMulNBits", ["x", "q", "s"], ["logits"], { K: 2, N: 3, bits: 4, block_size: 32 }, "com.microsoft")], {
      initializers: [{ name: "q", type: "uint8", shape: [3, 1, 8], data: new Array(24).fill(0) }, { name: "s", type: "float32", shape: [3], data: [1, 1, 1] }],
    }),
    "integers that were quantised before": small([node("MatMulInteger", ["x", "q"], ["logits"])], { initializers: [{ name: "q", type: "int8", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }] }),
    "integers with a scale from elsewhere": small(
      [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("DynamicQuantizeLinear", ["W"], ["q2", "s2", "z2"]), node("MatMulInteger", ["q", "i", "z"], ["y"]), node("Cast", ["y"], ["c"], { to: 1 }), node("Mul", ["c", "s2"], ["logits"])],
      { initializers: [{ name: "i", type: "int8", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }] },
    ),
    "a bias before the scale": small(
      [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("MatMulInteger", ["q", "i", "z"], ["y"]), node("Add", ["y", "b"], ["c"]), node("Mul", ["c", "s"], ["logits"])],
      { initializers: [{ name: "i", type: "int8", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }] },
    ),
  };

  it("each in its words", () => {
    const said = Object.entries(cases).map(([name, bytes]) => {
      try {
        readLinearHead(bytes);
        return `${name}: no error`;
      } catch (error) {
        return `${name}: ${(error as Error).name}: ${(error as Error).message}`;
      }
    });
    expect(said.join("\n")).toMatchInlineSnapshot(`
      "convolution: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Conv node "n_y"
      a sum of two layers: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Add node "n_logits" of two computed tensors
      a product of computed tensors: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Mul node "n_logits" of two computed tensors
      weights that are computed: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMul node "n_logits" whose input "V" is no constant (it is made by the Relu node "n_V")
      weights that are an input: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Gemm node "n_logits" whose input "x" is no constant (it is made by the model's input)
      features on the right: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMul node "n_logits" whose input "x" is no constant (it is made by the model's input)
      transposed features: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Gemm node "n_logits" that transposes its features
      weights of rank three: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMul node "n_logits" with weights of shape [1, 2, 3]
      no features: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMul node "n_logits" of 0 features and 3 classes
      a bias of another width: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got a constant of shape [2] beside the layer of 3 classes
      a scale after the softmax: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Softmax node "n_z" before Mul
      one divided by scores: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Div node "n_logits", which divides by what the layer makes
      a branch: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the If node "n_logits", which computes it in a subgraph
      an operator of another domain: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the ai.onnx.ml.LinearClassifier node "n_logits"
      static integers: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the DequantizeLinear node "n_logits"
      an input: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the model's input "x"
      a constant: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the constant "W"
      a name from nowhere: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got "y", which no node makes
      a name from a subgraph: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got "inner" inside the If node "n_z"
      a cycle: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got a cycle at "logits"
      a function that the file defines: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the mine.Classify node "n_logits", a function of the model's own. Inline the functions first (onnx.inliner.inline_local_functions)
      a permuted block layout: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the com.microsoft.MatMulNBits node "n_logits" with g_idx, whose rows are permuted
      blocks that do not fit: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the com.microsoft.MatMulNBits node "n_logits" of K 2, N 3, bits 4, block_size 32 with 24 packed uint8, 3 scales
      integers that were quantised before: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMulInteger node "n_logits" whose input "x" is not quantised at run time (it is made by the model's input)
      integers with a scale from elsewhere: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the MatMulInteger node "n_y" whose scale or zero point is not that of the DynamicQuantizeLinear node "n_q"
      a bias before the scale: RangeError: readLinearHead: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Add node "n_c" of integers, before the DynamicQuantizeLinear node "n_q" scales them"
    `);
  });
});

describe("bytes that are no ONNX model", () => {
  const plain = make("gemm").bytes;
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const cases: Record<string, Uint8Array> = {
    "ORT format": Uint8Array.from([32, 0, 0, 0, ...text("ORTM"), 0, 0, 0, 0]),
    "Git LFS": text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    HTML: text("<!DOCTYPE html><html>"),
    ZIP: text("PK\x03\x04...."),
    gzip: Uint8Array.from([0x1f, 0x8b, 8, 0]),
    text: text("hello world"),
    empty: new Uint8Array(0),
    zeros: new Uint8Array(8),
    truncated: plain.subarray(0, plain.length - 30),
    "truncated in a length": plain.subarray(0, 21),
    "without a graph": onnxModel({ nodes: [], inputs: [], outputs: [] }).subarray(0, 2),
    "without outputs": onnxModel({ nodes: [], inputs: [], outputs: [] }),
    "two makers of one tensor": small([node("MatMul", ["x", "W"], ["logits"]), node("Relu", ["x"], ["logits"])]),
    "fewer bytes than the shape": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [2, 3], data: [1, 2] }] }),
    "fewer numbers than the shape": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float16", shape: [2, 3], data: [1, 2], storage: "typed" }] }),
    "a shape below zero": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [-2, 3], data: [1, 2] }] }),
    "a type without numbers": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "string", shape: [2, 3], data: { bytes: new Uint8Array(4) } }] }),
    "an external length of another size": small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [2, 3], data: [1], storage: { location: "f" } }] }),
  };

  it("each in its words", () => {
    const said = Object.entries(cases).map(([name, bytes]) => {
      try {
        readLinearHead(bytes);
        return `${name}: no error`;
      } catch (error) {
        return `${name}: ${(error as Error).name}: ${(error as Error).message}`;
      }
    });
    expect(said.join("\n")).toMatchInlineSnapshot(`
      "ORT format: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got an ORT-format file (.ort), a flatbuffer. Nothing can be appended to it: use the .onnx file that it was converted from
      Git LFS: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a Git LFS pointer. Fetch the file that it stands for (git lfs pull)
      HTML: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a page of HTML or XML. The address answers with a page, not with the file
      ZIP: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a ZIP archive. Unpack it first
      gzip: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a gzip file. Unpack it first
      text: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got wire type 4 at byte 2
      empty: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got no bytes
      zeros: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got field number 0 at byte 0
      truncated: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a field of 2447 bytes at byte 22, where 2423 are left. The file is truncated or damaged: load it again
      truncated in a length: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got the end in the middle of a number at byte 20. The file is truncated or damaged: load it again
      without a graph: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got no graph in it
      without outputs: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got a graph without outputs
      two makers of one tensor: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got two nodes that make "logits"
      fewer bytes than the shape: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got 8 bytes instead of 24 for the constant "V" of float32 [2, 3]
      fewer numbers than the shape: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got 2 numbers instead of 6 for the constant "V" of float16 [2, 3]
      a shape below zero: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got shape [-2, 3] of the constant "V"
      a type without numbers: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got the constant "V" of type string. Weights of that type are not read
      an external length of another size: FormatError: readLinearHead: expected \`bytes\` to be an ONNX model, got 4 external bytes for the constant "V" of float32 [2, 3], which needs 24"
    `);
  });

  it("a file that protobuf cannot hold, and something else than bytes", () => {
    expect(() => findLinearHead(new Uint8Array(2 ** 31))).toThrowErrorMatchingInlineSnapshot(`[FormatError: findLinearHead: expected \`bytes\` to be an ONNX model, got 2147483648 bytes, more than a protobuf message can have (2^31 - 1). Models beyond that keep their weights in a file beside them (external data): pass the .onnx file only]`);
    expect(() => findLinearHead(new ArrayBuffer(8) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: findLinearHead: expected \`bytes\` a Uint8Array, got ArrayBuffer. Wrap an ArrayBuffer: new Uint8Array(buffer)]`);
  });
});

describe("special values", () => {
  it("weights that are not finite are told as they are", () => {
    const bytes = small([node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "V", type: "float32", shape: [2, 3], data: [NaN, Infinity, -Infinity, -0, 0, 1] }] });
    expectExact([...readLinearHead(bytes).weights.data], [NaN, Infinity, -Infinity, -0, 0, 1]);
  });

  it("a constant Cast to float16 rounds as the runtime does", () => {
    const bytes = small([node("Cast", ["W3"], ["V"], { to: 10 }), node("MatMul", ["x", "V"], ["logits"])], { initializers: [{ name: "W3", type: "float32", shape: [2, 3], data: [0.1, 1 / 3, 1e-8, 65519, 7e4, -0.1] }] });
    expectExact([...readLinearHead(bytes).weights.data], [...float16ToFloat32(float32ToFloat16(Float32Array.of(0.1, 1 / 3, 1e-8, 65519, 7e4, -0.1)))]);
  });

  it("bfloat16, float64, Constant nodes and a Dropout on the way", () => {
    const bytes = small(
      [node("Constant", [], ["c"], { value: { tensor: { name: "", type: "float64", shape: [1, 3], data: [0.5, 0.25, 1] } } }), node("Constant", [], ["k"], { value_float: { float: 2 } }), node("MatMul", ["x", "V"], ["y"]), node("Dropout", ["y"], ["z"]), node("Add", ["z", "c"], ["u"]), node("Mul", ["k", "u"], ["logits"])],
      { initializers: [{ name: "V", type: "bfloat16", shape: [2, 3], data: [1, -2, 0.5, 3, 4, 5] }] },
    );
    const { weights, bias } = readLinearHead(bytes);
    expectExact([...weights.data], [2, -4, 1, 6, 8, 10]);
    expectExact([...bias.data], [1, 0.5, 2]);
  });

  it("a pair of QuantizeLinear and DequantizeLinear behind the layer is a rounding of its numbers", () => {
    const bytes = small([node("Gemm", ["x", "W", "b"], ["y"]), node("QuantizeLinear", ["y", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["logits"])], { initializers: [{ name: "s", type: "float32", shape: [], data: [0.5] }] });
    const head = readLinearHead(bytes);
    expect(head.after).toEqual(["QuantizeLinear", "DequantizeLinear"]);
    expectExact([...head.bias.data], [1, 0, -1]);
  });

  it("a name with a byte order mark and other letters stays what it is", () => {
    const bytes = small([node("Relu", ["x"], ["\ufefffeätures/中"]), node("MatMul", ["\ufefffeätures/中", "W"], ["logits"])]);
    expect(findLinearHead(bytes).tensor).toBe("\ufefffeätures/中");
  });

  it("initialisers that are inputs too (before IR 4) are constants", () => {
    const bytes = small([node("MatMul", ["x", "W"], ["logits"])], { inputs: [{ name: "x" }, { name: "W", shape: [2, 3] }] });
    expect(findLinearHead(bytes).classes).toBe(3);
  });
});
