import { DecisionHead } from "@logits/head";
import { onnxHeadModel, onnxModel, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { HEAD_KEY, attach, detach, findLinearHead, readHead, readMetadata, tap } from "./index.ts";

const random = testRandom(3);
const labels = Int32Array.from({ length: 80 }, () => random.integer(3));
const logits = { shape: [80, 3], data: Float32Array.from({ length: 240 }, (_, i) => random.normal() + (labels[Math.floor(i / 3)] === i % 3 ? 2 : 0)) };
const head = DecisionHead.fit({ logits, labels, classes: ["cat", "dog", "größer"] }, { seed: 1 });
const other = DecisionHead.fit({ logits, labels, classes: ["a", "b", "c"] }, { seed: 2 });
const spec = onnxHeadModel("gemm", { features: 4, classes: 3 }).model;
const plain = onnxModel(spec);

describe("attach, readHead, detach", () => {
  it("appends exactly the metadata entry that a writer of ONNX would put there", () => {
    expect(attach(plain, head)).toEqual(onnxModel({ ...spec, metadata: { [HEAD_KEY]: JSON.stringify(head) } }));
  });

  it("gives back the head, from the object, its JSON and its bytes", () => {
    for (const form of [head, head.toJSON(), JSON.parse(JSON.stringify(head)) as object, head.toBytes()]) {
      const read = readHead(attach(plain, form));
      expect(JSON.stringify(read)).toBe(JSON.stringify(head));
      expect(read.decide([4, 1, 0])).toEqual(head.decide([4, 1, 0]));
    }
  });

  it("attaching twice replaces: the key stays unique, and detach gives the bytes that came in", () => {
    const described = onnxModel({ ...spec, metadata: { author: "nobody" } });
    const twice = attach(attach(described, head), other);
    expect(twice).toEqual(attach(described, other));
    expect(readHead(twice).classes).toEqual(["a", "b", "c"]);
    expect([...readMetadata(twice).keys()]).toEqual(["author", HEAD_KEY]);
    expect(detach(twice)).toEqual(described);
    expect(detach(plain)).toEqual(plain);
    expect(detach(plain)).not.toBe(plain);
  });

  it("of several heads that others left in the file the last one counts, and detach takes out all", () => {
    const [first, second] = [head, other].map((each) => attach(plain, each).subarray(plain.length));
    const both = new Uint8Array([...plain, ...first, ...second]);
    expect(readHead(both).classes).toEqual(["a", "b", "c"]);
    expect(detach(both)).toEqual(plain);
  });

  it("goes with a tap, in any order", () => {
    const one = attach(tap(plain).bytes, head);
    const two = tap(attach(plain, head)).bytes;
    for (const bytes of [one, two]) {
      expect(readHead(bytes).classes).toEqual(head.classes);
      expect(tap(bytes)).toMatchObject({ name: "feat", status: "output" });
      expect(findLinearHead(bytes).tensor).toBe("feat");
      expect(detach(bytes)).toEqual(tap(plain).bytes);
    }
  });

  it("leaves its arguments as they are", () => {
    const copy = plain.slice();
    attach(plain, head);
    expect(plain).toEqual(copy);
  });
});

describe("messages", () => {
  it("each in its words", () => {
    const damaged = (text: string): Uint8Array => onnxModel({ ...spec, metadata: { [HEAD_KEY]: text } });
    expect(() => readHead(plain)).toThrowErrorMatchingInlineSnapshot(`[FormatError: readHead: expected \`bytes\` to be an ONNX model with a decision head (metadata logits.head), got one without. attach(bytes, head) puts one in]`);
    expect(() => readHead(damaged("{"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: readHead: expected \`logits.head\` to be JSON or base64, got damaged text. The file was changed after \`attach\`]`);
    expect(() => readHead(damaged("abc"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: readHead: expected \`logits.head\` to be JSON or base64, got damaged text. The file was changed after \`attach\`]`);
    expect(() => readHead(damaged("AAAA"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromBytes: expected \`bytes\` to start with a header length of 8 bytes, got 3 bytes]`);
    expect(() => readHead(damaged('{"format":"other"}'))).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`format\` "logits/head", got "other"]`);
    expect(() => attach(plain, { format: "logits/head", version: 99 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`version\` 1, got 99. Upgrade @logits/head to read it]`);
    expect(() => attach(plain, JSON.stringify(head) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: attach: expected \`head\` a DecisionHead, its JSON or its bytes, got String. Pass JSON.parse(text)]`);
    expect(() => attach(plain.subarray(0, 50), head)).toThrowErrorMatchingInlineSnapshot(`[FormatError: attach: expected \`bytes\` to be an ONNX model, got a field of 501 bytes at byte 22, where 28 are left. The file is truncated or damaged: load it again]`);
    expect(() => detach(new Uint8Array(0))).toThrowErrorMatchingInlineSnapshot(`[FormatError: detach: expected \`bytes\` to be an ONNX model, got no bytes]`);
    expect(() => readMetadata(new TextEncoder().encode("<html>"))).toThrowErrorMatchingInlineSnapshot(`[FormatError: readMetadata: expected \`bytes\` to be an ONNX model, got a page of HTML or XML. The address answers with a page, not with the file]`);
  });
});
