import { Tensor, rangeError, sizeOf } from "@logits/tensor";
import { constantOf, type Constant, type ExternalFiles, type Model } from "./constant.ts";
import { nodeName, quote, readEnvelope, readGraph, subgraphOf, type ExternalRange, type Graph, type Node, type OnnxDType } from "./model.ts";

/** Which head is meant. */
export interface FindOptions {
  /** The graph output to begin from. Default: the only one, or the one called "logits". */
  readonly output?: string;
}

/** How the layer's weights stand in the file. */
export interface OnnxStorage {
  /** Element type: float32, float16, int8, uint8, uint4, ... */
  readonly dtype: OnnxDType;
  /**
   * "none": floating point. "dynamic": integers, multiplied with features that are quantised at run time. "blockwise": integers with a scale per block
   * (`MatMulNBits`). "static": integers behind DequantizeLinear.
   */
  readonly quantization: "none" | "dynamic" | "blockwise" | "static";
  /** Weights that share a scale; 0 where not in blocks. */
  readonly blockSize: number;
}

/** The last linear layer of a model: output = (features · W + b), then what `after` lists. */
export interface OnnxLinearHead {
  /** The graph output that it makes. */
  readonly output: string;
  /** The tensor that goes into the layer: the features, [..., F]. */
  readonly tensor: string;
  /** The tensor that holds the logits: `output` itself, or what goes into a softmax inside the graph. */
  readonly logits: string;
  /** Element type of `tensor`; undefined where the file does not say. */
  readonly dtype: OnnxDType | undefined;
  /** Shape of `tensor` as the file declares it; undefined where it does not. */
  readonly shape: readonly (number | string)[] | undefined;
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** The node that multiplies. */
  readonly node: { readonly type: string; readonly name: string; readonly domain: string };
  readonly storage: OnnxStorage;
  /** The operators between that node and the output, in order: `["Add"]`, `["Cast", "Mul", "Add"]`, ... */
  readonly after: readonly string[];
  /** "probabilities" where the graph ends in Softmax or Sigmoid, "logProbabilities" for LogSoftmax. */
  readonly outputIs: "logits" | "probabilities" | "logProbabilities";
  /** What `readLinearHead` needs of the files beside the model. */
  readonly external: readonly ExternalRange[];
}

/** Options of `readLinearHead`. */
export interface ReadOptions extends FindOptions {
  /** Files beside the model (`model.onnx_data`): a map from name to bytes, or a function (location, offset, length) that answers with that range. */
  readonly files?: ExternalFiles;
}

/** A linear layer with its numbers: logits = features · weights + bias. */
export interface OnnxLinearWeights extends OnnxLinearHead {
  /** float32 [F, C], dequantised. */
  readonly weights: Tensor<"float32">;
  /** float32 [C]; zeros where the layer has none. */
  readonly bias: Tensor<"float32">;
}

/** A node as a linear layer, its numbers read on demand. */
interface Layer {
  readonly node: Node;
  readonly tensor: string;
  readonly dtype: OnnxDType | undefined;
  readonly features: number;
  readonly classes: number;
  readonly storage: OnnxStorage;
  readonly rank: number | undefined;
  readonly sources: readonly Constant[];
  /** float64 W [F, C] and b [C] of the layer itself. */
  read(files: ExternalFiles): { w: Float32Array | Float64Array; b: Float64Array | undefined };
}

/** What follows the layer with a constant. */
interface Step {
  readonly kind: "add" | "subtract" | "subtractFrom" | "multiply" | "divide";
  readonly constant: Constant;
}

/** A head and how to read it; the module's own view. */
export interface Found {
  readonly head: OnnxLinearHead;
  readonly model: Model;
  /** Rank of the features where the operators fix it. */
  readonly rank: number | undefined;
  read(files: ExternalFiles): { weights: Tensor<"float32">; bias: Tensor<"float32"> };
}

