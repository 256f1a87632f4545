import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { Wire, bytesField, concat, integerField, textField } from "./protobuf.ts";

/** A varint as protobuf's documentation defines it: seven bits a byte, the low ones first; negative numbers as 64 bits of two's complement. */
function varint(value: bigint): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}

const read = (bytes: readonly number[]): number => [...new Wire("test", Uint8Array.from([8, ...bytes])).fields(0, bytes.length + 1)][0].value;

describe("varints", () => {
  it("agree with the definition at every power of two, beside it, and for random numbers", () => {
    const random = testRandom(1);
    const values = Array.from({ length: 54 }, (_, i) => 2n ** BigInt(i)).flatMap((power) => [power - 1n, power, -power, 1n - power]).filter((value) => value <= 2n ** 53n && value >= -(2n ** 53n));
    for (let i = 0; i < 1000; i++) values.push(BigInt(Math.round((random.uniform() - 0.5) * 2 ** (1 + random.integer(54)))));
    for (const value of values) expectExact([read(varint(value))], [Number(value)]);
  });

  it("of more than 53 bits are near, of the extremes of int64 too, and need not be the shortest", () => {
    expect(read(varint(2n ** 63n - 1n))).toBe(2 ** 63);
    expect(read(varint(-(2n ** 63n)))).toBe(-(2 ** 63));
    expect(read([0x81, 0x80, 0x80, 0x00])).toBe(1);
  });

  it("are written as they are read", () => {
    for (const value of [0, 1, 127, 128, 16384, 2 ** 31 - 1, 2 ** 32, 2 ** 53 - 1]) {
      expectExact([...new Wire("test", integerField(3, value)).fields(0, integerField(3, value).length)].map((field) => field.value), [value]);
    }
  });
});

describe("fields", () => {
  it("say their number, wire type and place", () => {
    const bytes = Uint8Array.from([...textField(1, "ab"), ...integerField(300, 5), ...bytesField(2, Uint8Array.of(9)), 0x1d, 0, 0, 0x80, 0x3f, 0x21, 0, 0, 0, 0, 0, 0, 0, 0]);
    const wire = new Wire("test", bytes);
    const fields = [...wire.fields(0, bytes.length)];
    expect(fields.map(({ number, wire: kind, from, start, end }) => [number, kind, from, start, end])).toEqual([[1, 2, 0, 2, 4], [300, 0, 4, 6, 7], [2, 2, 7, 9, 10], [3, 5, 10, 11, 15], [4, 1, 15, 16, 24]]);
    expect([wire.text(fields[0]), wire.integer(fields[1]), wire.float(fields[3])]).toEqual(["ab", 5, 1]);
  });

  it("packed integers and single ones are the same to a reader", () => {
    const bytes = bytesField(1, Uint8Array.from([3, ...varint(-1n), ...varint(300n)]));
    const wire = new Wire("test", bytes);
    expect(wire.integers([...wire.fields(0, bytes.length)], 3)).toEqual([3, -1, 300]);
    const single = concat([3, 300].map((value) => integerField(1, value)));
    expect(new Wire("test", single).integers([...new Wire("test", single).fields(0, single.length)], 2)).toEqual([3, 300]);
  });
});

it("messages", () => {
  const all = (...bytes: number[]) => () => [...new Wire("f", Uint8Array.from(bytes)).fields(0, bytes.length)];
  const as = (use: (wire: Wire, field: ReturnType<typeof first>) => unknown, ...bytes: number[]) => () => {
    const wire = new Wire("f", Uint8Array.from(bytes));
    return use(wire, first(wire, bytes.length));
  };
  const first = (wire: Wire, length: number) => [...wire.fields(0, length)][0];
  expect(all(0x08)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got the end in the middle of a number at byte 1. The file is truncated or damaged: load it again]`);
  expect(all(0x08, ...new Array<number>(11).fill(0x80))).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got a number of more than ten bytes at byte 1]`);
  expect(all(0x0a, 5, 1)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got a field of 5 bytes at byte 2, where 1 are left. The file is truncated or damaged: load it again]`);
  expect(all(0x0a, ...varint(-1n))).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got a field of -1 bytes at byte 11, where 0 are left. The file is truncated or damaged: load it again]`);
  expect(all(0x0d, 1)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got a number of 4 bytes at byte 1, where 1 are left. The file is truncated or damaged: load it again]`);
  expect(all(0x0b)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 3 at byte 0]`);
  const six = new Uint8Array(12).fill(0x0a).map((byte, i) => (i % 2 === 0 ? byte : 0));
  expect([...new Wire("f", six, 6).fields(0, 12)]).toHaveLength(6);
  expect(() => [...new Wire("f", six, 5).fields(0, 12)]).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got more fields than a model has, at byte 10. The file is damaged]`);
  expect(as((wire, field) => wire.integers([field], 2), 0x0a, 3, 1, 2, 3)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got more than 2 integers of field 1 at byte 2]`);
  expect(all(0x00)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got field number 0 at byte 0]`);
  expect(as((wire, field) => wire.text(field), 0x08, 1)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 0 for the text of field 1 at byte 1]`);
  expect(as((wire, field) => wire.text(field), 0x0a, 1, 0xff)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got text that is not UTF-8 at byte 2]`);
  expect(as((wire, field) => wire.inside(field), 0x08, 1)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 0 for the message of field 1 at byte 1]`);
  expect(as((wire, field) => wire.integer(field), 0x0a, 0)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 2 for the integer of field 1 at byte 2]`);
  expect(as((wire, field) => wire.float(field), 0x08, 1)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 0 for the float of field 1 at byte 1]`);
  expect(as((wire, field) => wire.integers([field], 9), 0x0d, 0, 0, 0, 0)).toThrowErrorMatchingInlineSnapshot(`[FormatError: f: expected \`bytes\` to be an ONNX model, got wire type 5 for the integers of field 1 at byte 1]`);
});
