import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/npz.json" with { type: "json" };
import { readNpz } from "./npz.ts";

const file = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));
const named = (name: string): Uint8Array => file(fixture.cases.find((c) => c.name === name)!.base64);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

/** Overwrites a little-endian field of the directory record of entry 0. */
function patch(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  let at = 0;
  while (view.getUint32(at, true) !== 0x02014b50) at++;
  view.setUint32(at + offset, value, true);
  return copy;
}

describe("readNpz", () => {
  it.each(fixture.cases.flatMap((c) => Object.entries(c.arrays).map(([key, array]) => [c.name, key, file(c.base64), array] as const)))("reads what numpy wrote: %s, %s", (_, key, bytes, array) => {
    const got = readNpz(bytes, "x.npz", key);
    expect(got.shape).toEqual(array!.shape);
    expectExact(Array.from(got.data, Number), array!.values?.map(Number) ?? new Array(array!.shape[0]).fill(0));
  });

  it("needs no key where there is one array", () => {
    expect(readNpz(named("one array"), "x.npz").shape).toEqual([2, 3]);
  });

  it("finds the directory behind a comment, and sees damage in the data by its checksum", () => {
    const bytes = named("stored");
    const commented = new Uint8Array(bytes.length + 5);
    commented.set(bytes);
    commented[bytes.length - 2] = 5;
    expect(readNpz(commented, "x.npz", "labels").shape).toEqual([3]);
    const at = Buffer.from(bytes).indexOf("NUMPY") + 128;
    bytes[at] ^= 1;
    expect(() => readNpz(bytes, "x.npz", "logits")).toThrow(FormatError);
  });

  it("says what is wrong", () => {
    const one = named("one array");
    const deflated = named("deflated");
    expect(refusal(() => readNpz(new Uint8Array(0), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to be a .npz file, got an empty file"`);
    expect(refusal(() => readNpz(new TextEncoder().encode("not a zip archive at all, is it"), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to be a zip archive, got another signature. Write it with numpy.savez"`);
    expect(refusal(() => readNpz(named("stored"), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` with a key, as FILE.npz:KEY, got none. Keys: logits, labels"`);
    expect(refusal(() => readNpz(named("stored"), "o.npz", "logit"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold "logit", got keys logits, labels"`);
    expect(refusal(() => readNpz(named("no arrays"), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold an array, got an empty archive"`);
    expect(refusal(() => readNpz(one.subarray(0, one.length - 30), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to end with a zip directory, got none. The file is truncated"`);
    expect(refusal(() => readNpz(patch(one, 24, 0x7fffffff), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to store "x.npy" as it is, got 2147483647. The file is damaged"`);
    expect(refusal(() => readNpz(patch(deflated, 24, 0x7fffffff), "o.npz", "logits"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to unpack "logits.npy" to at most 200 times its 89 bytes, got 2147483647. If you trust it, load it and write it again with numpy.savez"`);
    expect(refusal(() => readNpz(patch(one, 20, 0x7fffffff), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold 2147483647 bytes of "x.npy", got 249. The file is truncated"`);
    expect(refusal(() => readNpz(patch(one, 42, 0x7fffffff), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold "x.npy" at 2147483647, got something else. The file is damaged"`);
    expect(refusal(() => readNpz(patch(one, 8, 0x00000001), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to be unencrypted, got "x.npy" encrypted"`);
    expect(refusal(() => readNpz(patch(one, 16, 0), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold "x.npy" with the checksum of its directory, got another checksum. The file is damaged"`);
    expect(refusal(() => readNpz(zipSync({ "a.txt": new Uint8Array(3) }), "o.npz"))).toMatchInlineSnapshot(`"readNpz: expected \`o.npz\` to hold .npy arrays, got "a.txt""`);
  });

  it("refuses a bomb before it unpacks it: 100 MiB of zeros in 100 KB", () => {
    const bomb = zipSync({ "x.npy": new Uint8Array(104857600) }, { level: 9 });
    const before = process.memoryUsage().arrayBuffers;
    expect(refusal(() => readNpz(bomb, "bomb.npz")).replace(/its \d+ bytes/, "its N bytes")).toMatchInlineSnapshot(`"readNpz: expected \`bomb.npz\` to unpack "x.npy" to at most 200 times its N bytes, got 104857600. If you trust it, load it and write it again with numpy.savez"`);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1048576);
  });
});
