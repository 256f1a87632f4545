import { FormatError, Tensor, randomSource, tensorToJSON } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { fromArtefact, toArtefact } from "./artefact.ts";

const weights = new Tensor("float32", [2, 3], Float32Array.of(1.5, -0, 3e-45, 1e38, 0.1, -7));
const rows = new Tensor("int32", [4], Int32Array.of(1, -2, 2147483647, -2147483648));
const json = { format: "logits/some-head", version: 1, classes: ["$tensor", "ä \"b\"", "\u{1f642}"], none: tensorToJSON(new Tensor("float32", [0, 5], new Float32Array(0))), parts: [{ weights: tensorToJSON(weights), n: 3 }, { rows: tensorToJSON(rows), ok: true }] };
const bytes = toArtefact(json);

/** The header of a container, and a container with another one. */
const header = (from: Uint8Array): string => new TextDecoder().decode(from.subarray(8, 8 + from[0] + 256 * from[1]));
const withHeader = (text: string, payload: Uint8Array = bytes.subarray(bytes.length - 40)): Uint8Array => {
  const head = new TextEncoder().encode(text);
  return Uint8Array.from([head.length & 255, head.length >> 8, 0, 0, 0, 0, 0, 0, ...head, ...payload]);
};
const read = (from: Uint8Array): unknown => fromArtefact("Head.fromBytes", from);

