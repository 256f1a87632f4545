import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { readJson } from "./json.ts";
import { readNdjson } from "./ndjson.ts";

const json = (text: string, key?: string): ReturnType<typeof readJson> => readJson(new TextEncoder().encode(text), "m.json", key);
const lines = (text: string, key?: string): ReturnType<typeof readNdjson> => readNdjson(new TextEncoder().encode(text), "m.ndjson", key);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

describe("readJson", () => {
  it("reads nested arrays, tensors and keys", () => {
    expect(json("[[1,2],[3,4.5]]")).toEqual({ shape: [2, 2], dtype: "float64", data: Float64Array.of(1, 2, 3, 4.5) });
    expect(json('{"data":[1,2,3,4],"dims":[2,2],"type":"float32"}')).toEqual({ shape: [2, 2], dtype: "int32", data: Int32Array.of(1, 2, 3, 4) });
    expect(json('{"logits":[[1.5]],"labels":[0]}', "logits").shape).toEqual([1, 1]);
    expect(json('{"labels":[0,1]}').shape).toEqual([2]);
    expect(json("[]").shape).toEqual([0]);
    expectExact(Array.from(json('["NaN","-Infinity",-0]').data, Number), [NaN, -Infinity, -0]);
  });

  it("says what is wrong", () => {
    expect(refusal(() => json(""))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold numbers, got an empty file"`);
    expect(refusal(() => json("[1,2")).replace(/\(.*\)/, "(engine's words)")).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to be JSON, got damaged JSON (engine's words)"`);
    expect(refusal(() => json("3"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to be an array of numbers, got number"`);
    expect(refusal(() => json("null"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to be an array of numbers, got null"`);
    expect(refusal(() => json('{"a":[1],"b":[2]}'))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` with a key, as FILE.json:KEY, got none. Keys: a, b"`);
    expect(refusal(() => json('{"a":[1],"b":[2]}', "c"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold "c", got keys a, b"`);
    expect(refusal(() => json("[1]", "c"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to be an object with "c", got an array"`);
    expect(refusal(() => json("[[1,2],[3]]"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have rows of equal length (shape [2, 2]), got 3 numbers"`);
    expect(refusal(() => json("[[1],[2,3],[]]"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have rows of 1 numbers, got 2 in row 1"`);
    expect(refusal(() => json("[[1,2],[3,null]]"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold only numbers, got null at [1, 1]. JSON has no NaN: write "NaN""`);
    expect(refusal(() => json('[1,"two"]'))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold only numbers, got "two" at [1]"`);
    expect(refusal(() => json("[1,{}]"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold only numbers, got object at [1]"`);
    expect(refusal(() => json(`${"[".repeat(5000)}1${"]".repeat(5000)}`))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have at most 8 axes, got more"`);
    expect(refusal(() => json('{"data":[1,2],"shape":[1152921504606846976]}'))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have a shape of integers in [0, 2^53), got 1152921504606847000 at axis 0"`);
    expect(refusal(() => json('{"data":[1,2],"shape":[1048576,1048576]}'))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have flat data of 1099511627776 numbers for shape [1048576, 1048576], got shape [2]"`);
    expect(refusal(() => json('{"data":[1,2],"shape":"2"}'))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to have a shape of integers, got string"`);
    expect(refusal(() => json('{"__proto__":[1],"b":[1]}', "toString"))).toMatchInlineSnapshot(`"readJson: expected \`m.json\` to hold "toString", got keys __proto__, b"`);
  });
});

describe("readNdjson", () => {
  it("reads rows, numbers and keys", () => {
    expect(lines("[1,2]\n[3,4.5]\n\n")).toEqual({ shape: [2, 2], dtype: "float64", data: Float64Array.of(1, 2, 3, 4.5) });
    expect(lines("1\n0\r\n2")).toEqual({ shape: [3], dtype: "int32", data: Int32Array.of(1, 0, 2) });
    expect(lines('{"logits":[1,2],"id":"a"}\n{"logits":[3,4],"id":"b"}', "logits").shape).toEqual([2, 2]);
  });

  it("says what is wrong, with the line", () => {
    expect(refusal(() => lines("\n"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson\` to hold numbers, got blank lines"`);
    expect(refusal(() => lines("[1]\n[2")).replace(/\(.*\)/, "(engine's words)")).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 2\` to be JSON, got damaged JSON (engine's words)"`);
    expect(refusal(() => lines("[1,2]\n[3]"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 2\` to hold 2 numbers, as the first line does, got 1"`);
    expect(refusal(() => lines("[1]\n3"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 2\` to hold 1 numbers, as the first line does, got one number"`);
    expect(refusal(() => lines("1\n[3]"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 2\` to hold one number, as the first line does, got 1"`);
    expect(refusal(() => lines("[[1]]"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 1\` to hold a number or one row of numbers, got shape [1, 1]"`);
    expect(refusal(() => lines("1\nnull"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 2\` to be an array of numbers, got null"`);
    expect(refusal(() => lines("[1,null]"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 1\` to hold only numbers, got null at [1]. JSON has no NaN: write "NaN""`);
    expect(refusal(() => lines('{"a":1}'))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 1\` with a key, as FILE.ndjson:KEY, got none. Keys: a"`);
    expect(refusal(() => lines('{"a":1}', "b"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 1\` to hold "b", got keys a"`);
    expect(refusal(() => lines("[1]", "b"))).toMatchInlineSnapshot(`"readNdjson: expected \`m.ndjson line 1\` to be an object with "b", got an array"`);
  });
});
