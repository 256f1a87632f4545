import { inspect } from "node:util";
import { expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { tensor } from "./convert.ts";
import { describe as words, sizeOf, Tensor } from "./tensor.ts";

const x = tensor([[1, 2, 3], [4, 5, 6]]);

describe("Tensor", () => {
  it("answers to the names of ONNX Runtime", () => {
    expect(x.dims).toEqual([2, 3]);
    expect(x.type).toBe("float32");
    expect(x.size).toBe(6);
  });

  it("holds the array that it was given", () => {
    const data = Int32Array.of(1, 2);
    expect(new Tensor("int32", [2], data).data).toBe(data);
  });

  it("gives an element by its indices", () => {
    expect(x.at(0, 0)).toBe(1);
    expect(x.at(1, 0)).toBe(4);
    expect(x.at(1, 2)).toBe(6);
    expect(tensor([7], []).at()).toBe(7);
    const cube = tensor(Float32Array.from({ length: 24 }, (_, i) => i), [2, 3, 4]);
    expect(cube.at(1, 2, 3)).toBe(23);
    expect(cube.at(1, 0, 2)).toBe(14);
  });

  it("gives its only element", () => {
    expect(tensor([7]).item()).toBe(7);
    expect(tensor([7], []).item()).toBe(7);
    expect(tensor([[[NaN]]]).item()).toBeNaN();
  });

  it("gives a row as a view", () => {
    const y = tensor([[1, 2], [3, 4]]);
    expectExact(y.row(1), { shape: [2], data: [3, 4] });
    y.row(1).data[0] = 9;
    expect(y.at(1, 0)).toBe(9);
    expectExact(tensor([5, 6]).row(1), { shape: [], data: [6] });
    expectExact(tensor(Float32Array.from({ length: 24 }, (_, i) => i), [2, 3, 4]).row(1).row(2), { shape: [4], data: [20, 21, 22, 23] });
    expectExact(tensor([], [2, 0]).row(1), { shape: [0], data: [] });
  });

  it("unfolds into nested arrays", () => {
    expect(x.toArray()).toEqual([[1, 2, 3], [4, 5, 6]]);
    expect(tensor([7], []).toArray()).toBe(7);
    expect(tensor([], [0, 3]).toArray()).toEqual([]);
    expect(tensor([], [2, 0]).toArray()).toEqual([[], []]);
    expect(tensor(Float32Array.of(1, 2, 3, 4), [2, 1, 2]).toArray()).toEqual([[[1, 2]], [[3, 4]]]);
  });

  it("prints itself, in a template and in the console", () => {
    expect(`${x}`).toMatchInlineSnapshot(`"Tensor float32 [2, 3] 1, 2, 3, 4, 5, 6"`);
    expect(inspect(x)).toBe(`${x}`);
    expect(inspect({ logits: x })).toMatchInlineSnapshot(`"{ logits: Tensor float32 [2, 3] 1, 2, 3, 4, 5, 6 }"`);
    expect(`${tensor([], [0, 3])}`).toMatchInlineSnapshot(`"Tensor float32 [0, 3] "`);
    expect(`${tensor([NaN], [], "float32")}`).toMatchInlineSnapshot(`"Tensor float32 [] NaN"`);
    expect(`${tensor(new Float32Array(16))}`).toMatchInlineSnapshot(`"Tensor float32 [16] 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0"`);
    expect(`${tensor(new Uint8Array(17), [17], "uint8")}`).toMatchInlineSnapshot(`"Tensor uint8 [17] 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..."`);
  });

  it("reads its data anew where a subclass makes them", () => {
    class Moving extends Tensor<"float32"> {
      override get data(): Float32Array {
        return Float32Array.of(1, 2);
      }
    }
    const moving = new Moving("float32", [2], undefined);
    expect(moving.data).not.toBe(moving.data);
    expect(moving.at(1)).toBe(2);
    expect(moving.toArray()).toEqual([1, 2]);
    expect(`${moving}`).toBe("Tensor float32 [2] 1, 2");
  });

  it("says what it refuses", () => {
    expect(() => new Tensor("float32", [2], Float64Array.of(1, 2) as unknown as Float32Array)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Tensor: expected \`data\` a Float32Array for float32, got Float64Array]`);
    expect(() => new Tensor("int32", [1], Float32Array.of(1) as unknown as Int32Array)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Tensor: expected \`data\` a Int32Array for int32, got Float32Array]`);
    expect(() => new Tensor("float32", [1], [1] as unknown as Float32Array)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Tensor: expected \`data\` a Float32Array for float32, got Array]`);
    expect(() => new Tensor("float32", [1], null as unknown as Float32Array)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Tensor: expected \`data\` a Float32Array for float32, got null]`);
    expect(() => new Tensor("float64" as "float32", [1], Float32Array.of(1))).toThrowErrorMatchingInlineSnapshot(`[TypeError: Tensor: expected \`dtype\` float32 or int32 or uint8, got float64]`);
    expect(() => new Tensor("float32", [2, 2], Float32Array.of(1, 2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor: expected \`data\` of length 4 for shape [2, 2], got 2 elements]`);
    expect(() => x.item()).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.item: expected \`this\` with one element, got shape [2, 3]]`);
    expect(() => tensor([]).item()).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.item: expected \`this\` with one element, got shape [0]]`);
    expect(() => x.at(1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.at: expected \`indices\` inside shape [2, 3], got [1]]`);
    expect(() => x.at(0, 3)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.at: expected \`indices\` inside shape [2, 3], got [0, 3]]`);
    expect(() => x.at(-1, 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.at: expected \`indices\` inside shape [2, 3], got [-1, 0]]`);
    expect(() => x.at(0, 0.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.at: expected \`indices\` inside shape [2, 3], got [0, 0.5]]`);
    expect(() => x.row(2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.row: expected \`i\` a row of shape [2, 3], got 2]`);
    expect(() => x.row(-1)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.row: expected \`i\` a row of shape [2, 3], got -1]`);
    expect(() => tensor([7], []).row(0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.row: expected \`i\` a row of shape [], got 0]`);
  });
});

describe("sizeOf", () => {
  it("multiplies, and is 1 for a scalar", () => {
    expect([sizeOf([]), sizeOf([3]), sizeOf([2, 3, 4]), sizeOf([2, 0, 4])]).toEqual([1, 3, 24, 0]);
  });
});

it.each([[[-1, -2]], [[0.5, 4]], [[NaN]]])("refuses the shape %j", (shape) => {
  expect(() => new Tensor("float32", shape, Float32Array.of(1, 2))).toThrow(/^Tensor: expected `shape` of integers from 0 up, got \S+ at axis 0$/);
});

describe("describe", () => {
  it("names kinds", () => {
    const values = [null, undefined, 1, "a", true, 1n, () => 1, {}, [], new Float64Array(1), new Map(), Object.create(null), x];
    expect(values.map(words)).toEqual(["null", "undefined", "Number", "String", "Boolean", "BigInt", "Function", "Object", "Array", "Float64Array", "Map", "object", "Tensor"]);
  });
});
