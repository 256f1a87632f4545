import { DecisionHead } from "@logits/head";
import { attach, readHead, readLinearHead, tap } from "@logits/interop/onnx";
import { float16ToFloat32 } from "@logits/tensor";
import * as ort from "onnxruntime-web";
import { describe, expect, it } from "vitest";
import { ONNX_HEADS, onnxHeadModel, type OnnxHeadKind } from "../../packages/testkit/src/onnxHeads.ts";
import { onnxExternalFiles, onnxModel, type OnnxModel, type OnnxNode } from "../../packages/testkit/src/onnxWriter.ts";
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
const constant = (name: string, shape: number[], scale = 0.5): NonNullable<OnnxModel["initializers"]>[number] => ({ name, type: "float32", shape, data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround(random.normal() * scale)) });

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

it("a tap of a tensor of which the file says nothing has a name only, and the session answers", async () => {
  const { model } = onnxHeadModel("matmul add");
  const { bytes, appended } = tap(onnxModel(model), { tensor: "feat" });
  expect(Buffer.from(appended).toString("hex")).toBe("3a0862060a0466656174");
  for (const level of LEVELS) expect((await run(bytes, level)).feat.dims).toEqual([ROWS, 32]);
});
