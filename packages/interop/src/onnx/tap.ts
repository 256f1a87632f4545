import { rangeError } from "@logits/tensor";
import { find, type Found, type OnnxLinearHead } from "./findLinearHead.ts";
import { dtypeNumber, quote, readEnvelope, readGraph, subgraphOf, type Value } from "./model.ts";
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
  /** The model: the bytes that came in, then `appended`. The same object where nothing is appended. */
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
  const unchanged = (status: "output" | "input"): Tap => ({ bytes, appended: new Uint8Array(0), name, status, head: found?.head });
  if (graph.outputs.has(name)) return unchanged("output");
  if (graph.inputs.has(name) && !graph.initializers.has(name)) return unchanged("input");
  if (!graph.producers.has(name)) {
    const inside = subgraphOf(envelope.wire, graph.nodes, name);
    const got = graph.initializers.has(name) ? `the constant ${quote(name)}` : inside ? `${quote(name)}, which lives in a subgraph of the ${inside.type} node ${quote(inside.name)}` : `${quote(name)}, which no node makes`;
    throw rangeError(where, found ? "bytes" : "tensor", "to be the name of a tensor that a node of the main graph makes", got, inside ? "Only tensors of the main graph can be returned" : undefined);
  }
  const appended = bytesField(7, bytesField(12, textField(1, name), ...typeField(graph.values.get(name), found)));
  if (bytes.length + appended.length > LARGEST) throw rangeError(where, "bytes", `of at most ${LARGEST - appended.length} bytes, so that a protobuf message can hold them and the tap`, `${bytes.length}`);
  return { bytes: concat([bytes, appended]), appended, name, status: "added", head: found?.head };
}

/**
 * ValueInfoProto.type as the file has it; else what the layer fixes: its element type, and [?, ..., F] where the rank is known. Runtimes infer the rest; other tools
 * (onnx.checker) want a type on every output.
 */
function typeField(value: Value | undefined, found: Found | undefined): Uint8Array[] {
  if (value?.type) return [bytesField(2, value.type)];
  const head = found?.head;
  if (head?.dtype === undefined || found === undefined) return [];
  const unknown = Array.from({ length: Math.max(0, (found.rank ?? 0) - 1) }, () => bytesField(1));
  const shape = found.rank === undefined || found.rank < 1 ? [] : [bytesField(2, ...unknown, bytesField(1, integerField(1, head.features)))];
  return [bytesField(2, bytesField(1, integerField(1, dtypeNumber(head.dtype)), ...shape))];
}
