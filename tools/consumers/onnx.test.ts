import { DecisionHead } from "@logits/head";
import { attach, readHead, readLinearHead, tap } from "@logits/interop/onnx";
import { float16ToFloat32 } from "@logits/tensor";
import * as ort from "onnxruntime-web";
import { describe, expect, it } from "vitest";
import { ONNX_HEADS, onnxHeadModel, type OnnxHeadKind } from "../../packages/testkit/src/onnxHeads.ts";
import { onnxExternalFiles, onnxModel, type OnnxModel, type OnnxNode, type OnnxTensor } from "../../packages/testkit/src/onnxWriter.ts";
import { testRandom } from "../../packages/testkit/src/random.ts";

// The real ONNX Runtime on models that are written here: with a tap and a decision head inside, a file answers with the same bits as before.

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const LEVELS = ["disabled", "basic", "extended", "all"] as const;
const ROWS = 9;
const INPUTS = 12;
const random = testRandom(7);
const x = Float32Array.from({ length: ROWS * INPUTS }, () => random.normal());

interface Numbers {
  readonly dims: readonly number[];
  readonly type: string;
  readonly data: unknown;
}

async function run(bytes: Uint8Array, graphOptimizationLevel: (typeof LEVELS)[number], files: ReadonlyMap<string, Uint8Array> = new Map(), dims = [ROWS, INPUTS]): Promise<Record<string, Numbers>> {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel, externalData: [...files].map(([path, data]) => ({ path, data })) });
  const results = await session.run({ x: new ort.Tensor("float32", x.slice(0, dims.reduce((a, b) => a * b)), dims) });
  await session.release();
  return results as never;
}

/** Float16 comes as Float16Array where the engine has it, as bits elsewhere. */
function numbers({ type, data }: Numbers): number[] {
  return type === "float16" && data instanceof Uint16Array ? [...float16ToFloat32(data)] : Array.from(data as Float32Array);
}

/** The bits, as text that a failing test can show. */
function bits(result: Numbers): string {
  return Buffer.from(Float64Array.from(numbers(result)).buffer).toString("hex");
}

/** The features that an integer product sees: rounded to 256 steps between their extremes and 0. Source: ONNX operator DynamicQuantizeLinear. */
function dynamicallyQuantized(features: readonly number[]): number[] {
  const [low, high] = [Math.min(0, ...features), Math.max(0, ...features)];
  const scale = Math.fround(Math.fround(high - low) / 255);
  const even = (value: number): number => {
    const below = Math.floor(value);
    return value - below > 0.5 || (value - below === 0.5 && below % 2 !== 0) ? below + 1 : below;
  };
  const zero = Math.min(255, Math.max(0, even(Math.fround(-low / scale))));
  return features.map((value) => (Math.min(255, Math.max(0, even(Math.fround(value / scale)) + zero)) - zero) * scale);
}

const labels = Int32Array.from({ length: 40 }, (_, i) => i % 3);
const decisionHead = DecisionHead.fit({ logits: { shape: [40, 3], data: Float32Array.from({ length: 120 }, (_, i) => random.normal() + (labels[Math.floor(i / 3)] === i % 3 ? 2 : 0)) }, labels, classes: ["a", "b", "c"] });

const INTEGER: readonly OnnxHeadKind[] = ["dynamic uint8", "dynamic int8 per column", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"];

describe("with a tap and a decision head inside, the logits keep their bits; features · weights + bias explains them", () => {
  it.each(ONNX_HEADS)("%s", async (kind) => {
    for (const [features, classes, seed] of [[32, 5, 1], [40, 3, 2]]) {
      const { model } = onnxHeadModel(kind, { features, classes, seed });
      const plain = onnxModel(model);
      const files = onnxExternalFiles(model);
      const tapped = tap(plain);
      const guarded = attach(tapped.bytes, decisionHead);
      expect(readHead(guarded).classes).toEqual(["a", "b", "c"]);
      const { weights, bias, outputIs } = readLinearHead(guarded, { files });
      for (const level of LEVELS) {
        const before = await run(plain, level, files);
        const after = await run(guarded, level, files);
        expect(Object.keys(after)).toEqual(["logits", tapped.name]);
        expect(bits(after.logits)).toBe(bits(before.logits));
        expect([after[tapped.name].type, ...after[tapped.name].dims]).toEqual(["float32", ROWS, features]);
        const raw = numbers(after[tapped.name]);
        const feat = INTEGER.includes(kind) ? dynamicallyQuantized(raw) : raw;
        expect(Math.max(...raw)).toBeGreaterThan(1);
        const got = numbers(after.logits);
        for (let n = 0; n < ROWS; n++) {
          const scores = Array.from({ length: classes }, (_, c) => Array.from({ length: features }, (__, f) => feat[n * features + f] * weights.data[f * classes + c]));
          const want = scores.map((terms, c) => terms.reduce((sum, term) => sum + term, bias.data[c]));
          for (let c = 0; c < classes; c++) {
            const size = scores[c].reduce((sum, term) => sum + Math.abs(term), Math.abs(bias.data[c]));
            // A float32 sum of F products errs by at most F units of 2^-24 of the sum of the sizes; weight, bias and what follows the layer by one unit each.
            let bound = (features + 8) * 2 ** -24 * size;
            // This kernel's product and the sum with the bias are float16 numbers: half a unit of 2^-10 each.
            if (kind === "MatMulNBits 4 float16") bound += 2 ** -11 * (Math.abs(want[c] - bias.data[c]) + Math.abs(want[c])) * (1 + 2 ** -10);
            const target = outputIs === "logits" ? want[c] : Math.exp(want[c]) / want.reduce((sum, score) => sum + Math.exp(score), 0);
            expect(Math.abs(got[n * classes + c] - target), `${level}, row ${n}, class ${c}`).toBeLessThanOrEqual(bound);
          }
        }
      }
    }
  });
});

const node = (type: string, inputs: string[], outputs: string[], attributes: OnnxNode["attributes"] = {}): OnnxNode => ({ type, inputs, outputs, attributes });
const constant = (name: string, shape: number[], scale = 0.5): OnnxTensor => ({ name, type: "float32", shape, data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround(random.normal() * scale)) });

