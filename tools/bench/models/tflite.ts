import { Builder } from "flatbuffers";

/** Writes TensorFlow Lite models of one operator, so that LiteRT has something to run and nothing is downloaded. Source: tensorflow/lite/schema.fbs. */

const FLOAT32 = 0;
const INT32 = 2;

type BuiltinOptions = { type: number; write: (b: Builder) => number };

interface OneOp {
  /** `BuiltinOperator` of the schema. */
  operator: number;
  version: number;
  options: BuiltinOptions;
  inputs: { name: string; shape: number[]; type?: number; constant?: Uint8Array }[];
  outputs: { name: string; shape: number[]; type?: number }[];
}

function table(b: Builder, fields: number, write: () => void): number {
  b.startObject(fields);
  write();
  return b.endObject();
}

function offsets(b: Builder, values: number[]): number {
  b.startVector(4, values.length, 4);
  for (const value of values.toReversed()) b.addOffset(value);
  return b.endVector();
}

function ints(b: Builder, values: number[]): number {
  b.startVector(4, values.length, 4);
  for (const value of values.toReversed()) b.addInt32(value);
  return b.endVector();
}

function bytes(b: Builder, data: Uint8Array): number {
  b.startVector(1, data.length, 16);
  for (let i = data.length - 1; i >= 0; i--) b.addInt8(data[i]);
  return b.endVector();
}

function model(op: OneOp): Uint8Array {
  const b = new Builder(1 << 16);
  const all = [...op.inputs, ...op.outputs];
  // Buffer 0 is the empty one; every constant has a buffer of its own.
  const constants = op.inputs.filter((input) => input.constant !== undefined);
  const buffers = [table(b, 1, () => {})];
  for (const { constant } of constants) {
    const data = bytes(b, constant as Uint8Array);
    buffers.push(table(b, 1, () => b.addFieldOffset(0, data, 0)));
  }
  const tensors = all.map((tensor) => {
    const shape = ints(b, tensor.shape), name = b.createString(tensor.name);
    const buffer = constants.indexOf(tensor) + 1;
    return table(b, 9, () => {
      b.addFieldOffset(0, shape, 0);
      b.addFieldInt8(1, tensor.type ?? FLOAT32, 0);
      b.addFieldInt32(2, buffer, 0);
      b.addFieldOffset(3, name, 0);
      b.addFieldInt8(8, 1, 0);
    });
  });
  const inputs = op.inputs.map((_, i) => i), outputs = op.outputs.map((_, i) => op.inputs.length + i);
  const operatorInputs = ints(b, inputs), operatorOutputs = ints(b, outputs), options = op.options.write(b);
  const operator = table(b, 9, () => {
    b.addFieldInt32(0, 0, 0);
    b.addFieldOffset(1, operatorInputs, 0);
    b.addFieldOffset(2, operatorOutputs, 0);
    b.addFieldInt8(3, op.options.type, 0);
    b.addFieldOffset(4, options, 0);
  });
  const tensorList = offsets(b, tensors), operatorList = offsets(b, [operator]), name = b.createString("main");
  const graphInputs = ints(b, inputs.filter((i) => op.inputs[i].constant === undefined)), graphOutputs = ints(b, outputs);
  const subgraph = table(b, 5, () => {
    b.addFieldOffset(0, tensorList, 0);
    b.addFieldOffset(1, graphInputs, 0);
    b.addFieldOffset(2, graphOutputs, 0);
    b.addFieldOffset(3, operatorList, 0);
    b.addFieldOffset(4, name, 0);
  });
  const code = table(b, 4, () => {
    b.addFieldInt8(0, Math.min(op.operator, 127), 0);
    b.addFieldInt32(2, op.version, 1);
    b.addFieldInt32(3, op.operator, 0);
  });
  const codes = offsets(b, [code]), subgraphs = offsets(b, [subgraph]), bufferList = offsets(b, buffers), description = b.createString("@logits/bench");
  const root = table(b, 8, () => {
    b.addFieldInt32(0, 3, 0);
    b.addFieldOffset(1, codes, 0);
    b.addFieldOffset(2, subgraphs, 0);
    b.addFieldOffset(3, description, 0);
    b.addFieldOffset(4, bufferList, 0);
  });
  b.finish(root, "TFL3");
  return b.asUint8Array();
}

export function softmaxModel(rows: number, cols: number): Uint8Array {
  const options = { type: 9, write: (b: Builder): number => table(b, 1, () => b.addFieldFloat32(0, 1, 0)) };
  return model({ operator: 25, version: 1, options, inputs: [{ name: "x", shape: [rows, cols] }], outputs: [{ name: "y", shape: [rows, cols] }] });
}

/** BATCH_MATMUL of two inputs that change: the right factor is packed in every run, as a `matmul` of two tensors must. */
export function matmulModel(m: number, k: number, n: number): Uint8Array {
  const options = { type: 101, write: (b: Builder): number => table(b, 3, () => {}) };
  return model({
    operator: 126, version: 1, options, inputs: [{ name: "a", shape: [m, k] }, { name: "b", shape: [k, n] }], outputs: [{ name: "y", shape: [m, n] }],
  });
}

/** FULLY_CONNECTED with constant weights `[n, k]`: packed once, when the model is compiled. */
export function fullyConnectedModel(m: number, k: number, n: number, weights: Float32Array): Uint8Array {
  const options = { type: 8, write: (b: Builder): number => table(b, 4, () => {}) };
  const constant = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  return model({
    operator: 9, version: 1, options, inputs: [{ name: "a", shape: [m, k] }, { name: "w", shape: [n, k], constant }], outputs: [{ name: "y", shape: [m, n] }],
  });
}

export function topKModel(rows: number, cols: number, k: number): Uint8Array {
  const options = { type: 34, write: (b: Builder): number => table(b, 0, () => {}) };
  const constant = new Uint8Array(Int32Array.of(k).buffer);
  return model({
    operator: 48, version: 1, options,
    inputs: [{ name: "x", shape: [rows, cols] }, { name: "k", shape: [], type: INT32, constant }],
    outputs: [{ name: "values", shape: [rows, k] }, { name: "indices", shape: [rows, k], type: INT32 }],
  });
}
