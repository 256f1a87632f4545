import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import npy from "./fixtures/npy.json" with { type: "json" };
import { parseFileReference, readTensor, toLabels, toMatrix } from "./readTensor.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const float32 = Uint8Array.from(Buffer.from(npy.cases.find((c) => c.name === "float32, little endian")!.base64, "base64"));

async function refusal(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

describe("parseFileReference", () => {
  it.each([
    ["outputs.npz:logits", "outputs.npz", "logits"],
    ["a/b.NPZ:layer:0", "a/b.NPZ", "layer:0"],
    ["a.npz:b.npy:c", "a.npz", "b.npy:c"],
    ["C:\\data\\logits.npy", "C:\\data\\logits.npy", undefined],
    ["logits.npz", "logits.npz", undefined],
    ["logits.npz:", "logits.npz:", undefined],
    ["odd:name", "odd:name", undefined],
  ])("splits %s", (text, path, key) => {
    expect(parseFileReference(text)).toEqual({ path, key });
  });
});

describe("readTensor", () => {
  it("chooses the reader by extension, and by signature where there is none", async () => {
    expect((await readTensor(float32, "x.npy")).shape).toEqual([2, 3]);
    expect((await readTensor(float32, "/dev/stdin")).shape).toEqual([2, 3]);
    expect((await readTensor(bytes("1,2\n"), "x.CSV")).shape).toEqual([1, 2]);
    expect((await readTensor(bytes("[[1]]"), "x.json")).shape).toEqual([1, 1]);
    expect((await readTensor(bytes("[1]\n[2]"), "x.jsonl")).shape).toEqual([2, 1]);
  });

  it("says what is wrong", async () => {
    expect(await refusal(() => readTensor(float32, "x.npz"))).toMatchInlineSnapshot(`"readTensor: expected \`x.npz\` to be .npz, as its name says, got the signature of .npy. Rename it"`);
    expect(await refusal(() => readTensor(float32, "x.npy", "logits"))).toMatchInlineSnapshot(`"readTensor: expected \`x.npy\` without a key, because .npy holds one array, got "logits""`);
    expect(await refusal(() => readTensor(bytes("1"), "x.pt"))).toMatchInlineSnapshot(`"readTensor: expected \`x.pt\` to end with one of .npy .npz .csv .tsv .txt .json .ndjson .jsonl .safetensors .parquet, got ".pt""`);
    expect(await refusal(() => readTensor(bytes("1"), "x"))).toMatchInlineSnapshot(`"readTensor: expected \`x\` to end with one of .npy .npz .csv .tsv .txt .json .ndjson .jsonl .safetensors .parquet, got no extension"`);
    expect(await refusal(() => readTensor(new Uint8Array(0), "constructor.constructor"))).toMatchInlineSnapshot(`"readTensor: expected \`constructor.constructor\` to end with one of .npy .npz .csv .tsv .txt .json .ndjson .jsonl .safetensors .parquet, got ".constructor""`);
  });
});

describe("toMatrix", () => {
  it("gives float32 [N, C] and keeps NaN", () => {
    const got = toMatrix({ data: Float64Array.of(1, NaN, -Infinity, 4), shape: [2, 2], dtype: "float64" }, "x.npy");
    expect(got.toString()).toBe("Tensor float32 [2, 2] 1, NaN, -Infinity, 4");
  });

  it("says what is wrong", async () => {
    expect(await refusal(() => toMatrix({ data: Float64Array.of(1, 2), shape: [2], dtype: "float64" }, "x.npy"))).toMatchInlineSnapshot(`"toMatrix: expected \`x.npy\` of shape [N, C] with N and C at least 1, got [2]"`);
    expect(await refusal(() => toMatrix({ data: new Float64Array(0), shape: [0, 3], dtype: "float64" }, "x.npy"))).toMatchInlineSnapshot(`"toMatrix: expected \`x.npy\` of shape [N, C] with N and C at least 1, got [0, 3]"`);
    expect(await refusal(() => toMatrix({ data: Float64Array.of(1e39), shape: [1, 1], dtype: "float64" }, "x.npy"))).toMatchInlineSnapshot(`"toMatrix: expected \`x.npy\` to hold numbers of the right range, got 1e+39 at index 0"`);
  });
});

describe("toLabels", () => {
  it.each([
    ["int64 [N]", { data: BigInt64Array.of(1n, 0n), shape: [2], dtype: "int64" }],
    ["int64 [N, 1]", { data: BigInt64Array.of(1n, 0n), shape: [2, 1], dtype: "int64" }],
    ["uint8", { data: Uint8Array.of(1, 0), shape: [2], dtype: "uint8" }],
    ["floats that are integers", { data: Float32Array.of(1, 0), shape: [1, 2], dtype: "float32" }],
    ["int32", { data: Int32Array.of(1, 0), shape: [2], dtype: "int32" }],
  ])("reads %s", (_, array) => {
    expect(toLabels(array, "y.npy").toString()).toBe("Tensor int32 [2] 1, 0");
  });

  it("says what is wrong", async () => {
    expect(await refusal(() => toLabels({ data: Float64Array.of(0, NaN), shape: [2], dtype: "float64" }, "y.npy"))).toMatchInlineSnapshot(`"toLabels: expected \`y.npy\` to hold integers that int32 holds, got NaN at index 1"`);
    expect(await refusal(() => toLabels({ data: Float32Array.of(0, 1.5), shape: [2], dtype: "float32" }, "y.npy"))).toMatchInlineSnapshot(`"toLabels: expected \`y.npy\` to hold integers that int32 holds, got 1.5 at index 1"`);
    expect(await refusal(() => toLabels({ data: BigInt64Array.of(0n, 2n ** 40n), shape: [2], dtype: "int64" }, "y.npy"))).toMatchInlineSnapshot(`"toLabels: expected \`y.npy\` to hold numbers of the right range, got 1099511627776 at index 1"`);
    expect(await refusal(() => toLabels({ data: new Int32Array(6), shape: [2, 3], dtype: "int32" }, "y.npy"))).toMatchInlineSnapshot(`"toLabels: expected \`y.npy\` of shape [N] with N at least 1, got [2, 3]. One integer per row, not one-hot rows"`);
    expect(await refusal(() => toLabels({ data: new Int32Array(0), shape: [0], dtype: "int32" }, "y.npy"))).toMatchInlineSnapshot(`"toLabels: expected \`y.npy\` of shape [N] with N at least 1, got [0]"`);
  });
});
