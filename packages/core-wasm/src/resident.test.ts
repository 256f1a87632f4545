import { DisposedError, Tensor } from "@logits/tensor";
import { expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { core, ResidentTensor, softmax } from "./index.ts";

describe("a resident tensor", () => {
  it("is a tensor of zeros, of any dtype", () => {
    for (const dtype of ["float32", "int32", "uint8"] as const) {
      const dirty = core.alloc([100], dtype);
      dirty.data.fill(7);
      dirty.dispose();
      const x = core.alloc([2, 3], dtype);
      expect(x).toBeInstanceOf(Tensor);
      expect(x).toBeInstanceOf(ResidentTensor);
      expect([x.dtype, x.type, x.shape, x.dims, x.size]).toEqual([dtype, dtype, [2, 3], [2, 3], 6]);
      expectExact(x.data.slice(), new Float32Array(6));
      x.data.set([1, 2, 3, 4, 5, 6]);
      expect(x.at(1, 2)).toBe(6);
      expect(x.toArray()).toEqual([[1, 2, 3], [4, 5, 6]]);
      expect(x.toString()).toBe(`Tensor ${dtype} [2, 3] 1, 2, 3, 4, 5, 6`);
      expect(x.pointer % 64).toBe(0);
      expect(x.owner.version).toBe(core.version);
      x.dispose();
    }
    const scalar = core.alloc([]);
    expect(scalar.item()).toBe(0);
    scalar.dispose();
    const empty = core.alloc([0, 3]);
    expect(empty.data.length).toBe(0);
    empty.dispose();
  });

  it("shares memory with its rows, and ends with them", () => {
    const x = core.alloc([2, 3]);
    x.data.set([1, 2, 3, 4, 5, 6]);
    const row = x.row(1) as ResidentTensor<"float32">;
    expect(row.pointer).toBe(x.pointer + 12);
    expectExact(row.data.slice(), [4, 5, 6]);
    expectExact(softmax(row), softmax([4, 5, 6])); // not on a 16-byte boundary: the result is the same
    row.dispose(); // not the owner
    row.data[0] = 9;
    expect(x.at(1, 0)).toBe(9);
    x.dispose();
    expect(() => row.data).toThrow(DisposedError);
  });

  it("gives its memory back once", () => {
    const used = core.bytesInUse;
    const x = core.alloc([1000]);
    expect(core.bytesInUse).toBe(used + 4032);
    x.dispose();
    x.dispose();
    expect(core.bytesInUse).toBe(used);
  });

  it("is disposed by Symbol.dispose where the engine has it", () => {
    const { dispose } = Symbol as { dispose?: symbol };
    expect(dispose).toBeDefined(); // Node 24 has it
    const used = core.bytesInUse;
    const x = core.alloc([10]);
    (x as unknown as Record<symbol, () => void>)[dispose!]();
    expect(core.bytesInUse).toBe(used);
  });
});

it("messages", () => {
  const gone = core.alloc([2, 2]);
  gone.dispose();
  expect(() => gone.data).toThrowErrorMatchingInlineSnapshot(`[DisposedError: ResidentTensor: expected a live tensor, got one after dispose()]`);
  expect(() => softmax(gone)).toThrowErrorMatchingInlineSnapshot(`[DisposedError: ResidentTensor: expected a live tensor, got one after dispose()]`);
  expect(() => softmax([[1, 2], [3, 4]], { out: gone })).toThrowErrorMatchingInlineSnapshot(`[DisposedError: ResidentTensor: expected a live tensor, got one after dispose()]`);
  const x = core.alloc([2, 2]);
  expect(() => x.row(2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: Tensor.row: expected \`i\` a row of shape [2, 2], got 2]`);
  x.dispose();
  expect(() => core.alloc([1.5])).toThrowErrorMatchingInlineSnapshot(`[RangeError: core.alloc: expected \`shape\` of integers from 0 up, got 1.5 at axis 0]`);
  expect(() => core.alloc([2, -1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: core.alloc: expected \`shape\` of integers from 0 up, got -1 at axis 1]`);
  expect(() => core.alloc([2], "float64" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: core.alloc: expected \`dtype\` float32, int32 or uint8, got float64]`);
  expect(() => core.alloc([2 ** 20, 2 ** 20])).toThrowErrorMatchingInlineSnapshot(`[RangeError: core.alloc: expected \`shape\` of less than 4 GiB, got [1048576, 1048576]]`);
});
