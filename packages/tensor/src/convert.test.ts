import { expectExact, testRandom, type Comparable } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asFloat32, asInt32, asMask, tensor, type TensorLike } from "./convert.ts";
import { float32ToFloat16 } from "./float16.ts";
import { Tensor } from "./tensor.ts";

/** What a caller in JavaScript can do although the types forbid it. */
const anything = (x: unknown): TensorLike => x as TensorLike;

function detached<A extends ArrayBufferView>(view: A): A {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return "was accepted";
};

const refusal = (x: unknown): string => messageOf(() => asFloat32("softmax", "logits", anything(x)));

const accepted: [string, TensorLike, number[], number[]][] = [
  ["a Tensor of float32", new Tensor("float32", [2, 1], Float32Array.of(1.5, -0)), [2, 1], [1.5, -0]],
  ["a Tensor of int32", new Tensor("int32", [2], Int32Array.of(1, -7)), [2], [1, -7]],
  ["a Tensor of uint8", new Tensor("uint8", [2], Uint8Array.of(1, 255)), [2], [1, 255]],
  ["Float32Array", Float32Array.of(1, NaN, -Infinity), [3], [1, NaN, -Infinity]],
  ["Float64Array, rounded once", Float64Array.of(0.1, -0, Infinity, NaN), [4], [Math.fround(0.1), -0, Infinity, NaN]],
  ["Float64Array up to the largest float32", Float64Array.of(3.4028234663852886e38, -3.4028234663852886e38), [2], [3.4028234663852886e38, -3.4028234663852886e38]],
  ["Float16Array", anything(Float16Array.of(0.5, NaN)), [2], [0.5, NaN]],
  ["Int8Array", Int8Array.of(-128, 127), [2], [-128, 127]],
  ["Int16Array", Int16Array.of(-32768, 1), [2], [-32768, 1]],
  ["Int32Array up to 2^24", Int32Array.of(16777216, -16777216), [2], [16777216, -16777216]],
  ["Uint8Array", Uint8Array.of(0, 255), [2], [0, 255]],
  ["Uint8ClampedArray", anything(Uint8ClampedArray.of(0, 255)), [2], [0, 255]],
  ["Uint32Array", Uint32Array.of(7), [1], [7]],
  ["BigInt64Array", BigInt64Array.of(-5n, 16777216n), [2], [-5, 16777216]],
  ["BigUint64Array", anything(BigUint64Array.of(5n)), [1], [5]],
  ["numbers", [1, 2.5, Infinity], [3], [1, 2.5, Infinity]],
  ["booleans", anything([true, false]), [2], [1, 0]],
  ["nested numbers", [[1, 2, 3], [4, 5, 6]], [2, 3], [1, 2, 3, 4, 5, 6]],
  ["three levels", [[[1], [2]], [[3], [4]], [[5], [6]]], [3, 2, 1], [1, 2, 3, 4, 5, 6]],
  ["one number in three levels", [[[7]]], [1, 1, 1], [7]],
  ["nothing", [], [0], []],
  ["an empty typed array", new Float32Array(0), [0], []],
  ["an ONNX Runtime tensor", { data: Float32Array.of(1, 2), dims: [1, 2], type: "float32", location: "cpu" }, [1, 2], [1, 2]],
  ["a pinned one", { data: Float32Array.of(1, 2), dims: [2, 1], type: "float32", location: "cpu-pinned" }, [2, 1], [1, 2]],
  ["int64 labels of ONNX Runtime", { data: BigInt64Array.of(3n), dims: [1], type: "int64" }, [1], [3]],
  ["bool of ONNX Runtime", { data: Uint8Array.of(1, 0), dims: [2], type: "bool" }, [2], [1, 0]],
  ["float16 bits of ONNX Runtime", { data: Uint16Array.of(0x3c00, 0x8000), dims: [2], type: "float16" }, [2], [1, -0]],
  ["float16 bits with a dtype", { data: Uint16Array.of(0x3c00), shape: [1], dtype: "float16" }, [1], [1]],
  ["Float16Array of ONNX Runtime", { data: Float16Array.of(1.5), dims: [1], type: "float16" }, [1], [1.5]],
  ["a plain tensor", { data: Float64Array.of(1, 2), shape: [2, 1], dtype: "float64" }, [2, 1], [1, 2]],
  ["a plain tensor of numbers", { data: [1, 2], shape: [1, 2] }, [1, 2], [1, 2]],
  ["a scalar", { data: [1], shape: [] }, [], [1]],
  ["no rows of three", { data: [], shape: [0, 3] }, [0, 3], []],
];

