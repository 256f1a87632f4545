import { rangeError } from "@logits/tensor";
import { find, type Found, type OnnxLinearHead } from "./findLinearHead.ts";
import { dtypeNumber, quote, readEnvelope, readGraph, subgraphOf, type Graph, type Node, type OnnxDType, type Value } from "./model.ts";
import { LARGEST, bytesField, concat, integerField, textField } from "./protobuf.ts";

/** Which tensor is meant. */
export interface TapOptions {
  /** The output whose linear head is looked for. Default: the only one, or the one called "logits". Not with `tensor`. */
  readonly output?: string;
  /** The tensor to return as well. Default: what goes into the last linear layer (`findLinearHead`). */
  readonly tensor?: string;
}

/** A model whose session also returns a tensor from inside. */
export interface Tap {
  /** The model: the bytes that came in, then `appended`; the copy is made when this is first read. The same object as came in where nothing is appended. */
  readonly bytes: Uint8Array;
  /** What is new at the end of the file. */
  readonly appended: Uint8Array;
  /** The name under which the session returns the tensor. */
  readonly name: string;
  /** "added"; "output" or "input" where the tensor was an output or input of the model already and nothing is appended. */
  readonly status: "added" | "output" | "input";
  /** The layer that was found; undefined where `tensor` was given. */
  readonly head: OnnxLinearHead | undefined;
}

/**
 * Lets an ONNX Runtime session return one more tensor, by default the features that go into the last linear layer.
 *
 * Protobuf merges the occurrences of an embedded message, so a graph that holds nothing but one output can be appended: `ModelProto.graph` (7) with
 * `GraphProto.output` (12) with `ValueInfoProto.name` (1), and `type` (2) where the file or the layer tells it: ten bytes for a name of four letters without
 * a type. The bytes that came in stay as they are, weights and files beside the model included. Several taps are several calls.
 *
 * A float16 tensor comes out as float32, under a name of its own (`name`): three nodes are appended with it, so that a runtime which computes float16 models in float32
 * keeps giving the same logits.
 *
 * @param bytes - an .onnx file
 * @param options - `output` or `tensor`
 * @returns the new bytes, and the name to ask the session's results for
 * @throws FormatError for bytes that are no ONNX model; RangeError as `findLinearHead`, or for a tensor that the main graph does not compute
 * @example
 *   const { bytes: tapped, name } = tap(bytes);
 *   const session = await ort.InferenceSession.create(tapped);
 *   const results = await session.run(feeds);
 *   const features = results[name];
 *
 * Source: onnx.proto3 (field numbers); protobuf.dev, "Encoding: last one wins" (embedded messages are merged).
 */
export function tap(bytes: Uint8Array, options: TapOptions = {}): Tap {
  const where = "tap";
  if (options.tensor !== undefined && options.output !== undefined) throw rangeError(where, "options", "with `output` or `tensor`", "both");
  const found = options.tensor === undefined ? find(where, bytes, options) : undefined;
  const envelope = found?.model.envelope ?? readEnvelope(where, bytes);
  const graph = found?.model.graph ?? readGraph(envelope);
  const name = found?.head.tensor ?? options.tensor!;
  const unchanged = (status: "output" | "input", as = name): Tap => ({ bytes, appended: new Uint8Array(0), name: as, status, head: found?.head });
  if (graph.outputs.has(name)) return unchanged("output");
  if (isWidened(graph, name)) return unchanged("output", `${name}_float32`);
  if (graph.inputs.has(name) && !graph.initializers.has(name)) return unchanged("input");
  if (!graph.producers.has(name)) {
    const inside = subgraphOf(envelope.wire, graph.nodes, name);
    const got = graph.initializers.has(name) ? `the constant ${quote(name)}` : inside ? `${quote(name)}, which lives in a subgraph of the ${inside.type} node ${quote(inside.name)}` : `${quote(name)}, which no node makes`;
    throw rangeError(where, found ? "bytes" : "tensor", "to be the name of a tensor that a node of the main graph makes", got, inside ? "Only tensors of the main graph can be returned" : undefined);
  }
  const value = graph.values.get(name);
  const half = (value?.dtype ?? found?.head.dtype) === "float16";
  const returned = half ? freshName(`${name}_float32`, graph) : name;
  const appended = half
    ? bytesField(7, ...widened(name, returned, graph), bytesField(12, textField(1, returned), ...typeField("float32", value?.shape, found)))
    : bytesField(7, bytesField(12, textField(1, name), ...(value?.type ? [bytesField(2, value.type)] : typeField(found?.head.dtype, undefined, found))));
  if (bytes.length + appended.length > LARGEST) throw rangeError(where, "bytes", `of at most ${LARGEST - appended.length} bytes, so that a protobuf message can hold them and the tap`, `${bytes.length}`);
  let joined: Uint8Array | undefined;
  return {
    get bytes() {
      return (joined ??= concat([bytes, appended]));
    },
    appended, name: returned, status: "added", head: found?.head,
  };
}

/**
 * TypeProto, so that tools which want one on every output (onnx.checker) find it: element type, and the shape as the file has it or, where the layer fixes the rank, [?, ..., F].
 * Runtimes infer the rest.
 */
function typeField(dtype: OnnxDType | undefined, declared: Value["shape"], found: Found | undefined): Uint8Array[] {
  if (dtype === undefined) return [];
  const shape = declared ?? (found?.rank ? [...Array.from({ length: found.rank - 1 }, () => "?"), found.head.features] : undefined);
  const dims = shape?.map((size) => bytesField(1, ...(typeof size === "number" ? [integerField(1, size)] : size === "?" ? [] : [textField(2, size)])));
  return [bytesField(2, bytesField(1, integerField(1, dtypeNumber(dtype)), ...(dims ? [bytesField(2, ...dims)] : [])))];
}

/**
 * Nodes that make the float32 copy of a float16 tensor: Neg, Cast, Neg. Runtimes without float16 arithmetic compute in float32 and leave out the rounding between two nodes;
 * returning the tensor itself, or its Cast alone, would bring that rounding back and change the logits. Neg is exact, and is computed like any other node.
 */
function widened(name: string, returned: string, graph: Graph): Uint8Array[] {
  const [negative, wide] = [freshName(`${returned}_negative16`, graph), freshName(`${returned}_negative`, graph)];
  const node = (type: string, from: string, to: string, ...attributes: Uint8Array[]): Uint8Array => bytesField(1, textField(1, from), textField(2, to), textField(4, type), ...attributes);
  const toFloat32 = bytesField(5, textField(1, "to"), integerField(3, dtypeNumber("float32")), integerField(20, 2));
  return [node("Neg", name, negative), node("Cast", negative, wide, toFloat32), node("Neg", wide, returned)];
}

/** Whether an earlier tap returns the float32 copy of a float16 tensor. */
function isWidened({ outputs, producers }: Graph, name: string): boolean {
  if (!outputs.has(`${name}_float32`)) return false;
  let from: string | undefined = `${name}_float32`;
  for (const type of ["Neg", "Cast", "Neg"]) {
    const node: Node | undefined = producers.get(from ?? "");
    from = node?.type === type ? node.inputs[0] : undefined;
  }
  return from === name;
}

/** A name that no tensor of the main graph has. */
function freshName(name: string, { producers, initializers, inputs }: Graph): string {
  let fresh = name;
  while (producers.has(fresh) || initializers.has(fresh) || inputs.has(fresh)) fresh += "_";
  return fresh;
}
