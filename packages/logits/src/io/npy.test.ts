import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/npy.json" with { type: "json" };
import refusedFixture from "./fixtures/npy-refused.json" with { type: "json" };
import { readNpy } from "./npy.ts";

const file = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));
const numbers = (values: readonly (number | string)[]): number[] => values.map(Number);

/** A .npy file with a header of our own. */
function npy(header: string, data = 0, version = 1): Uint8Array {
  const head = Buffer.from(header, "latin1");
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, head.length & 255, (head.length >> 8) & 255]);
  return new Uint8Array(Buffer.concat([prefix, version === 1 ? Buffer.alloc(0) : Buffer.alloc(2), head, Buffer.alloc(data)]));
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

describe("readNpy", () => {
  it.each(fixture.cases.map((c) => [c.name, c] as const))("reads what numpy wrote: %s", (_, c) => {
    const got = readNpy(file(c.base64), "x.npy");
    expect(got.shape).toEqual(c.shape);
    expect(got.dtype).toBe(c.dtype);
    expectExact(Array.from(got.data, Number), numbers(c.values));
  });

  it("reads a view into a larger buffer at an odd offset, and shares no memory with it", () => {
    const bytes = file(fixture.cases.find((c) => c.name === "version 1.0")!.base64);
    const larger = Buffer.alloc(bytes.length + 3);
    larger.set(bytes, 3);
    const got = readNpy(larger.subarray(3), "x.npy");
    larger.fill(0);
    expectExact(Array.from(got.data, Number), [0.5, -1.5, 2, 3, 4.25, -100]);
  });

  it.each(refusedFixture.cases.map((c) => [c.name, c.base64] as const))("refuses elements of another kind: %s", (_, base64) => {
    expect(() => readNpy(file(base64), "x.npy")).toThrow(FormatError);
  });

  it.each([
    ["escape in text", "{'descr': '<f\\x34', 'fortran_order': False, 'shape': (1,), }"],
    ["nested quotes", `{'descr': "'<f4'", 'fortran_order': False, 'shape': (1,), }`],
    ["a dict in the dict", "{'descr': {'a': 1}, 'fortran_order': False, 'shape': (1,), }"],
    ["a call", "{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').system('x'),), }"],
    ["shape as list", "{'descr': '<f4', 'fortran_order': False, 'shape': [1], }"],
    ["a fourth key", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': True}"],
    ["a key twice", "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"],
    ["unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,"],
    ["unclosed quote", "{'descr: <f4"],
    ["text after it", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x"],
    ["no keys", "{}"],
    ["empty", ""],
    ["native order mark", "{'descr': '=f4', 'fortran_order': False, 'shape': (1,), }"],
    ["no byte order for several bytes", "{'descr': '|f4', 'fortran_order': False, 'shape': (1,), }"],
    ["33 axes", `{'descr': '<f4', 'fortran_order': False, 'shape': (${"1, ".repeat(33)}), }`],
    ["a product beyond 2^53 with no elements", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9007199254740991, 3), }"],
  ])("refuses a header with %s", (_, header) => {
    expect(() => readNpy(npy(header, 4), "x.npy")).toThrow(FormatError);
  });

  it("says what is wrong", () => {
    const header = (shape: string): string => `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`;
    expect(refusal(() => readNpy(new Uint8Array(0), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to be a .npy file, got an empty file"`);
    expect(refusal(() => readNpy(Uint8Array.from([80, 75, 3, 4, 0, 0]), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to start with \\x93NUMPY, got "PK\\u0003\\u0004\\u0000\\u0000". Write it with numpy.save"`);
    expect(refusal(() => readNpy(npy("").subarray(0, 9), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a header, got 9 bytes. The file is truncated"`);
    expect(refusal(() => readNpy(npy(header("(2, 3)"), 24).subarray(0, 40), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a header of 59 bytes, got 30. The file is truncated"`);
    expect(refusal(() => readNpy(npy(header("(2, 3)"), 20), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to hold 24 bytes of data for shape [2, 3] of float32, got 20. The file is truncated or its header is damaged"`);
    expect(refusal(() => readNpy(npy(header("(2, 3)"), 28), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to hold 24 bytes of data for shape [2, 3] of float32, got 28. Save one array per file"`);
    expect(refusal(() => readNpy(npy(header("(1152921504606846976,)")), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a shape of integers in [0, 2^53), got 1152921504606847000 at axis 0"`);
    expect(refusal(() => readNpy(npy(header("(1073741824, 1073741824)")), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have fewer than 2^53 elements, got shape [1073741824, 1073741824]. The header is damaged or hostile"`);
    expect(refusal(() => readNpy(npy(header("(1048576, 1048576)")), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to hold 4398046511104 bytes of data for shape [1048576, 1048576] of float32, got 0. The file is truncated or its header is damaged"`);
    expect(refusal(() => readNpy(npy(header("(-1, 3)")), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a shape of integers in [0, 2^53), got -1 at axis 0"`);
    expect(refusal(() => readNpy(npy("[1, 2]"), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a header with { at position 0, got "[1, 2]""`);
    expect(refusal(() => readNpy(npy("", 0, 4), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have format version 1.0, 2.0 or 3.0, got 4.0"`);
    expect(refusal(() => readNpy(file(refusedFixture.cases[0].base64), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to hold float, integer or bool elements, got dtype "|O". Convert with x.astype(numpy.float32) before saving"`);
    expect(refusal(() => readNpy(file(refusedFixture.cases.find((c) => c.name === "structured")!.base64), "logits.npy"))).toMatchInlineSnapshot(`"readNpy: expected \`logits.npy\` to have a header with a plain dtype, got a structured one. Save each field as an array of its own"`);
  });
});
