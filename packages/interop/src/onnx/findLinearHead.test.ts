import { ONNX_HEADS, expectClose, onnxExternalFiles, onnxHeadModel, onnxModel, type OnnxHeadKind } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { findLinearHead, readLinearHead } from "./index.ts";

const make = (kind: OnnxHeadKind, options?: { features?: number; classes?: number; seed?: number }): { bytes: Uint8Array; files: Map<string, Uint8Array> } & ReturnType<typeof onnxHeadModel> => {
  const made = onnxHeadModel(kind, options);
  return { ...made, bytes: onnxModel(made.model), files: onnxExternalFiles(made.model) };
};

describe("agrees with the weights that were written", () => {
  it.each(ONNX_HEADS)("%s", (kind) => {
    // 40 features: the last block of 16 is half empty.
    for (const [features, classes, seed] of [[32, 5, 1], [40, 3, 2], [1, 1, 3]]) {
      if (features === 1 && kind === "QDQ int4 blocks") continue;
      const { bytes, files, features: tensor, weights, bias } = make(kind, { features, classes, seed });
      const head = readLinearHead(bytes, { files });
      expect(head).toMatchObject({ tensor, features, classes, output: "logits" });
      expect(head.matrix.shape).toEqual([features, classes]);
      // One rounding to float32; dequantisation in DequantizeLinear's own float32 and then a factor: two.
      expectClose(head.matrix, weights, { ulp: 1, label: "weights" });
      expectClose(head.bias, bias, { ulp: 1, label: "bias" });
      expect(findLinearHead(bytes)).toEqual(Object.fromEntries(Object.entries(head).filter(([key]) => key !== "matrix" && key !== "bias")));
    }
  });
});