/** Convolution, normalisation, a residual sum, global average, Linear: what the runtime fuses and lays out anew. */
const convolution: OnnxModel = {
  inputs: [{ name: "x", shape: ["batch", 1, 6, 6] }], outputs: [{ name: "logits", shape: ["batch", 3] }],
  nodes: [
    node("Conv", ["x", "k1"], ["c1"], { pads: { ints: [1, 1, 1, 1] } }), node("BatchNormalization", ["c1", "g", "o", "m", "v"], ["n1"]), node("Relu", ["n1"], ["r1"]),
    node("Conv", ["r1", "k2"], ["c2"], { pads: { ints: [1, 1, 1, 1] } }), node("Add", ["c2", "r1"], ["sum"]), node("Relu", ["sum"], ["r2"]),
    node("GlobalAveragePool", ["r2"], ["pool"]), node("Flatten", ["pool"], ["flat"]), node("Gemm", ["flat", "W", "b"], ["logits"], { transB: 1 }),
  ],
  initializers: [constant("k1", [8, 1, 3, 3]), constant("k2", [8, 8, 3, 3]), constant("g", [8]), constant("o", [8]), constant("m", [8]), { name: "v", type: "float32", shape: [8], data: [1, 2, 3, 1, 2, 3, 1, 2] }, constant("W", [3, 8]), constant("b", [3])],
};

describe("taps inside a convolution network", () => {
  it("the features before the layer: same bits at every level", async () => {
    const plain = onnxModel(convolution);
    const { bytes, name } = tap(plain);
    expect(name).toBe("flat");
    for (const level of LEVELS) {
      const [before, after] = [await run(plain, level, undefined, [2, 1, 6, 6]), await run(bytes, level, undefined, [2, 1, 6, 6])];
      expect(bits(after.logits)).toBe(bits(before.logits));
      expect(after.flat.dims).toEqual([2, 8]);
    }
  });

  it("several taps, also where the runtime fuses: it does not fuse there, and the logits differ by rounding at most", async () => {
    const plain = onnxModel(convolution);
    const bytes = ["flat", "r1", "n1"].reduce((file, tensor) => tap(file, { tensor }).bytes, plain);
    for (const level of LEVELS) {
      const [before, after] = [await run(plain, level, undefined, [2, 1, 6, 6]), await run(bytes, level, undefined, [2, 1, 6, 6])];
      expect(Object.keys(after)).toEqual(["logits", "flat", "r1", "n1"]);
      // Folding the normalisation into the convolution moves a rounding of each of some hundred products; logits are below 10.
      for (const [i, value] of numbers(after.logits).entries()) expect(Math.abs(value - numbers(before.logits)[i])).toBeLessThan(1e-5);
      expect(numbers(after.r1)).toEqual(numbers(after.n1).map((value) => Math.max(0, value)));
    }
  });
});