describe("asFloat32", () => {
  it.each(accepted)("takes %s", (_, x, shape, data) => {
    const y = asFloat32("f", "x", x);
    expect(y).toBeInstanceOf(Tensor);
    expect(y.dtype).toBe("float32");
    expect(y.data).toBeInstanceOf(Float32Array);
    expectExact(y, { shape, data });
  });

  it("copies nothing that is float32 already", () => {
    const data = Float32Array.of(1, 2);
    const x = new Tensor("float32", [2], data);
    expect(asFloat32("f", "x", x)).toBe(x);
    expect(asFloat32("f", "x", data).data).toBe(data);
    expect(asFloat32("f", "x", { data, dims: [1, 2] }).data).toBe(data);
  });

  it("keeps its own shape where the caller's may change", () => {
    const dims = [1, 2];
    const x = asFloat32("f", "x", { data: [1, 2], dims });
    dims[0] = 2;
    expect(x.shape).toEqual([1, 2]);
  });

  it("reads a view into a larger buffer", () => {
    expectExact(asFloat32("f", "x", Float64Array.of(9, 1, 2, 9).subarray(1, 3)), { shape: [2], data: [1, 2] });
    expectExact(asFloat32("f", "x", { data: float32ToFloat16(Float32Array.of(9, 1, 2)).subarray(1), dims: [2], type: "float16" }), { shape: [2], data: [1, 2] });
  });

  it("rounds every float64 in range as Math.fround does", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -3.4028234663852886e38, max: 3.4028234663852886e38 })), (x) => {
        expectExact(asFloat32("f", "x", Float64Array.from(x)).data, x.map(Math.fround));
        expectExact(asFloat32("f", "x", x).data, x.map(Math.fround));
      }),
      { seed: 1 },
    );
  });

  it("is the inverse of toArray", () => {
    const random = testRandom(3);
    for (const shape of [[3], [2, 3], [2, 1, 4], [1, 1, 1, 1]]) {
      const x = new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()));
      expectExact(asFloat32("f", "x", x.toArray() as Comparable & TensorLike), { shape, data: x.data.slice() });
    }
  });

  it("refuses undefined", () => {
    expect(refusal(undefined)).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got undefined"`);
  });

  it("refuses null", () => {
    expect(refusal(null)).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got null"`);
  });

  it("refuses a number", () => {
    expect(refusal(3)).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Number"`);
  });

  it("refuses a string", () => {
    expect(refusal("1,2")).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got String"`);
  });

  it("refuses a function", () => {
    expect(refusal(() => 1)).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Function"`);
  });

  it("refuses an object", () => {
    expect(refusal(({}))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object"`);
  });

  it("refuses a map", () => {
    expect(refusal(new Map())).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Map"`);
  });

  it("refuses a promise", () => {
    expect(refusal(Promise.resolve([1]))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Promise"`);
  });

  it("refuses a buffer", () => {
    expect(refusal(new ArrayBuffer(8))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got ArrayBuffer"`);
  });

  it("refuses a DataView", () => {
    expect(refusal(new DataView(new ArrayBuffer(8)))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got DataView"`);
  });

  it("refuses data without a shape", () => {
    expect(refusal(({ data: [1] }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object"`);
  });

  it("refuses a shape without data", () => {
    expect(refusal(({ shape: [1] }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object"`);
  });

  it("refuses a shape that is a number", () => {
    expect(refusal(({ data: [1], shape: 1 }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object"`);
  });

  it("refuses data that are a string", () => {
    expect(refusal(({ data: "1", shape: [1] }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object"`);
  });

  it("refuses a TensorFlow.js tensor", () => {
    expect(refusal(({ data: async () => Float32Array.of(1), shape: [1], dtype: "float32" }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Object whose data is a function. Pass { data: await tensor.data(), shape: tensor.shape }"`);
  });

  it("refuses a tensor in GPU memory", () => {
    expect(refusal(({ location: "gpu-buffer", dims: [1], type: "float32", get data() { throw new Error("not on the CPU"); } }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got a tensor at location gpu-buffer. Pass { data: await tensor.getData(), dims: tensor.dims }"`);
  });

  it("refuses a disposed tensor of ONNX Runtime", () => {
    expect(refusal(({ location: "none", dims: [1], type: "float32" }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got a tensor at location none. Its data are gone: read them before dispose()"`);
  });

  it("refuses too few elements", () => {
    expect(refusal(({ data: [1, 2, 3], shape: [2, 2] }))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with 4 elements for shape [2, 2], got 3"`);
  });

  it("refuses too many elements", () => {
    expect(refusal(({ data: Float32Array.of(1, 2, 3), dims: [2] }))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with 2 elements for shape [2], got 3"`);
  });

  it("refuses a negative dimension", () => {
    expect(refusal(({ data: [], shape: [-1, 0] }))).toMatchInlineSnapshot(`"RangeError: Tensor: expected \`shape\` of integers from 0 up, got -1 at axis 0"`);
  });

  it("refuses a fraction as a dimension", () => {
    expect(refusal(({ data: [1], shape: [1, 0.5] }))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with 0.5 elements for shape [1, 0.5], got 1"`);
  });

  it("refuses bigint dimensions", () => {
    expect(refusal(({ data: [1], shape: [1n] }))).toMatchInlineSnapshot(`"TypeError: Cannot mix BigInt and other types, use explicit conversions"`);
  });

  it("refuses ragged rows", () => {
    expect(refusal([[1, 2], [3]])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with rows of equal length (shape [2, 2]), got 1 elements at axis 1"`);
  });

  it("refuses ragged rows of the right total", () => {
    expect(refusal([[1, 2], [3], [4, 5, 6]])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with rows of equal length (shape [3, 2]), got 1 elements at axis 1"`);
  });

  it("refuses a row that is a number", () => {
    expect(refusal([[1], 2])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with rows of equal length (shape [2, 1]), got Number at axis 1"`);
  });

  it("refuses a number that is a row", () => {
    expect(refusal([1, [2]])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got Array at index 1"`);
  });

  it("refuses rows that are typed arrays", () => {
    expect(refusal([Float32Array.of(1), Float32Array.of(2)])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got Float32Array at index 0"`);
  });

  it("refuses empty rows", () => {
    expect(refusal([[], []])).toMatchInlineSnapshot(`"was accepted"`);
  });

  it("refuses a hole", () => {
    expect(refusal([1, , 3])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got undefined at index 1"`);
  });

  it("refuses null in place of a number", () => {
    expect(refusal([1, null])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got null at index 1"`);
  });

  it("refuses a string in place of a number", () => {
    expect(refusal([[1], ["2"]])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got String at index 1"`);
  });

  it("refuses a symbol in place of a number", () => {
    expect(refusal([Symbol("one")])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got Symbol at index 0"`);
  });

  it("refuses an object in place of a number", () => {
    expect(refusal([{ valueOf: () => 1 }])).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got Object at index 0"`);
  });

  it("refuses nested data in a plain tensor", () => {
    expect(refusal(({ data: [[1]], shape: [1] }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` of numbers, got Array at index 0"`);
  });

  it("refuses float64 beyond float32", () => {
    expect(refusal(Float64Array.of(0, 1e39))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` of values that float32 holds, got 1e+39 at index 1"`);
  });

  it("refuses a number beyond float32", () => {
    expect(refusal([0, -3.5e38])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` of values that float32 holds, got -3.5e+38 at index 1"`);
  });

  it("refuses int32 beyond 2^24", () => {
    expect(refusal(Int32Array.of(16777217))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` of values that float32 holds, got 16777217 at index 0"`);
  });

  it("refuses uint32 beyond 2^24", () => {
    expect(refusal(Uint32Array.of(4294967295))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` of values that float32 holds, got 4294967295 at index 0"`);
  });

  it("refuses int64 beyond 2^24", () => {
    expect(refusal(BigInt64Array.of(0n, -9007199254740993n))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` of values that float32 holds, got -9007199254740993 at index 1"`);
  });

  it("refuses Uint16Array", () => {
    expect(refusal(Uint16Array.of(0x3c00))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Uint16Array. For float16 bits pass { data, dims, type: "float16" }"`);
  });

  it("refuses Uint16Array of type uint16", () => {
    expect(refusal(({ data: Uint16Array.of(1), dims: [1], type: "uint16" }))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got Uint16Array. For float16 bits pass { data, dims, type: "float16" }"`);
  });

  it("refuses a detached Float32Array", () => {
    expect(refusal(detached(Float32Array.of(1, 2)))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
  });

  it("refuses a detached Tensor", () => {
    expect(refusal((() => { const x = tensor([1, 2]); detached(x.data); return x; })())).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
  });

  it("refuses detached data", () => {
    expect(refusal(({ data: detached(Float32Array.of(1, 2)), dims: [2] }))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with 2 elements for shape [2], got 0"`);
  });

  it("refuses detached data of no rows", () => {
    expect(refusal(({ data: detached(Float32Array.of(1, 2)), dims: [0, 2] }))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
  });

  it("refuses an array over memory that has grown", () => {
    expect(refusal((() => { const m = new WebAssembly.Memory({ initial: 1 }); const x = tensor(new Float32Array(m.buffer, 0, 2)); m.grow(1); return x; })())).toMatchInlineSnapshot(`"RangeError: softmax: expected \`logits\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
  });
});

describe("asInt32", () => {
  it.each<[string, TensorLike, number[], number[]]>([
    ["a Tensor", new Tensor("int32", [2], Int32Array.of(1, -1)), [2], [1, -1]],
    ["Int32Array", Int32Array.of(-2147483648, 2147483647), [2], [-2147483648, 2147483647]],
    ["int64", BigInt64Array.of(-2147483648n, 2147483647n), [2], [-2147483648, 2147483647]],
    ["uint32 in range", Uint32Array.of(2147483647), [1], [2147483647]],
    ["uint8", Uint8Array.of(255), [1], [255]],
    ["numbers", [[0, 1], [2, -3]], [2, 2], [0, 1, 2, -3]],
    ["booleans", anything([true, false]), [2], [1, 0]],
    ["int64 of ONNX Runtime", { data: BigInt64Array.of(1n, 2n), dims: [2], type: "int64" }, [2], [1, 2]],
  ])("takes %s", (_, x, shape, data) => {
    const y = asInt32("f", "labels", x);
    expect(y.dtype).toBe("int32");
    expect(y.data).toBeInstanceOf(Int32Array);
    expectExact(y, { shape, data });
  });

  it("copies nothing that is int32 already", () => {
    const data = Int32Array.of(1, 2);
    const x = new Tensor("int32", [2], data);
    expect(asInt32("f", "x", x)).toBe(x);
    expect(asInt32("f", "x", data).data).toBe(data);
  });

  const refused = (x: unknown): string => messageOf(() => asInt32("nll", "labels", anything(x)));

  it("refuses what is not an integer of 32 bits", () => {
    expect(refused([0, 1.5])).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got 1.5 at index 1"`);
    expect(refused([0, NaN])).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got NaN at index 1"`);
    expect(refused([Infinity])).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got Infinity at index 0"`);
    expect(refused([2147483648])).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got 2147483648 at index 0"`);
    expect(refused(Uint32Array.of(4294967295))).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got 4294967295 at index 0"`);
    expect(refused(BigInt64Array.of(4294967296n))).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got 4294967296 at index 0"`);
    expect(refused(BigInt64Array.of(-9223372036854775808n))).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` of integers that int32 holds, got -9223372036854775808 at index 0"`);
  });

  it("refuses floating point, even where the values are integers", () => {
    expect(refused(Float32Array.of(1))).toMatchInlineSnapshot(`"TypeError: nll: expected \`labels\` of integers (int32), got Float32Array. Convert with Int32Array.from"`);
    expect(refused(Float64Array.of(1))).toMatchInlineSnapshot(`"TypeError: nll: expected \`labels\` of integers (int32), got Float64Array. Convert with Int32Array.from"`);
    expect(refused(Float16Array.of(1))).toMatchInlineSnapshot(`"TypeError: nll: expected \`labels\` of integers (int32), got Float16Array. Convert with Int32Array.from"`);
    expect(refused(tensor([1]))).toMatchInlineSnapshot(`"TypeError: nll: expected \`labels\` of integers (int32), got Float32Array. Convert with Int32Array.from"`);
    expect(refused({ data: Uint16Array.of(0x3c00), dims: [1], type: "float16" })).toMatchInlineSnapshot(`"TypeError: nll: expected \`labels\` of integers (int32), got Float32Array. Convert with Int32Array.from"`);
  });

  it("refuses detached buffers", () => {
    expect(refused(detached(Int32Array.of(1)))).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
    expect(refused({ data: detached(BigInt64Array.of(1n)), dims: [1] })).toMatchInlineSnapshot(`"RangeError: nll: expected \`labels\` with 1 elements for shape [1], got 0"`);
  });
});

describe("asMask", () => {
  it.each<[string, TensorLike]>([
    ["a Tensor", new Tensor("uint8", [2], Uint8Array.of(1, 0))],
    ["Uint8Array", Uint8Array.of(1, 0)],
    ["Int32Array", Int32Array.of(1, 0)],
    ["numbers", [1, 0]],
    ["booleans", anything([true, false])],
    ["bool of ONNX Runtime", { data: Uint8Array.of(1, 0), dims: [2], type: "bool" }],
  ])("takes %s", (_, x) => {
    const mask = asMask("f", "where", x);
    expect(mask.dtype).toBe("uint8");
    expectExact(mask, { shape: [2], data: [1, 0] });
  });

  const refused = (x: unknown): string => messageOf(() => asMask("softmax", "where", anything(x)));

  it("refuses everything but 0 and 1", () => {
    expect(refused([1, 0, 2])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of 0 and 1, got 2 at index 2"`);
    expect(refused(new Tensor("uint8", [1], Uint8Array.of(255)))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of 0 and 1, got 255 at index 0"`);
    expect(refused([-1])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of integers that uint8 holds, got -1 at index 0"`);
    expect(refused([256])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of integers that uint8 holds, got 256 at index 0"`);
    expect(refused([0.5])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of integers that uint8 holds, got 0.5 at index 0"`);
    expect(refused([NaN])).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` of integers that uint8 holds, got NaN at index 0"`);
    expect(refused(Float32Array.of(1, 0))).toMatchInlineSnapshot(`"TypeError: softmax: expected \`where\` of integers (uint8), got Float32Array. Convert with Int32Array.from"`);
    expect(refused(detached(Uint8Array.of(1)))).toMatchInlineSnapshot(`"RangeError: softmax: expected \`where\` with its elements, got a detached buffer. Pass a copy made before the transfer"`);
  });
});

describe("tensor", () => {
  it("reads the shape off the nesting or takes it", () => {
    expectExact(tensor([[1, 2], [3, 4]]), { shape: [2, 2], data: [1, 2, 3, 4] });
    expectExact(tensor([1, 2, 3, 4], [2, 2]), { shape: [2, 2], data: [1, 2, 3, 4] });
    expectExact(tensor([7], []), { shape: [], data: [7] });
    expectExact(tensor([], [0, 3]), { shape: [0, 3], data: [] });
    expect(tensor([0, 1], [2], "int32").data).toBeInstanceOf(Int32Array);
    expect(tensor([0, 1], undefined, "uint8").data).toBeInstanceOf(Uint8Array);
    expect(tensor([0, 1], undefined, "int32").type).toBe("int32");
  });

  it("says what it refuses", () => {
    expect(messageOf(() => tensor([1, 2, 3], [2, 2]))).toMatchInlineSnapshot(`"RangeError: Tensor: expected \`data\` of length 4 for shape [2, 2], got 3 elements"`);
    expect(messageOf(() => tensor([1, 2], [2, 1.5]))).toMatchInlineSnapshot(`"RangeError: Tensor: expected \`shape\` of integers from 0 up, got 1.5 at axis 1"`);
    expect(messageOf(() => tensor([1.5], [1], "int32"))).toMatchInlineSnapshot(`"RangeError: tensor: expected \`data\` of integers that int32 holds, got 1.5 at index 0"`);
    expect(messageOf(() => tensor([256], [1], "uint8"))).toMatchInlineSnapshot(`"RangeError: tensor: expected \`data\` of integers that uint8 holds, got 256 at index 0"`);
    expect(messageOf(() => tensor(anything(5)))).toMatchInlineSnapshot(`"TypeError: tensor: expected \`data\` a tensor, typed array, { data, dims } or nested number arrays, got Number"`);
    expect(messageOf(() => tensor([1], [1], "float64" as "float32"))).toMatchInlineSnapshot(`"TypeError: Tensor: expected \`dtype\` float32 or int32 or uint8, got float64"`);
  });
});