describe("the container", () => {
  it("is safetensors: header length, JSON header padded to 8 bytes, tensors without holes", () => {
    const text = header(bytes);
    expect([(8 + new TextEncoder().encode(text).length) % 8, bytes.length]).toEqual([0, 8 + new TextEncoder().encode(text).length + 40]);
    const { __metadata__, ...tensors } = JSON.parse(text);
    expect(tensors).toEqual({
      none: { dtype: "F32", shape: [0, 5], data_offsets: [0, 0] },
      "parts.0.weights": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
      "parts.1.rows": { dtype: "I32", shape: [4], data_offsets: [24, 40] },
    });
    expect(Object.keys(__metadata__)).toEqual(["logits", "sha256"]);
    expect(JSON.parse(__metadata__.logits)).toEqual({ ...json, none: { $tensor: "none", dtype: "float32", shape: [0, 5] }, parts: [{ weights: { $tensor: "parts.0.weights", dtype: "float32", shape: [2, 3] }, n: 3 }, { rows: { $tensor: "parts.1.rows", dtype: "int32", shape: [4] }, ok: true }] });
    const view = new DataView(bytes.buffer, bytes.length - 40);
    expect([view.getFloat32(0, true), view.getInt32(28, true)]).toEqual([1.5, -2]);
  });

  it("comes back bit by bit, from any place in a buffer, and shares nothing with it", () => {
    const shifted = new Uint8Array(bytes.length + 5).subarray(3, 3 + bytes.length);
    shifted.set(bytes);
    const again = read(shifted) as typeof json;
    shifted.fill(0);
    expect(again).toEqual({ ...json, none: { dtype: "float32", shape: [0, 5], data: new Float32Array(0) }, parts: [{ weights: { dtype: "float32", shape: [2, 3], data: weights.data }, n: 3 }, { rows: { dtype: "int32", shape: [4], data: rows.data }, ok: true }] });
    expect(Object.is((again.parts[0].weights!.data as unknown as Float32Array)[1], -0)).toBe(true);
  });

  it("may be written anew with the tensors in another order", () => {
    const { none, "parts.0.weights": first, "parts.1.rows": second, __metadata__ } = JSON.parse(header(bytes));
    const payload = bytes.subarray(bytes.length - 40);
    const other = withHeader(JSON.stringify({ "parts.1.rows": { ...second, data_offsets: [0, 16] }, "parts.0.weights": { ...first, data_offsets: [16, 40] }, none, __metadata__: { format: "pt", ...__metadata__ } }), Uint8Array.from([...payload.subarray(24), ...payload.subarray(0, 24)]));
    expect(read(other)).toEqual(read(bytes));
  });

  it("survives 20,000 damages: the same value or a FormatError", () => {
    const random = randomSource(5), want = JSON.stringify(read(bytes));
    const tokens = ["0", "9", "-1", "1e999", "null", "[]", "{}", '"', "\\", ",", "F32", "I32", "[[[[", "__proto__", "$tensor", "parts.0.weights"].map((text) => new TextEncoder().encode(text));
    let refused = 0;
    for (let i = 0; i < 20000; i++) {
      let damaged = bytes.slice();
      for (let edits = 1 + random.integer(3); edits > 0; edits--) {
        const at = random.integer(random.uniform() < 0.2 ? 8 : damaged.length), kind = random.integer(4);
        if (kind === 0) damaged[at] ^= 1 << random.integer(8);
        else if (kind === 1) damaged[at] = random.integer(256);
        else if (kind === 2) damaged = damaged.slice(0, at + 8);
        else damaged.set(tokens[random.integer(tokens.length)].subarray(0, damaged.length - at), at);
        if (damaged.length < 2) break;
      }
      try {
        expect(JSON.stringify(read(damaged))).toBe(want);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(15000);
  });

  it("does not crash on deep nesting", () => {
    const deep = JSON.stringify({ __metadata__: { logits: `${"[".repeat(20000)}${"]".repeat(20000)}`, sha256: "" } });
    expect(() => read(withHeader(deep, new Uint8Array(0)))).toThrow(FormatError);
  });
});

it("says what is wrong", () => {
  const edited = (edit: (header: Record<string, never>) => void): (() => unknown) => {
    const object = JSON.parse(header(bytes));
    edit(object);
    return () => read(withHeader(JSON.stringify(object)));
  };
  const entry = "parts.0.weights";
  expect(() => read("text" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: Head.fromBytes: expected \`bytes\` a Uint8Array, got String]`);
  expect(() => read(bytes.subarray(0, 5))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` to start with a header length of 8 bytes, got 5 bytes]`);
  expect(() => read(bytes.subarray(0, 100))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` to hold the header of 664 bytes that it claims, got 92]`);
  expect(() => read(withHeader("{"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with a header of JSON, got something else]`);
  expect(() => read(withHeader("{}"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with \`logits\` and \`sha256\` in \`__metadata__\`, got another kind of file]`);
  expect(() => read(bytes.subarray(0, bytes.length - 1))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with 16 bytes for "parts.1.rows" inside the 39 that are there, got offsets [24, 40]]`);
  expect(() => read(Uint8Array.from([...bytes, 0]))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with 40 bytes of tensors, got 41]`);
  expect(() => read(bytes.with(bytes.length - 1, 1))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with the content of its digest (SHA-256), got damaged bytes]`);
  expect(edited((h) => Object.assign(h[entry], { dtype: "F64" }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with "parts.0.weights" of dtype F32 or I32, got "F64"]`);
  expect(edited((h) => Object.assign(h[entry], { shape: -1 }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with shape and offsets of "parts.0.weights", got something else]`);
  expect(edited((h) => Object.assign(h[entry], { shape: [2, 4] }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with 32 bytes for "parts.0.weights" inside the 40 that are there, got offsets [0, 24]]`);
  expect(edited((h) => Object.assign(h[entry], { shape: [3, 2] }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with "parts.0.weights" as its reference says, got F32 [3, 2]]`);
  expect(edited((h) => Object.assign(h[entry], { data_offsets: [8, 32] }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with tensors without holes or overlaps, got one at 8 instead of 0]`);
  expect(edited((h) => delete h.none)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with each tensor referred to once, got "none" absent or twice]`);
  expect(edited((h) => Object.assign(h, { more: { dtype: "F32", shape: [0], data_offsets: [0, 0] } }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with each tensor referred to once, got "more" without a reference]`);
  expect(edited((h) => Object.assign(h.__metadata__, { logits: "[" }))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Head.fromBytes: expected \`bytes\` with JSON in \`logits\`, got something else]`);
});