/** A residual sum, Gelu by Erf, layer normalisation as PyTorch exports it, then the head: what the runtime fuses into nodes of its own. */
function transformer(type: "float32" | "float16", quantized = false): OnnxModel {
  const half = type === "float16";
  const typed = (name: string, shape: number[], scale?: number): OnnxTensor => ({ ...constant(name, shape, scale), type });
  const scalar = (name: string, value: number): OnnxTensor => ({ name, type, shape: [], data: [value] });
  const head: OnnxNode[] = quantized
    ? [
        node("DynamicQuantizeLinear", ["norm"], ["q", "qs", "qz"]), node("MatMulInteger", ["q", "Wq", "qz", "Wz"], ["acc"]), node("Cast", ["acc"], ["accf"], { to: 1 }),
        node("Mul", ["qs", "Ws"], ["s"]), node("Mul", ["accf", "s"], ["y"]), node("Add", ["y", "b"], ["logits"]),
      ]
    : [node("MatMul", ["norm", "W"], ["y"]), node("Add", ["y", "b"], [half ? "z" : "logits"])];
  return {
    inputs: [{ name: "x", shape: ["batch", 12] }], outputs: [{ name: "logits", shape: ["batch", 3] }],
    nodes: [
      ...(half ? [node("Cast", ["x"], ["x16"], { to: 10 })] : []),
      node("MatMul", [half ? "x16" : "x", "V"], ["h"]), node("Add", ["h", "vb"], ["hb"]),
      node("Div", ["hb", "root2"], ["g1"]), node("Erf", ["g1"], ["g2"]), node("Add", ["g2", "one"], ["g3"]), node("Mul", ["hb", "g3"], ["g4"]), node("Mul", ["g4", "half"], ["gelu"]),
      node("MatMul", ["gelu", "U"], ["u"]), node("Add", ["u", "hb"], ["res"]),
      node("ReduceMean", ["res"], ["mean"], { axes: { ints: [-1] } }), node("Sub", ["res", "mean"], ["cent"]), node("Pow", ["cent", "two"], ["sq"]), node("ReduceMean", ["sq"], ["var"], { axes: { ints: [-1] } }),
      node("Add", ["var", "eps"], ["vare"]), node("Sqrt", ["vare"], ["std"]), node("Div", ["cent", "std"], ["unit"]), node("Mul", ["unit", "gamma"], ["scaled"]), node("Add", ["scaled", "beta"], ["norm"]),
      ...head,
      ...(half ? [node("Cast", ["z"], ["logits"], { to: 1 })] : []),
    ],
    initializers: ([
      typed("V", [12, 16]), typed("vb", [16]), typed("U", [16, 16], 0.3), typed("gamma", [16]), typed("beta", [16]), typed("W", [16, 3]), { ...constant("b", [3]), type: quantized ? "float32" : type },
      scalar("root2", Math.fround(Math.SQRT2)), scalar("one", 1), scalar("half", 0.5), scalar("two", 2), scalar("eps", 1e-5),
      { name: "Wq", type: "int8", shape: [16, 3], data: Array.from({ length: 48 }, () => random.integer(255) - 127) }, { name: "Wz", type: "int8", shape: [], data: [0] }, { name: "Ws", type: "float32", shape: [], data: [0.01] },
    ] as OnnxTensor[]).filter(({ name }) => (quantized ? name !== "W" : !["Wq", "Wz", "Ws"].includes(name))),
    opsets: { "": 17 },
  };
}

it.each([["float32", false], ["float32", true], ["float16", false]] as const)("features behind Gelu and a normalisation that the runtime fuses, %s, dynamically quantised %s: the same bits", async (type, quantized) => {
  const plain = onnxModel(transformer(type, quantized));
  const { bytes, name } = tap(plain);
  for (const level of LEVELS) {
    const [before, after] = [await run(plain, level), await run(attach(bytes, decisionHead), level)];
    expect(bits(after.logits)).toBe(bits(before.logits));
    expect([after[name].type, ...after[name].dims]).toEqual(["float32", ROWS, 16]);
    if (quantized) continue;
    const { weights, bias } = readLinearHead(plain);
    const feat = numbers(after[name]);
    // Features and logits are below 10; what a runtime leaves unrounded of float16 it leaves in both.
    for (const [i, value] of numbers(after.logits).entries()) {
      const want = Array.from({ length: 16 }, (_, f) => feat[Math.floor(i / 3) * 16 + f] * weights.data[f * 3 + (i % 3)]).reduce((sum, term) => sum + term, bias.data[i % 3]);
      expect(Math.abs(value - want)).toBeLessThan(1e-5);
    }
  }
});

it("asking for a float16 tensor itself would change the logits of this runtime, which is why its float32 copy is returned", async () => {
  const { model } = onnxHeadModel("float16");
  const direct = onnxModel({ ...model, outputs: [...model.outputs, { name: "feat", type: "float16", shape: ["batch", 32] }] });
  expect(bits((await run(direct, "all")).logits)).not.toBe(bits((await run(onnxModel(model), "all")).logits));
});

it("a tap of a tensor of which the file says nothing has a name only, and the session answers", async () => {
  const { model } = onnxHeadModel("matmul add");
  const { bytes, appended } = tap(onnxModel(model), { tensor: "feat" });
  expect(Buffer.from(appended).toString("hex")).toBe("3a0862060a0466656174");
  for (const level of LEVELS) expect((await run(bytes, level)).feat.dims).toEqual([ROWS, 32]);
});
