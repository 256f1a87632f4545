import fc from "fast-check";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import npy from "./fixtures/npy.json" with { type: "json" };
import npz from "./fixtures/npz.json" with { type: "json" };
import parquet from "./fixtures/parquet.json" with { type: "json" };
import safetensors from "./fixtures/safetensors.json" with { type: "json" };
import { readTensor } from "./readTensor.ts";

const files = (cases: readonly { base64: string }[]): Uint8Array[] => cases.map((c) => Uint8Array.from(Buffer.from(c.base64, "base64")));
const text = (...texts: string[]): Uint8Array[] => texts.map((t) => new TextEncoder().encode(t));

const corpus: [extension: string, files: Uint8Array[], keys: (string | undefined)[]][] = [
  ["npy", files(npy.cases), [undefined]],
  ["npz", files(npz.cases), [undefined, "logits"]],
  ["safetensors", files(safetensors.cases), [undefined, "x"]],
  ["parquet", files(parquet.cases.filter((c) => c.base64.length < 8000)), [undefined, "logits", "x"]],
  ["csv", text("1,2\n3,4\n", 'a;b\n"1";nan\n-2e5;inf\n'), [undefined, "a"]],
  ["json", text("[[1,2],[3,4]]", '{"data":[1,2,3,4],"shape":[2,2]}', '{"logits":[[1.5,2]],"labels":[0]}'), [undefined, "logits"]],
  ["ndjson", text("[1,2]\n[3,4]\n", '{"x":1}\n{"x":2}\n'), [undefined, "x"]],
];

/** One change of a file: bytes overwritten, cut off, inserted, or a field set to an extreme. */
type Change = { at: number; kind: "flip" | "set" | "cut" | "insert" | "extreme"; value: number };
const change: fc.Arbitrary<Change> = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  kind: fc.constantFrom("flip", "flip", "set", "cut", "insert", "extreme" as const),
  value: fc.integer({ min: 0, max: 255 }),
});

function mutate(bytes: Uint8Array, changes: readonly Change[]): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (const { at, kind, value } of changes) {
    const i = Math.floor(at * out.length);
    if (out.length === 0) break;
    if (kind === "flip") out[i] ^= 1 << (value & 7);
    else if (kind === "set") out[i] = value;
    else if (kind === "cut") out = out.slice(0, i);
    else if (kind === "insert") out = Uint8Array.from([...out.subarray(0, i), value, ...out.subarray(i)]);
    else out.fill(value & 1 ? 0xff : 0x7f, i, i + 1 + (value & 7));
  }
  return out;
}

/** What a result may weigh: a parquet file may hold 2^20 values plus 1,000 a byte, any other no more than deflate can pack. */
const allowed = (length: number): number => 8 * (1048576 + 1032 * length);

describe("damaged files", () => {
  const runs = process.env.LOGITS_SLOW ? 20_000 : 600;
  it.each(corpus)("give a result or a FormatError, never anything else: .%s", async (extension, originals, keys) => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...originals), fc.constantFrom(...keys), fc.array(change, { minLength: 1, maxLength: 4 }), async (original, key, changes) => {
        const bytes = mutate(original, changes);
        try {
          const got = await readTensor(bytes, `x.${extension}`, key);
          expect(got.shape.reduce((a, b) => a * b, 1)).toBe(got.data.length);
          expect(got.data.byteLength).toBeLessThanOrEqual(allowed(bytes.length));
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
          refused++;
        }
      }),
      { seed: 2, numRuns: runs },
    );
    // The mutations do reach the checks.
    expect(refused).toBeGreaterThan(runs / 10);
  });

  it.each(corpus)("cut off anywhere are refused or shorter: .%s", async (extension, originals, keys) => {
    const original = originals[0];
    for (let length = 0; length < original.length; length += Math.ceil(original.length / 400)) {
      for (const key of keys) {
        const outcome = await readTensor(original.slice(0, length), `x.${extension}`, key).then((array) => array.data.length, (error: unknown) => error);
        if (typeof outcome !== "number") expect(outcome).toBeInstanceOf(FormatError);
      }
    }
  });
});
