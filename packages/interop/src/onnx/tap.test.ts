import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ONNX_HEADS, onnxHeadModel, onnxModel, type OnnxModel, type OnnxNode } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { findLinearHead, readLinearHead, tap } from "./index.ts";
import { readEnvelope, readGraph } from "./model.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const outputs = (bytes: Uint8Array): string[] => [...readGraph(readEnvelope("test", bytes)).outputs.keys()];
const node = (type: string, inputs: string[], outs: string[], attributes: OnnxNode["attributes"] = {}): OnnxNode => ({ type, inputs, outputs: outs, attributes });
const model = (rest: Partial<OnnxModel> = {}): Uint8Array => onnxModel({
  inputs: [{ name: "x", shape: ["B", 2] }], outputs: [{ name: "logits", shape: ["B", 3] }], nodes: [node("Relu", ["x"], ["feat"]), node("Tanh", ["feat"], ["deep"]), node("MatMul", ["deep", "W"], ["logits"])],
  initializers: [{ name: "W", type: "float32", shape: [2, 3], data: [1, 2, 3, 4, 5, 6] }], ...rest,
});

describe("what is appended", () => {
  it("is ten bytes for a tensor called feat of which nothing is known: graph (7), output (12), name (1)", () => {
    const bytes = model();
    const { bytes: tapped, appended, name, status, head } = tap(bytes, { tensor: "feat" });
    expect(hex(appended)).toBe("3a08" + "6206" + "0a04" + "66656174");
    expect(hex(tapped)).toBe(hex(bytes) + hex(appended));
    expect({ name, status, head }).toEqual({ name: "feat", status: "added", head: undefined });
  });

  it("has the type where the file or the layer tells it", () => {
    // Rank two from the declared logits: name, then tensor_type { elem_type float32, shape { ?, 2 } }.
    expect(hex(tap(model()).appended)).toBe("3a16" + "6214" + "0a0464656570" + "120c" + "0a0a" + "0801" + "1206" + "0a00" + "0a020802");
    // Behind a Reshape, or where the logits have no declared shape, only the element type.
    expect(hex(tap(model({ outputs: [{ name: "logits" }] })).appended)).toBe("3a0e" + "620c" + "0a0464656570" + "1204" + "0a02" + "0801");
    // As the file has it, symbols included.
    expect(hex(tap(model({ values: [{ name: "feat", shape: ["batch", 2] }] }), { tensor: "feat" }).appended)).toBe("3a1d" + "621b" + "0a0466656174" + "1213" + "0a11" + "0801" + "120d" + "0a07" + "12056261746368" + "0a020802");
  });

  it("is what protobuf's own serializer writes for a model with nothing but that output", () => {
    const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "python.json"), "utf8")) as { cases: { name: string; model: string; tensor: string; appended: string | null }[] };
    const compared = cases.filter(({ appended }) => appended !== null);
    expect(compared.length).toBeGreaterThanOrEqual(6);
    for (const { name, model: text, tensor, appended } of compared) {
      const bytes = new Uint8Array(Buffer.from(text, "base64"));
      expect(tap(bytes), name).toMatchObject({ name: tensor, status: "added" });
      expect(hex(tap(bytes).appended), name).toBe(appended);
    }
  });

  it("leaves the bytes that came in as they were, and the head findable", () => {
    for (const kind of ONNX_HEADS) {
      const { model: spec, features } = onnxHeadModel(kind);
      const bytes = onnxModel(spec);
      const copy = bytes.slice();
      const result = tap(bytes);
      expect(bytes).toEqual(copy);
      expect(result.bytes).toBe(result.bytes);
      expect(result.bytes.subarray(0, bytes.length)).toEqual(copy);
      expect(result.head).toEqual(findLinearHead(bytes));
      const half = result.head!.dtype === "float16";
      expect(result.name).toBe(half ? `${features}_float32` : features);
      expect(outputs(result.bytes)).toEqual(["logits", result.name]);
      const { dtype, shape, ...rest } = findLinearHead(result.bytes);
      const { dtype: dtypeBefore, shape: shapeBefore, ...before } = findLinearHead(bytes);
      expect(rest).toEqual(before);
      expect([dtype, shape?.length ?? 2]).toEqual([dtypeBefore, shapeBefore?.length ?? 2]);
    }
  });
});

describe("several taps", () => {
  it("are several calls; one that is there already changes nothing and says so", () => {
    const first = tap(model());
    const second = tap(first.bytes, { tensor: "feat" });
    expect(outputs(second.bytes)).toEqual(["logits", "deep", "feat"]);
    for (const options of [{}, { tensor: "deep" }, { tensor: "feat" }, { tensor: "logits" }]) {
      const again = tap(second.bytes, options);
      expect([again.status, again.bytes === second.bytes, again.appended.length]).toEqual(["output", true, 0]);
    }
  });

  it("a float16 tensor that is returned as float32 is found again", () => {
    const first = tap(onnxModel(onnxHeadModel("float16").model));
    expect([first.name, first.status]).toEqual(["feat_float32", "added"]);
    expect(tap(first.bytes)).toMatchObject({ name: "feat_float32", status: "output", bytes: first.bytes });
    expect(readLinearHead(first.bytes)).toMatchObject({ tensor: "feat", dtype: "float16" });
  });

  it("a float16 tensor whose new name is taken gets another", () => {
    const { model: spec } = onnxHeadModel("float16");
    const taken = onnxModel({ ...spec, nodes: [...spec.nodes, node("Relu", ["logits"], ["feat_float32"])], outputs: [...spec.outputs, { name: "feat_float32" }] });
    expect(tap(taken)).toMatchObject({ name: "feat_float32_", status: "added" });
  });
});

describe("what cannot be tapped", () => {
  it("the features are the model's input: nothing to do", () => {
    const bytes = model({ nodes: [node("MatMul", ["x", "W"], ["logits"])] });
    expect(tap(bytes)).toMatchObject({ name: "x", status: "input", bytes });
  });

  it("messages", () => {
    const graph = { nodes: [node("Relu", ["x"], ["inner"])], inputs: [], outputs: [{ name: "inner" }] };
    const bytes = model({ nodes: [{ ...node("If", ["x"], ["deep"], { then_branch: { graph } }), name: "choice" }, node("MatMul", ["deep", "W"], ["logits"])] });
    expect(() => tap(bytes, { tensor: "nowhere" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tap: expected \`tensor\` to be the name of a tensor that a node of the main graph makes, got "nowhere", which no node makes]`);
    expect(() => tap(bytes, { tensor: "W" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tap: expected \`tensor\` to be the name of a tensor that a node of the main graph makes, got the constant "W"]`);
    expect(() => tap(bytes, { tensor: "inner" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tap: expected \`tensor\` to be the name of a tensor that a node of the main graph makes, got "inner", which lives in a subgraph of the If node "choice". Only tensors of the main graph can be returned]`);
    expect(() => tap(bytes, { tensor: "deep", output: "logits" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: tap: expected \`options\` with \`output\` or \`tensor\`, got both]`);
    expect(() => tap(model({ nodes: [node("Conv", ["x", "W"], ["logits"])] }))).toThrowErrorMatchingInlineSnapshot(`[RangeError: tap: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Conv node]`);
    expect(() => tap(new Uint8Array(4))).toThrowErrorMatchingInlineSnapshot(`[FormatError: tap: expected \`bytes\` to be an ONNX model, got field number 0 at byte 0]`);
    expect(tap(bytes).status).toBe("added");
  });
});
