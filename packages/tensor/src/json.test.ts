import { describe, expect, it } from "vitest";
import { Tensor, checkProbabilities, readJson, tensor, tensorToJSON } from "./index.ts";

const read = (json: unknown) => readJson("Thing.fromJSON", json, "logits/thing", 1, "@logits/thing");
const whole = tensorToJSON(new Tensor("int32", [2], Int32Array.of(-2, 2147483647)));
const good = { format: "logits/thing", version: 1, a: 2, flag: true, name: "x", list: ["p", "q"], floats: tensorToJSON(tensor(Float32Array.of(1, -0.5, 3e-45))), whole };

describe("readJson", () => {
  it("gives the fields of good JSON", () => {
    const fields = read(JSON.parse(JSON.stringify(good)));
    expect([fields.number("a"), fields.integer("a", 0, 2), fields.boolean("flag"), fields.string("name"), fields.oneOf("name", ["x", "y"]), fields.strings("list"), fields.value("a")]).toEqual([2, 2, true, "x", "x", ["p", "q"], 2]);
    expect(fields.tensor("floats", "float32", 1).data).toEqual(Float32Array.of(1, -0.5, 3e-45));
    expect(fields.tensor("whole", "int32", 1).data).toEqual(Int32Array.of(-2, 2147483647));
  });

  it("keeps long arrays bit by bit, also an empty one", () => {
    const values = Float32Array.from({ length: 20000 }, (_, i) => Math.fround(i / 7));
    const json = tensorToJSON(new Tensor("float32", [100, 200], values));
    expect(read({ ...good, floats: json }).tensor("floats", "float32", 2)).toEqual(new Tensor("float32", [100, 200], values));
    expect(read({ ...good, floats: { ...json, data: values } }).tensor("floats", "float32", 2).data).toEqual(values);
    expect(read({ ...good, floats: { dtype: "float32", shape: [0, 3], data: "" } }).tensor("floats", "float32", 2)).toEqual(new Tensor("float32", [0, 3], new Float32Array(0)));
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
    const floats = (value: unknown) => (): unknown => read({ ...good, floats: value }).tensor("floats", "float32", 1);
    expect(floats(3)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` a tensor of float32 and rank 1, got 3]`);
    expect(floats(whole)).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` a tensor of float32 and rank 1, got dtype "int32"]`);
    expect(floats({ ...good.floats, shape: [1, 3] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` a tensor of float32 and rank 1, got shape [1,3]]`);
    expect(floats({ ...good.floats, shape: [2] })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` 2 numbers of shape [2], got 3]`);
    expect(floats({ ...good.floats, data: "!!!!" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` base64 of little-endian float32 in \`data\`, got something else]`);
    expect(floats({ ...good.floats, data: "AAAA" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` base64 of little-endian float32 in \`data\`, got something else]`);
    expect(floats({ ...good.floats, data: Int32Array.of(1, 2, 3) })).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` base64 of little-endian float32 in \`data\`, got something else]`);
    expect(floats(tensorToJSON(tensor(Float32Array.of(1, NaN))))).toThrowErrorMatchingInlineSnapshot(`[FormatError: Thing.fromJSON: expected \`floats\` finite numbers, got NaN at index 1]`);
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
