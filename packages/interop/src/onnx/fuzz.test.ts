import { FormatError } from "@logits/tensor";
import { ONNX_HEADS, onnxExternalFiles, onnxHeadModel, onnxModel, testRandom } from "@logits/testkit";
import { expect, it } from "vitest";
import { HEAD_KEY, detach, findLinearHead, readLinearHead, readMetadata, tap } from "./index.ts";
import { bytesField, concat, textField } from "./protobuf.ts";

const COUNT = process.env.LOGITS_SLOW ? 400_000 : 20_000;

it(`${COUNT} damaged files are read or refused with an error of this library, none of them hangs`, () => {
  const random = testRandom(11);
  const files = ONNX_HEADS.map((kind) => {
    const { model } = onnxHeadModel(kind, { features: 16, classes: 2 });
    return { kind, bytes: onnxModel({ ...model, metadata: { [HEAD_KEY]: "{}", author: "nobody" } }), files: onnxExternalFiles(model) };
  });
  const outcomes = { read: 0, refused: 0 };
  for (let n = 0; n < COUNT; n++) {
    const file = files[n % files.length];
    let bytes = file.bytes.slice();
    // Structure is at the front of most messages; weights are most of the bytes, and damage there is no damage to a reader.
    for (let edits = 1 + random.integer(4); edits > 0; edits--) {
      const at = random.integer(bytes.length);
      const kind = random.integer(5);
      if (kind === 0) bytes[at] ^= 1 << random.integer(8);
      else if (kind === 1) bytes[at] = [0, 1, 127, 128, 255][random.integer(5)];
      else if (kind === 2) bytes = bytes.slice(0, at + 1);
      else if (kind === 3) bytes = new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(8))]));
      else bytes = new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.integer(bytes.length)).subarray(0, 12), bytes.subarray(at)]));
    }
    for (const run of [
      () => {
        const { weights, bias, features, classes } = readLinearHead(bytes, { files: file.files });
        expect([weights.size, bias.size]).toEqual([features * classes, classes]);
      },
      () => expect(Buffer.compare(tap(bytes).bytes.subarray(0, bytes.length), bytes)).toBe(0),
      () => readMetadata(bytes),
      () => expect(readMetadata(detach(bytes)).has(HEAD_KEY)).toBe(false),
    ]) {
      try {
        run();
        outcomes.read++;
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof RangeError) || error.message.startsWith("Invalid")) throw new Error(`${file.kind}, mutation ${n}: ${(error as Error).stack}`, { cause: error });
        outcomes.refused++;
      }
    }
  }
  // Both happen, or the mutations are too mild or too wild.
  expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(COUNT / 4);
}, COUNT * 5);

it("a table of many integers beside the head is none of its business", () => {
  const plain = onnxModel(onnxHeadModel("gemm", { features: 4, classes: 3 }).model);
  const table = bytesField(5, textField(1, "value_ints"), bytesField(8, new Uint8Array(200_000)));
  expect(findLinearHead(concat([plain, bytesField(7, bytesField(1, textField(2, "table"), textField(4, "Constant"), table))])).classes).toBe(3);
});

it("lists that no model has are refused before they are made", () => {
  const plain = onnxModel(onnxHeadModel("gemm", { features: 4, classes: 3 }).model);
  const graph = (...parts: Uint8Array[]) => () => findLinearHead(concat([plain, bytesField(7, ...parts)]));
  expect(graph(bytesField(5, textField(8, "many"), bytesField(1, new Uint8Array(65))))).toThrowErrorMatchingInlineSnapshot(`[FormatError: findLinearHead: expected \`bytes\` to be an ONNX model, got more than 64 integers of field 1 at byte 541]`);
  expect(graph(bytesField(1), bytesField(1))).toThrowErrorMatchingInlineSnapshot(`[FormatError: findLinearHead: expected \`bytes\` to be an ONNX model, got a node without an operator at byte 531]`);
});
