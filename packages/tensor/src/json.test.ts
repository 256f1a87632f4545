import { describe, expect, it } from "vitest";
import { checkProbabilities, readJson, tensor, toBase64 } from "./index.ts";

const read = (json: unknown) => readJson("Thing.fromJSON", json, "logits/thing", 1, "@logits/thing");
const good = { format: "logits/thing", version: 1, a: 2, flag: true, name: "x", list: ["p", "q"], bytes: toBase64(Float32Array.of(1, -0.5, 3e-45)) };

describe("readJson", () => {
  it("gives the fields of good JSON", () => {
    const fields = read(JSON.parse(JSON.stringify(good)));
    expect([fields.number("a"), fields.integer("a", 0, 2), fields.boolean("flag"), fields.string("name"), fields.oneOf("name", ["x", "y"]), fields.strings("list"), fields.value("a")]).toEqual([2, 2, true, "x", "x", ["p", "q"], 2]);
    expect(fields.floats("bytes")).toEqual(Float32Array.of(1, -0.5, 3e-45));
  });

  it("keeps long arrays bit by bit, also an empty one", () => {
    const values = Float32Array.from({ length: 20000 }, (_, i) => Math.fround(i / 7));
    expect(read({ ...good, bytes: toBase64(values) }).floats("bytes")).toEqual(values);
    expect(read({ ...good, bytes: "" }).floats("bytes")).toEqual(new Float32Array(0));
  });

  it("says what is wrong", () => {
    expect(() => read("{}")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`json\` an object, got "{}". Pass JSON.parse(text)]`);
    expect(() => read(null)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`json\` an object, got null]`);
    expect(() => read([])).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`json\` an object, got Array]`);
    expect(() => read({})).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`format\` a string, got nothing: the field is missing]`);
    expect(() => read({ ...good, format: "logits/other" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`format\` "logits/thing", got "logits/other"]`);
    expect(() => read({ ...good, version: 3 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`version\` 1, got 3. Upgrade @logits/thing to read it]`);
    expect(() => read({ ...good, version: "1" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`version\` 1, got "1"]`);
    expect(() => read(good).number("b")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`b\` a finite number, got nothing: the field is missing]`);
    expect(() => read({ ...good, a: null }).number("a")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` a finite number, got null]`);
    expect(() => read({ ...good, a: Infinity }).number("a", 0, 10)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` a finite number in [0, 10], got Infinity]`);
    expect(() => read(good).integer("a", 3, 9)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` an integer in [3, 9], got 2]`);
    expect(() => read(good).boolean("a")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` true or false, got 2]`);
    expect(() => read(good).string("a")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` a string, got 2]`);
    expect(() => read(good).oneOf("name", ["y", "z"])).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`name\` "y" or "z", got "x"]`);
    expect(() => read(good).strings("a")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` a list of strings, got 2]`);
    expect(() => read({ ...good, list: ["p", 1] }).strings("list")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`list\` a list of strings, got 1 at index 1]`);
    expect(() => read({ ...good, bytes: "!!!!" }).floats("bytes")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`bytes\` base64 of little-endian float32, got text that is not]`);
    expect(() => read({ ...good, bytes: "AAAA" }).floats("bytes")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`bytes\` base64 of little-endian float32, got text that is not]`);
    expect(() => read({ ...good, bytes: toBase64(Float32Array.of(1, NaN)) }).floats("bytes")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`bytes\` base64 of finite float32, got NaN at index 1]`);
    expect(() => read({ ...good, a: null }).value("a")).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`a\` a value, got null]`);
    expect(() => read({ ...good, name: "x".repeat(50) }).oneOf("name", ["y"])).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`name\` "y", got text of 50 characters]`);
  });
});

describe("checkProbabilities", () => {
  it("accepts rounded rows and names the row that is none", () => {
    checkProbabilities("f", "p", tensor([[0.3333, 0.3333, 0.3333], [1, 0, 0]]), 3);
    checkProbabilities("f", "p", tensor([[1.000001, 0]]), 2);
    expect(() => checkProbabilities("f", "p", tensor([[0.5, 0.5], [2, -1]]), 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`p\` with probabilities in [0, 1], got 2 in row 1, column 0. For logits apply softmax first]`);
    expect(() => checkProbabilities("f", "p", tensor([[0.5, NaN]]), 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`p\` with probabilities in [0, 1], got NaN in row 0, column 1. For logits apply softmax first]`);
    expect(() => checkProbabilities("f", "p", tensor([[0.5, 0.5], [0.5, 0.25]]), 2)).toThrowErrorMatchingInlineSnapshot(`[RangeError: f: expected \`p\` with rows that sum to 1, got a sum of 0.75 in row 1. For logits apply softmax first]`);
  });
});
