/** Writes ONNX models of one node, so that ONNX Runtime has something to run and nothing is downloaded. Source: onnx.proto3 (field numbers). */

const FLOAT = 1;
const INT32 = 6;
const INT64 = 7;

type Bytes = number[];

function varint(value: number): Bytes {
  const out: Bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  return [...out, value];
}

const integer = (field: number, value: number): Bytes => [...varint(field * 8), ...varint(value)];
const message = (field: number, ...parts: Bytes[]): Bytes => {
  const body = parts.flat();
  return [...varint(field * 8 + 2), ...varint(body.length), ...body];
};
const text = (field: number, value: string): Bytes => message(field, [...new TextEncoder().encode(value)]);

interface OneNode {
  type: string;
  /** A name of "" leaves an input out. */
  inputs: { name: string; shape: number[]; type?: number }[];
  outputs: { name: string; shape: number[]; type?: number }[];
  attributes?: Record<string, number>;
  /** Default: the standard's own operators. */
  domain?: string;
  /** int64 constants of rank one. */
  constants?: Record<string, number[]>;
  /** int32 inputs that are known, after `inputs`: a number is of rank zero. */
  integers?: Record<string, number | number[]>;
}

function valueInfo(field: number, { name, shape, type = FLOAT }: { name: string; shape: number[]; type?: number }): Bytes {
  const dims = shape.map((size) => message(1, integer(1, size)));
  return message(field, text(1, name), message(2, message(1, integer(1, type), message(2, ...dims))));
}

function model(node: OneNode): Uint8Array {
  const constants = Object.entries(node.constants ?? {}), integers = Object.entries(node.integers ?? {});
  const names = [...node.inputs.map((input) => input.name), ...constants.map(([name]) => name), ...integers.map(([name]) => name)];
  const attributes = Object.entries(node.attributes ?? {}).map(([name, value]) => message(5, text(1, name), integer(3, value), integer(20, 2)));
  const graph = message(
    7,
    message(1, ...names.map((name) => text(1, name)), ...node.outputs.map(({ name }) => text(2, name)), text(4, node.type), ...attributes, ...(node.domain === undefined ? [] : [text(7, node.domain)])),
    text(2, "main"),
    ...constants.map(([name, values]) => message(5, integer(1, values.length), integer(2, INT64), message(7, ...values.map(varint)), text(8, name))),
    ...integers.map(([name, value]) => message(5, ...(typeof value === "number" ? [] : [integer(1, value.length)]), integer(2, INT32), message(5, ...[value].flat().map(varint)), text(8, name))),
    ...node.inputs.filter(({ name }) => name !== "").map((input) => valueInfo(11, input)),
    ...node.outputs.map((output) => valueInfo(12, output)),
  );
  return Uint8Array.from([...integer(1, 8), ...text(2, "@logits/bench"), ...graph, ...message(8, text(1, ""), integer(2, 18)), ...(node.domain === undefined ? [] : message(8, text(1, node.domain), integer(2, 1)))]);
}

/** ONNX Runtime's own attention: [1, rows, heads * size] each; the last query at the last key where `causal`. */
export function multiHeadAttentionModel(heads: number, queries: number, keys: number, size: number, causal: boolean): Uint8Array {
  return model({
    type: "MultiHeadAttention", domain: "com.microsoft", inputs: [{ name: "q", shape: [1, queries, heads * size] }, { name: "k", shape: [1, keys, heads * size] }, { name: "v", shape: [1, keys, heads * size] }],
    outputs: [{ name: "y", shape: [1, queries, heads * size] }], attributes: { num_heads: heads, unidirectional: causal ? 1 : 0 },
  });
}

/** Its attention for grouped heads, causal; all but the last `queries` keys come as a cache, [1, groups, keys - queries, size], where there are any. */
export function groupQueryAttentionModel(heads: number, groups: number, queries: number, keys: number, size: number): Uint8Array {
  const past = keys - queries, cache = (name: string, length: number): { name: string; shape: number[] } => ({ name, shape: [1, groups, length, size] });
  return model({
    type: "GroupQueryAttention", domain: "com.microsoft", attributes: { num_heads: heads, kv_num_heads: groups },
    inputs: [
      { name: "q", shape: [1, queries, heads * size] }, { name: "k", shape: [1, queries, groups * size] }, { name: "v", shape: [1, queries, groups * size] }, cache(past > 0 ? "past_k" : "", past), cache(past > 0 ? "past_v" : "", past),
    ],
    outputs: [{ name: "y", shape: [1, queries, heads * size] }, cache("present_k", keys), cache("present_v", keys)], integers: { last: [keys - 1], total: keys },
  });
}

export function softmaxModel(rows: number, cols: number): Uint8Array {
  return model({ type: "Softmax", inputs: [{ name: "x", shape: [rows, cols] }], outputs: [{ name: "y", shape: [rows, cols] }], attributes: { axis: 1 } });
}

export function logSumExpModel(rows: number, cols: number): Uint8Array {
  return model({
    type: "ReduceLogSumExp", inputs: [{ name: "x", shape: [rows, cols] }], outputs: [{ name: "y", shape: [rows] }], attributes: { keepdims: 0 }, constants: { axes: [1] },
  });
}

export function matmulModel(m: number, k: number, n: number): Uint8Array {
  return model({ type: "MatMul", inputs: [{ name: "a", shape: [m, k] }, { name: "b", shape: [k, n] }], outputs: [{ name: "y", shape: [m, n] }] });
}

export function topKModel(rows: number, cols: number, k: number): Uint8Array {
  return model({
    type: "TopK", inputs: [{ name: "x", shape: [rows, cols] }], constants: { k: [k] },
    outputs: [{ name: "values", shape: [rows, k] }, { name: "indices", shape: [rows, k], type: INT64 }],
  });
}
