import type { OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "./onnxWriter.ts";
import { testRandom } from "./random.ts";

/** The forms in which exporters and quantizers write a classifier's last layer. */
export const ONNX_HEADS = [
  "gemm", "gemm alpha beta", "matmul", "matmul add", "fused matmul", "float16", "float16 weights", "external data", "softmax", "identity reshape", "folded scale",
  "dynamic uint8", "dynamic int8 per column", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits 4", "MatMulNBits 4 zero points", "MatMulNBits 4 float16", "MatMulNBits 8",
  "QDQ weights", "QDQ int4 blocks", "QDQ features",
] as const;

/** One of these forms. */
export type OnnxHeadKind = (typeof ONNX_HEADS)[number];

/** A small classifier: x [batch, 12] -> feat = relu(x · V) [batch, F] -> logits [batch, C]. */
export interface OnnxHeadModel {
  readonly model: OnnxModel;
  /** The tensor that goes into the head. */
  readonly features: string;
  /** What the head's weights mean, in float64, from the numbers that were written: W [F, C], row-major, and b [C]. */
  readonly weights: Float64Array;
  readonly bias: Float64Array;
}

const INPUTS = 12;
const MS = "com.microsoft";

/** A classifier with a head of one of the forms; weights from the seed. */
export function onnxHeadModel(kind: OnnxHeadKind, { features = 32, classes = 5, seed = 1 }: { readonly features?: number; readonly classes?: number; readonly seed?: number } = {}): OnnxHeadModel {
  const random = testRandom(seed);
  const normal = (size: number, scale: number): Float64Array => Float64Array.from({ length: size }, () => Math.fround(random.normal() * scale));
  const trunk = normal(INPUTS * features, 0.4);
  const w = normal(features * classes, 0.3);
  const b = normal(classes, 0.5);
  const half = (x: Float64Array): Float64Array => x.map((value) => Math.round(value * 1024) / 1024);
  const initializers: OnnxTensor[] = [];
  const nodes: OnnxNode[] = [];
  const constant = (name: string, shape: number[], data: ArrayLike<number>, type: OnnxTensor["type"] = "float32", storage?: OnnxTensor["storage"]): string => {
    initializers.push({ name, type, shape, data: Array.from(data), storage });
    return name;
  };
  const node = (type: string, inputs: string[], outputs: string[], attributes: OnnxNode["attributes"] = {}, domain = ""): void => {
    nodes.push({ type, inputs, outputs, attributes, domain, name: `/${type}_${nodes.length}` });
  };
  const float16 = kind === "float16" || kind === "MatMulNBits 4 float16";
  const values: OnnxValue[] = [];
  if (float16) node("Cast", ["x"], ["x16"], { to: 10 });
  node("MatMul", [float16 ? "x16" : "x", constant("V", [INPUTS, features], half(trunk), float16 ? "float16" : "float32")], ["hidden"]);
  node("Relu", ["hidden"], ["feat"]);

  let weights = w;
  let bias = b;
  let input = "feat";
  const transposed = (x: Float64Array): Float64Array => Float64Array.from(x, (_, i) => x[(i % features) * classes + Math.floor(i / features)]);
  const unsigned = (): { q: number[]; scale: number; zero: number } => {
    const [low, high] = [Math.min(0, ...w), Math.max(0, ...w)];
    const scale = Math.fround((high - low) / 255);
    const zero = Math.round(-low / scale);
    return { q: Array.from(w, (x) => Math.min(255, Math.max(0, Math.round(x / scale) + zero))), scale, zero };
  };
  const perColumn = (): { q: number[]; scales: number[] } => {
    const scales = Array.from({ length: classes }, (_, c) => Math.fround(Math.max(...Array.from({ length: features }, (__, f) => Math.abs(w[f * classes + c]))) / 127));
    return { q: Array.from(w, (x, i) => Math.round(x / scales[i % classes])), scales };
  };
  switch (kind) {
    case "gemm":
    case "softmax":
    case "identity reshape":
    case "external data": {
      const storage = kind === "external data" ? { location: "model.onnx_data", offset: 64 } : undefined;
      values.push({ name: "feat", shape: ["batch", features] });
      constant("W", [classes, features], transposed(w), "float32", storage);
      constant("b", [classes], b, "float32", storage && { location: "model.onnx_data", offset: 0 });
      const plain = kind === "gemm" || kind === "external data";
      node("Gemm", ["feat", "W", "b"], [plain ? "logits" : "y"], { transB: 1 });
      if (kind === "softmax") node("Softmax", ["y"], ["logits"], { axis: -1 });
      if (kind !== "identity reshape") break;
      node("Identity", ["y"], ["z"]);
      node("Reshape", ["z", constant("shape", [2], [-1, classes], "int64")], ["logits"]);
      break;
    }
    case "gemm alpha beta":
      node("Gemm", ["feat", constant("W", [features, classes], w), constant("b", [1, classes], b)], ["logits"], { alpha: { float: 0.5 }, beta: { float: 2 } });
      [weights, bias] = [w.map((x) => 0.5 * x), b.map((x) => 2 * x)];
      break;
    case "matmul":
      node("MatMul", ["feat", constant("W", [features, classes], w, "float32", "typed")], ["logits"]);
      bias = new Float64Array(classes);
      break;
    case "matmul add":
      node("MatMul", ["feat", constant("W", [features, classes], w)], ["y"]);
      node("Add", [constant("b", [classes], b), "y"], ["logits"]);
      break;
    case "fused matmul":
      node("FusedMatMul", ["feat", constant("W", [classes, features], transposed(w))], ["logits"], { transB: 1, alpha: { float: 0.25 } }, MS);
      [weights, bias] = [w.map((x) => 0.25 * x), new Float64Array(classes)];
      break;
    case "folded scale":
      node("MatMul", ["feat", constant("W", [features, classes], w)], ["y"]);
      node("Sub", ["y", constant("b", [classes], b)], ["z"]);
      node("Mul", ["z", constant("s", [], [2.5])], ["v"]);
      node("Div", ["v", constant("d", [1], [4])], ["u"]);
      node("Sub", [constant("one", [classes], b.map(() => 1)), "u"], ["logits"]);
      [weights, bias] = [w.map((x) => (-2.5 * x) / 4), b.map((x) => 1 + (2.5 * x) / 4)];
      break;
    case "float16":
      [weights, bias] = [half(w), half(b)];
      node("Gemm", ["feat", constant("W", [classes, features], transposed(weights), "float16"), constant("b", [classes], bias, "float16")], ["y"], { transB: 1 });
      node("Cast", ["y"], ["logits"], { to: 1 });
      break;
    case "float16 weights":
      weights = half(w);
      node("Cast", [constant("W16", [classes, features], transposed(weights), "float16", "typed")], ["W32"], { to: 1 });
      node("Transpose", ["W32"], ["W"], { perm: { ints: [1, 0] } });
      node("MatMul", ["feat", "W"], ["y"]);
      node("Add", ["y", constant("b", [classes], b)], ["logits"]);
      break;
    case "dynamic uint8":
    case "dynamic int8 per column": {
      const column = kind === "dynamic int8 per column";
      const { q, scale, zero } = unsigned();
      const { q: qc, scales } = perColumn();
      const B = constant("W_quantized", [features, classes], column ? qc : q, column ? "int8" : "uint8");
      const Bz = column ? constant("W_zero_point", [classes], scales.map(() => 0), "int8") : constant("W_zero_point", [], [zero], "uint8");
      const Bs = constant("W_scale", column ? [classes] : [], column ? scales : [scale]);
      node("DynamicQuantizeLinear", ["feat"], ["feat_quantized", "feat_scale", "feat_zero_point"]);
      node("MatMulInteger", ["feat_quantized", B, "feat_zero_point", Bz], ["acc"]);
      node("Cast", ["acc"], ["acc_cast"], { to: 1 });
      node("Mul", ["feat_scale", Bs], ["scales_mul"]);
      node("Mul", ["acc_cast", "scales_mul"], ["y"]);
      node("Add", ["y", constant("b", [classes], b)], ["logits"]);
      weights = Float64Array.from(w, (_, i) => (column ? qc[i] * scales[i % classes] : (q[i] - zero) * scale));
      break;
    }
    case "DynamicQuantizeMatMul":
    case "MatMulIntegerToFloat": {
      const { q, scale, zero } = unsigned();
      const [B, s, z, bias1] = [constant("W_quantized", [features, classes], q, "uint8"), constant("W_scale", [1], [scale]), constant("W_zero_point", [1], [zero], "uint8"), constant("b", [classes], b)];
      if (kind === "DynamicQuantizeMatMul") node(kind, ["feat", B, s, z, bias1], ["logits"], {}, MS);
      else {
        node("DynamicQuantizeLinear", ["feat"], ["feat_quantized", "feat_scale", "feat_zero_point"]);
        node(kind, ["feat_quantized", B, "feat_scale", s, "feat_zero_point", z, bias1], ["logits"], {}, MS);
      }
      weights = Float64Array.from(q, (x) => (x - zero) * scale);
      break;
    }
    case "MatMulNBits 4":
    case "MatMulNBits 4 zero points":
    case "MatMulNBits 4 float16":
    case "MatMulNBits 8": {
      const bits = kind === "MatMulNBits 8" ? 8 : 4;
      const block = 16;
      const blocks = Math.ceil(features / block);
      const zeroPoints = kind === "MatMulNBits 4 zero points";
      const blob = (block * bits) / 8;
      const bytes = new Uint8Array(classes * blocks * blob);
      const zeroBytes = new Uint8Array(classes * Math.ceil((blocks * bits) / 8));
      const scales = new Float64Array(classes * blocks);
      weights = new Float64Array(features * classes);
      for (let c = 0; c < classes; c++) {
        for (let k = 0; k < blocks; k++) {
          const members = Array.from({ length: block }, (_, i) => k * block + i).filter((f) => f < features);
          const middle = 2 ** (bits - 1);
          const zero = zeroPoints ? middle - 1 + ((c + k) % 3) : middle;
          // A power of two's fraction, so that float16 holds it too.
          const scale = Math.round((Math.max(...members.map((f) => Math.abs(w[f * classes + c]))) / (middle - 2)) * 4096) / 4096;
          scales[c * blocks + k] = scale;
          zeroBytes[c * Math.ceil((blocks * bits) / 8) + Math.floor((k * bits) / 8)] |= zero << ((k * bits) % 8);
          members.forEach((f, i) => {
            const q = Math.min(2 ** bits - 1, Math.max(0, Math.round(w[f * classes + c] / scale) + zero));
            bytes[(c * blocks + k) * blob + Math.floor((i * bits) / 8)] |= q << ((i * bits) % 8);
            weights[f * classes + c] = (q - zero) * scale;
          });
        }
      }
      const type = kind === "MatMulNBits 4 float16" ? "float16" : "float32";
      if (type === "float16") bias = half(b);
      const inputs = ["feat", constant("W_Q4", [classes, blocks, blob], bytes, "uint8"), constant("W_scales", [classes * blocks], scales, type)];
      if (zeroPoints) inputs.push(constant("W_zero_points", [zeroBytes.length], zeroBytes, "uint8"));
      node("MatMulNBits", inputs, ["y"], { K: features, N: classes, bits, block_size: block }, MS);
      node("Add", ["y", constant("b", [classes], bias, type)], [type === "float16" ? "z" : "logits"]);
      if (type === "float16") node("Cast", ["z"], ["logits"], { to: 1 });
      break;
    }
    case "QDQ weights": {
      const { q, scales } = perColumn();
      node("DequantizeLinear", [constant("W_quantized", [features, classes], q, "int8"), constant("W_scale", [classes], scales), constant("W_zero_point", [classes], scales.map(() => 0), "int8")], ["W"], { axis: 1 });
      node("MatMul", ["feat", "W"], ["y"]);
      node("Add", ["y", constant("b", [classes], b)], ["logits"]);
      weights = Float64Array.from(q, (x, i) => x * scales[i % classes]);
      break;
    }
    case "QDQ int4 blocks": {
      const block = 16;
      const blocks = Math.ceil(features / block);
      const scales = Array.from({ length: blocks * classes }, (_, i) => Math.round((0.02 + 0.001 * i) * 8192) / 8192);
      const q = Array.from(w, (x, i) => Math.min(7, Math.max(-8, Math.round(x / scales[Math.floor(i / classes / block) * classes + (i % classes)]))));
      node("DequantizeLinear", [constant("W_quantized", [features, classes], q, "int4"), constant("W_scale", [blocks, classes], scales)], ["W"], { axis: 0, block_size: block });
      node("MatMul", ["feat", "W"], ["logits"]);
      weights = Float64Array.from(q, (x, i) => x * scales[Math.floor(i / classes / block) * classes + (i % classes)]);
      bias = new Float64Array(classes);
      break;
    }
    case "QDQ features": {
      const { q, scale, zero } = unsigned();
      const [fs, fz] = [constant("feat_scale", [], [0.03125]), constant("feat_zero_point", [], [3], "uint8")];
      node("QuantizeLinear", ["feat", fs, fz], ["feat_quantized"]);
      node("DequantizeLinear", ["feat_quantized", fs, fz], ["feat_dequantized"]);
      node("DequantizeLinear", [constant("W_quantized", [features, classes], q, "uint8"), constant("W_scale", [], [scale]), constant("W_zero_point", [], [zero], "uint8")], ["W"]);
      node("MatMul", ["feat_dequantized", "W"], ["y"]);
      node("Add", ["y", constant("b", [classes], b)], ["logits"]);
      input = "feat_dequantized";
      weights = Float64Array.from(q, (x) => (x - zero) * scale);
      break;
    }
  }
  return {
    model: {
      nodes, initializers, values, inputs: [{ name: "x", shape: ["batch", INPUTS] }], outputs: [{ name: "logits", shape: ["batch", classes] }],
      opsets: { "": kind === "QDQ int4 blocks" ? 21 : 18 }, irVersion: kind === "QDQ int4 blocks" ? 10 : 8,
    },
    features: input, weights, bias,
  };
}
