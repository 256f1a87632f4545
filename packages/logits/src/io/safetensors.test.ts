import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/safetensors.json" with { type: "json" };
import { readSafetensors } from "./safetensors.ts";

const file = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));

function made(header: unknown, data = 0, claimed?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, Buffer.alloc(data)]));
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

describe("readSafetensors", () => {
  it.each(fixture.cases.map((c) => [c.name, c] as const))("reads what the reference library wrote: %s", (_, c) => {
    const got = readSafetensors(file(c.base64), "x.safetensors", c.key);
    expect(got.shape).toEqual(c.shape);
    expect(got.dtype).toBe(c.dtype);
    expectExact(Array.from(got.data, Number), c.values.map(Number));
  });

  it("needs no key where there is one tensor", () => {
    expect(readSafetensors(file(fixture.cases[0].base64), "x.safetensors").shape).toEqual([2, 3]);
  });

  it("says what is wrong", () => {
    const x = (shape: unknown, offsets: unknown, dtype = "F32"): unknown => ({ x: { dtype, shape, data_offsets: offsets } });
    expect(refusal(() => readSafetensors(new Uint8Array(0), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to start with a header length of 8 bytes, got an empty file"`);
    expect(refusal(() => readSafetensors(made({}, 0, 2n ** 60n), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to hold the header of 1152921504606847000 bytes that it claims, got 2. The file is truncated, damaged or of another format"`);
    expect(refusal(() => readSafetensors(made("{'x'}"), "m.safetensors")).replace(/\(.*\)/, "(engine's words)")).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to have a JSON header, got damaged JSON (engine's words)"`);
    expect(refusal(() => readSafetensors(made([1]), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to have a JSON object as its header, got [1]"`);
    expect(refusal(() => readSafetensors(made({}), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to hold a tensor, got none"`);
    expect(refusal(() => readSafetensors(made(x([2 ** 30, 2 ** 30], [0, 4]), 4), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have fewer than 2^53 elements, got shape [1073741824, 1073741824]. The header is damaged or hostile"`);
    expect(refusal(() => readSafetensors(made(x([1], [0, 8]), 8), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have data_offsets of 4 bytes inside the 8 that are there, got [0, 8]. The file is truncated or damaged"`);
    expect(refusal(() => readSafetensors(made(x([2], [0, 8]), 4), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have data_offsets of 8 bytes inside the 4 that are there, got [0, 8]. The file is truncated or damaged"`);
    expect(refusal(() => readSafetensors(made(x([-1], [0, -4]), 4), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have a shape of integers in [0, 2^53), got -1 at axis 0"`);
    expect(refusal(() => readSafetensors(made(x([1], [4, 8]), 8), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to have tensors without holes or overlaps, got "x" at 4 instead of 0. The file is damaged"`);
    expect(refusal(() => readSafetensors(made(x([1], [0, 4]), 8), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to hold 4 bytes of data, got 8. The file is damaged"`);
    expect(refusal(() => readSafetensors(made(x([1], [0, 1], "F8_E4M3"), 1), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have a dtype of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL, got "F8_E4M3". Convert with tensor.float() before saving"`);
    expect(refusal(() => readSafetensors(made({ x: null }), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors:x\` to have a dtype of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL, got "undefined". Convert with tensor.float() before saving"`);
    expect(refusal(() => readSafetensors(file(fixture.cases.at(-1)!.base64), "m.safetensors"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` with a key, as FILE.safetensors:KEY, got none. Keys: labels, empty, logits"`);
    expect(refusal(() => readSafetensors(file(fixture.cases.at(-1)!.base64), "m.safetensors", "label"))).toMatchInlineSnapshot(`"readSafetensors: expected \`m.safetensors\` to hold "label", got keys labels, empty, logits"`);
  });
});