/** Operators that keep the numbers; their other inputs say shapes or ratios. */
const THROUGH = ["Identity", "Cast", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten"];
const RESHAPING = ["Reshape", "Squeeze", "Unsqueeze", "Flatten"];
const ACTIVATIONS: Readonly<Record<string, OnnxLinearHead["outputIs"]>> = { Softmax: "probabilities", Sigmoid: "probabilities", LogSoftmax: "logProbabilities" };
const LAYERS = ["Gemm", "MatMul", "FusedMatMul", "MatMulInteger", "MatMulNBits", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"];

/**
 * Finds the last linear layer of an ONNX model, the one that makes the logits, and what goes into it: the penultimate features.
 *
 * Read as a layer: Gemm, MatMul (with Add), MatMulInteger behind DynamicQuantizeLinear as ONNX Runtime's quantizer writes it, DynamicQuantizeMatMul,
 * MatMulIntegerToFloat, MatMulNBits, weights behind Cast, Transpose or DequantizeLinear; Identity, Cast, Dropout, Reshape, Squeeze, Unsqueeze, Flatten, a pair of QuantizeLinear
 * and DequantizeLinear, products or sums with constants, and one Softmax, LogSoftmax or Sigmoid may follow. Nothing of the weights is read.
 *
 * @param bytes - an .onnx file; files beside it are not needed
 * @param options - `output` where there are several
 * @returns the layer, the tensor that feeds it (F features) and C classes
 * @throws FormatError for bytes that are no ONNX model: truncated, an .ort flatbuffer, more than 2^31 - 1 bytes
 * @throws RangeError for a graph whose output is not made by one linear layer: the node that was found is named
 * @example
 *   const head = findLinearHead(bytes);
 *   console.log(head.tensor, head.features, head.classes);
 *
 * Source: onnx.proto3 (field numbers), Operators.md of ONNX, ContribOperators.md of ONNX Runtime.
 */
export function findLinearHead(bytes: Uint8Array, options: FindOptions = {}): OnnxLinearHead {
  return find("findLinearHead", bytes, options).head;
}

/**
 * The last linear layer with its weights and bias as float32, dequantised: logits = features · weights + bias.
 *
 * Factors and offsets that follow as constants (`alpha`, `beta`, Mul, Add, ...) are folded in, in float64, and each number is rounded once; without them float32 weights are
 * the bits of the file. Dynamically quantised models round their features at run time, so their logits differ from features · weights + bias by that rounding.
 *
 * @param bytes - an .onnx file
 * @param options - `output`; `files` for models with external data (`findLinearHead(bytes).external` lists what is needed)
 * @returns the layer, `weights` float32 [F, C], `bias` float32 [C]
 * @throws FormatError and RangeError as `findLinearHead`; RangeError where `files` lacks a file or it is too short
 * @example
 *   const { weights, bias } = readLinearHead(bytes, { files: new Map([["model.onnx_data", data]]) });
 *   const scorer = LinearHead.fromWeights(weights, bias);
 *
 * Source: as `findLinearHead`.
 */
export function readLinearHead(bytes: Uint8Array, options: ReadOptions = {}): OnnxLinearWeights {
  const { head, read } = find("readLinearHead", bytes, options);
  return { ...head, ...read(options.files ?? new Map()) };
}

/** The walk from an output back to the layer that makes it. */
export function find(where: string, bytes: Uint8Array, options: FindOptions): Found {
  const envelope = readEnvelope(where, bytes);
  const graph = readGraph(envelope);
  const model: Model = { envelope, graph };
  const output = chooseOutput(where, graph, options.output);
  const refuse = (got: string, todo?: string): never => {
    throw rangeError(where, "bytes", `to be a model whose output ${quote(output)} is made by one linear layer`, got, todo);
  };
  const after: string[] = [];
  const steps: Step[] = [];
  let outputIs: OnnxLinearHead["outputIs"] = "logits";
  let logits = output;
  let tensor = output;
  let dynamic: Node | undefined;
  for (const seen = new Set<string>(); ;) {
    if (seen.has(tensor)) return refuse(`a cycle at ${quote(tensor)}`);
    seen.add(tensor);
    const node = graph.producers.get(tensor);
    if (!node) {
      const inside = subgraphOf(envelope.wire, graph.nodes, tensor);
      return refuse(graph.inputs.has(tensor) ? `the model's input ${quote(tensor)}` : graph.initializers.has(tensor) ? `the constant ${quote(tensor)}` : inside ? `${quote(tensor)} inside ${nodeName(inside)}` : `${quote(tensor)}, which no node makes`);
    }
    if (envelope.functions.has(`${node.domain}:${node.type}`)) return refuse(`${nodeName(node)}, a function of the model's own`, "Inline the functions first (onnx.inliner.inline_local_functions)");
    if ([...node.attributes.values()].some(({ graphs }) => graphs.length > 0)) return refuse(`${nodeName(node)}, which computes it in a subgraph`);
    if (LAYERS.includes(node.type) && isKnown(node)) {
      const layer = readLayer(model, node, dynamic, refuse);
      const shape = graph.outputs.get(output)?.shape;
      const reshaped = after.some((type) => RESHAPING.includes(type));
      return found(model, layer, steps, reshaped ? undefined : shape?.length, { output, logits, after: after.reverse(), outputIs }, refuse);
    }
    after.push(node.type);
    if (node.domain !== "") return refuse(nodeName(node));
    if (THROUGH.includes(node.type)) {
      tensor = node.inputs[0] ?? "";
      continue;
    }
    const quantize = node.type === "DequantizeLinear" ? graph.producers.get(node.inputs[0] ?? "") : undefined;
    if (quantize?.type === "QuantizeLinear") {
      // A statically quantised model rounds its outputs to a grid: the numbers are the layer's up to that.
      after.push(quantize.type);
      tensor = quantize.inputs[0] ?? "";
      continue;
    }
    if (Object.hasOwn(ACTIVATIONS, node.type)) {
      if (outputIs !== "logits" || steps.length > 0) return refuse(`${nodeName(node)} before ${after.slice(0, -1).join(", ")}`);
      outputIs = ACTIVATIONS[node.type];
      tensor = logits = node.inputs[0] ?? "";
      continue;
    }
    if (!["Add", "Sub", "Mul", "Div"].includes(node.type) || node.inputs.length !== 2) return refuse(nodeName(node));
    const [left, right] = node.inputs;
    const [a, b] = [constantOf(model, left), constantOf(model, right)];
    if (node.type === "Mul" && !a && !b) {
      // ONNX Runtime's quantizer multiplies the integers by (scale of the features) * (scale of the weights).
      const scaled = dynamicScale(model, right) ?? dynamicScale(model, left);
      if (!scaled || dynamic) return refuse(`${nodeName(node)} of two computed tensors`);
      dynamic = scaled.node;
      if (scaled.constant) steps.push({ kind: "multiply", constant: scaled.constant });
      tensor = scaled.tensor === right ? left : right;
      continue;
    }
    if (!a === !b) return refuse(`${nodeName(node)} of two ${a ? "constants" : "computed tensors"}`);
    if (dynamic && (node.type === "Add" || node.type === "Sub")) return refuse(`${nodeName(node)} of integers, before ${nodeName(dynamic)} scales them`);
    if (a && node.type === "Div") return refuse(`${nodeName(node)}, which divides by what the layer makes`);
    const kind = node.type === "Add" ? "add" : node.type === "Mul" ? "multiply" : node.type === "Div" ? "divide" : a ? "subtractFrom" : "subtract";
    steps.push({ kind, constant: (a ?? b)! });
    tensor = a ? right : left;
  }
}

function chooseOutput(where: string, { outputs }: Graph, asked: string | undefined): string {
  const names = [...outputs.keys()];
  const list = names.slice(0, 12).map(quote).join(", ") + (names.length > 12 ? ", ..." : "");
  if (asked !== undefined) {
    if (!outputs.has(asked)) throw rangeError(where, "output", `one of the model's outputs ${list}`, quote(asked));
    return asked;
  }
  if (names.length === 1) return names[0];
  if (outputs.has("logits")) return "logits";
  throw rangeError(where, "output", `the name of one of the model's ${names.length} outputs ${list}`, "none", `Pass { output: ${quote(names[0])} }`);
}

function isKnown({ type, domain }: Node): boolean {
  return domain === (["Gemm", "MatMul", "MatMulInteger"].includes(type) ? "" : "com.microsoft");
}

/** The scale of dynamically quantised features, alone or times a constant. */
function dynamicScale(model: Model, name: string): { tensor: string; node: Node; constant?: Constant } | undefined {
  const node = model.graph.producers.get(name);
  if (!node || node.domain !== "") return undefined;
  if (node.type === "DynamicQuantizeLinear") return node.outputs[1] === name ? { tensor: name, node } : undefined;
  if (node.type !== "Mul") return undefined;
  for (const [scale, other] of [node.inputs, [...node.inputs].reverse()]) {
    const source = model.graph.producers.get(scale);
    const constant = constantOf(model, other ?? "");
    if (source?.type === "DynamicQuantizeLinear" && source.outputs[1] === scale && constant) return { tensor: name, node: source, constant };
  }
  return undefined;
}

function readLayer(model: Model, node: Node, dynamic: Node | undefined, refuse: (got: string, todo?: string) => never): Layer {
  const int = (key: string, missing: number): number => node.attributes.get(key)?.int ?? missing;
  const float = (key: string): number => node.attributes.get(key)?.float ?? 1;
  const optional = (i: number): Constant | undefined => {
    const name = node.inputs[i];
    if (!name) return undefined;
    return constantOf(model, name) ?? refuse(`${nodeName(node)} whose input ${quote(name)} is no constant (it is made by ${maker(model, name)})`);
  };
  const required = (i: number): Constant => optional(i) ?? refuse(`${nodeName(node)} without its input ${i}`);
  const matrix = (constant: Constant): Constant => (constant.shape.length === 2 ? constant : refuse(`${nodeName(node)} with weights of shape [${constant.shape.join(", ")}]`));
  if (dynamic && node.type !== "MatMulInteger") return refuse(`${nodeName(node)} times the scale of ${nodeName(dynamic)}`);
  switch (node.type) {
    case "Gemm":
    case "MatMul":
    case "FusedMatMul": {
      const gemm = node.type === "Gemm";
      if (int("transA", 0) !== 0 || int("transBatchA", 0) !== 0 || int("transBatchB", 0) !== 0) return refuse(`${nodeName(node)} that transposes its features`);
      const w = matrix(required(1));
      const [classes, features] = int("transB", 0) !== 0 ? w.shape : [w.shape[1], w.shape[0]];
      const alpha = node.type === "MatMul" ? 1 : float("alpha");
      const bias = gemm ? optional(2) : undefined;
      return {
        node, tensor: node.inputs[0] ?? "", dtype: w.dtype, features, classes,
        storage: { dtype: w.stored, quantization: isFloat(w.stored) ? "none" : "static", blockSize: w.block },
        rank: gemm ? 2 : undefined,
        sources: bias ? [w, bias] : [w],
        read: (files) => ({ w: scaled(laidOut(w.read(files), features, classes, int("transB", 0) !== 0), alpha), b: bias && perClass(bias, classes, files, node, refuse).map((x) => x * float("beta")) }),
      };
    }
    case "MatMulInteger": {
      const b = matrix(required(1));
      const zero = optional(3);
      const source = dynamicInput(model, node, dynamic, refuse);
      return {
        node, tensor: source.inputs[0] ?? "", dtype: "float32", features: b.shape[0], classes: b.shape[1],
        storage: { dtype: b.stored, quantization: "dynamic", blockSize: 0 },
        rank: undefined,
        sources: zero ? [b, zero] : [b],
        read: (files) => ({ w: integerWeights(b, undefined, zero, files, node, refuse), b: undefined }),
      };
    }
    case "DynamicQuantizeMatMul":
    case "MatMulIntegerToFloat": {
      const whole = node.type === "DynamicQuantizeMatMul";
      const b = matrix(required(1));
      const [scale, zero, bias] = whole ? [required(2), optional(3), optional(4)] : [required(3), optional(5), optional(6)];
      const tensor = whole ? node.inputs[0] : dynamicInput(model, node, model.graph.producers.get(node.inputs[2] ?? ""), refuse).inputs[0];
      return {
        node, tensor: tensor ?? "", dtype: "float32", features: b.shape[0], classes: b.shape[1],
        storage: { dtype: b.stored, quantization: "dynamic", blockSize: 0 },
        rank: undefined,
        sources: [b, scale, zero, bias].filter((x) => x !== undefined),
        read: (files) => ({ w: integerWeights(b, scale, zero, files, node, refuse), b: bias && perClass(bias, b.shape[1], files, node, refuse) }),
      };
    }
    default:
      return blockwise(node, required, optional, int, refuse);
  }
}

/** com.microsoft MatMulNBits: B [N, blocks, blob] of bits-wide numbers, low bits first; scales [N, blocks]; zero points packed per row, or of the scales' type. */
function blockwise(node: Node, required: (i: number) => Constant, optional: (i: number) => Constant | undefined, int: (key: string, missing: number) => number, refuse: (got: string) => never): Layer {
  const [packed, scales, zeros, order, bias] = [required(1), required(2), optional(3), optional(4), optional(5)];
  const [features, classes, bits, block] = [int("K", 0), int("N", 0), int("bits", 4), int("block_size", 0)];
  if (order) return refuse(`${nodeName(node)} with g_idx, whose rows are permuted`);
  const blocks = Math.ceil(features / block);
  const blob = Math.ceil((block * bits) / 8);
  const rowBytes = Math.ceil((blocks * bits) / 8);
  const packedZeros = zeros?.dtype === "uint8";
  if (![2, 4, 8].includes(bits) || !(block >= 1) || packed.dtype !== "uint8" || sizeOf(packed.shape) !== classes * blocks * blob || sizeOf(scales.shape) !== classes * blocks
    || (zeros && sizeOf(zeros.shape) !== classes * (packedZeros ? rowBytes : blocks))) {
    return refuse(`${nodeName(node)} of K ${features}, N ${classes}, bits ${bits}, block_size ${block} with ${sizeOf(packed.shape)} packed ${packed.dtype}, ${sizeOf(scales.shape)} scales${zeros ? ` and ${sizeOf(zeros.shape)} zero points` : ""}`);
  }
  const sources = [packed, scales, zeros, bias].filter((x) => x !== undefined);
  const bitsAt = (bytes: ArrayLike<number>, start: number, i: number): number => (bytes[start + Math.floor((i * bits) / 8)] >> ((i * bits) % 8)) & ((1 << bits) - 1);
  return {
    node, tensor: node.inputs[0] ?? "", dtype: scales.dtype, features, classes,
    storage: { dtype: bits === 8 ? "uint8" : bits === 4 ? "uint4" : "uint2", quantization: "blockwise", blockSize: block },
    rank: undefined,
    sources,
    read(files) {
      const [q, s, z] = [packed.read(files), scales.read(files), zeros?.read(files)];
      const w = new Float64Array(features * classes);
      for (let c = 0; c < classes; c++) {
        for (let f = 0; f < features; f++) {
          const k = Math.floor(f / block);
          const zero = z === undefined ? 1 << (bits - 1) : packedZeros ? bitsAt(z, c * rowBytes, k) : z[c * blocks + k];
          w[f * classes + c] = (bitsAt(q, (c * blocks + k) * blob, f % block) - zero) * s[c * blocks + k];
        }
      }
      return { w, b: bias && perClass(bias, classes, files, node, refuse) };
    },
  };
}

/** The DynamicQuantizeLinear behind a product of integers; `scaledBy` is the one whose scale multiplies the result. */
function dynamicInput(model: Model, node: Node, scaledBy: Node | undefined, refuse: (got: string) => never): Node {
  const source = model.graph.producers.get(node.inputs[0] ?? "");
  if (source?.type !== "DynamicQuantizeLinear" || source.domain !== "" || source.outputs[0] !== node.inputs[0]) return refuse(`${nodeName(node)} whose input ${quote(node.inputs[0] ?? "")} is not quantised at run time (it is made by ${maker(model, node.inputs[0] ?? "")})`);
  const zero = node.inputs[node.type === "MatMulInteger" ? 2 : 4];
  if (scaledBy !== source || zero !== source.outputs[2]) return refuse(`${nodeName(node)} whose scale or zero point is not that of ${nodeName(source)}`);
  return source;
}

/** (B - zero) * scale, each for all or per column; float64 [F, C]. */
function integerWeights(b: Constant, scale: Constant | undefined, zero: Constant | undefined, files: ExternalFiles, node: Node, refuse: (got: string) => never): Float64Array {
  const classes = b.shape[1];
  const values = b.read(files);
  const zeros = zero && perClass(zero, classes, files, node, refuse);
  const scales = scale && perClass(scale, classes, files, node, refuse);
  return Float64Array.from(values, (q, i) => (q - (zeros?.[i % classes] ?? 0)) * (scales?.[i % classes] ?? 1));
}

function isFloat(dtype: OnnxDType): boolean {
  return dtype === "float32" || dtype === "float16" || dtype === "bfloat16" || dtype === "float64";
}

function maker({ graph }: Model, name: string): string {
  const node = graph.producers.get(name);
  return node ? nodeName(node) : graph.inputs.has(name) ? "the model's input" : "no node";
}

/** W [F, C] from W [F, C] or, `transposed`, from [C, F]. */
function laidOut(values: ArrayLike<number>, features: number, classes: number, transposed: boolean): Float32Array | Float64Array {
  const out = values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
  if (transposed) for (let i = 0; i < out.length; i++) out[(i % features) * classes + Math.floor(i / features)] = values[i];
  else out.set(values as Float32Array);
  return out;
}

function scaled(w: Float32Array | Float64Array, alpha: number): Float32Array | Float64Array {
  return alpha === 1 ? w : Float64Array.from(w, (x) => x * alpha);
}

/** A constant of one number or one per class, whatever leading axes of size one it has; float64 [C]. */
function perClass(constant: Constant, classes: number, files: ExternalFiles, node: Node | undefined, refuse: (got: string) => never): Float64Array {
  checkPerClass(constant, classes, node, refuse);
  const values = constant.read(files);
  return Float64Array.from({ length: classes }, (_, c) => values[values.length === 1 ? 0 : c]);
}

function checkPerClass({ shape }: Constant, classes: number, node: Node | undefined, refuse: (got: string) => never): void {
  const size = sizeOf(shape);
  if (size !== 1 && (size !== classes || shape.at(-1) !== classes)) refuse(`a constant of shape [${shape.join(", ")}] beside ${node ? nodeName(node) : "the layer"} of ${classes} classes`);
}

function found(model: Model, part: Layer, steps: readonly Step[], outputRank: number | undefined, head: Pick<OnnxLinearHead, "output" | "logits" | "after" | "outputIs">, refuse: (got: string) => never): Found {
  const { graph } = model;
  const { node, tensor, features, classes } = part;
  if (!(features >= 1 && classes >= 1)) return refuse(`${nodeName(node)} of ${features} features and ${classes} classes`);
  for (const { constant } of steps) checkPerClass(constant, classes, undefined, refuse);
  const value = graph.values.get(tensor) ?? graph.inputs.get(tensor) ?? graph.outputs.get(tensor);
  const external = new Map<string, ExternalRange>();
  for (const range of [...part.sources, ...steps.map(({ constant }) => constant)].flatMap((constant) => constant.external)) external.set(JSON.stringify(range), range);
  return {
    model,
    rank: part.rank ?? outputRank,
    head: {
      ...head, tensor, dtype: value?.dtype ?? part.dtype, shape: value?.shape, features, classes,
      node: { type: node.type, name: node.name, domain: node.domain }, storage: part.storage, external: [...external.values()],
    },
    read(files) {
      const { w, b } = part.read(files);
      const scale = new Float64Array(classes).fill(1);
      const shift = b ?? new Float64Array(classes);
      for (const { kind, constant } of [...steps].reverse()) {
        const by = perClass(constant, classes, files, undefined, refuse);
        for (let c = 0; c < classes; c++) {
          if (kind === "add") shift[c] += by[c];
          else if (kind === "subtract") shift[c] -= by[c];
          else if (kind === "subtractFrom") {
            scale[c] = -scale[c];
            shift[c] = by[c] - shift[c];
          } else {
            scale[c] = kind === "multiply" ? scale[c] * by[c] : scale[c] / by[c];
            shift[c] = kind === "multiply" ? shift[c] * by[c] : shift[c] / by[c];
          }
        }
      }
      const folded = Float32Array.from(w, (x, i) => x * scale[i % classes]);
      return { weights: new Tensor("float32", [features, classes], folded), bias: new Tensor("float32", [classes], Float32Array.from(shift)) };
    },
  };
}
