import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/parquet.json" with { type: "json" };
import refusedFixture from "./fixtures/parquet-refused.json" with { type: "json" };
import { readParquet } from "./parquet.ts";

const file = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));

async function refusal(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

describe("readParquet", () => {
  it.each(fixture.cases.map((c) => [c.name, c] as const))("reads what pyarrow wrote: %s", async (_, c) => {
    const got = await readParquet(file(c.base64), "x.parquet", c.key ?? undefined);
    expect(got.dtype).toBe(c.dtype);
    // Without a key a file of one column is a matrix of one column.
    expect(got.shape).toEqual(c.key === null && c.shape.length === 1 ? [...c.shape, 1] : c.shape);
    const want = c.values?.map(Number) ?? new Array<number>(c.shape[0]).fill(0);
    expectExact(Array.from(got.data, Number), want);
  });

  it("says what it refuses", async () => {
    const messages: Record<string, string> = {};
    for (const { name, base64 } of refusedFixture.cases) messages[name] = await refusal(() => readParquet(file(base64), "x.parquet"));
    expect(messages).toMatchInlineSnapshot(`
      {
        "date": "readParquet: expected \`x.parquet\` to hold numbers in column "x", got a date in row 0",
        "delta encoding": "readParquet: expected \`x.parquet\` to be a readable .parquet file, got encoding DELTA_BINARY_PACKED, not PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY, RLE, BYTE_STREAM_SPLIT. Write it with compression snappy and default encodings",
        "list among columns": "readParquet: expected \`x.parquet\` to hold numbers in every column, got a list in column "x". Name the column: FILE.parquet:COLUMN",
        "no rows": "readParquet: expected \`x.parquet\` to hold numbers, got 0 rows of 1 columns",
        "nulls": "readParquet: expected \`x.parquet\` to hold numbers in column "x", got null in row 1",
        "ragged lists": "readParquet: expected \`x.parquet\` to hold lists of 1 numbers in column "x", got 2 in row 1",
        "text": "readParquet: expected \`x.parquet\` to hold numbers in column "x", got string in row 0",
        "zstd": "readParquet: expected \`x.parquet\` to be a readable .parquet file, got compression ZSTD, not UNCOMPRESSED, SNAPPY or GZIP. Write it with compression snappy and default encodings",
      }
    `);
  });

  it("says what is wrong", async () => {
    const good = file(fixture.cases[0].base64);
    expect(await refusal(() => readParquet(new Uint8Array(0), "x.parquet"))).toMatchInlineSnapshot(`"readParquet: expected \`x.parquet\` to be a .parquet file, got an empty file"`);
    expect(await refusal(() => readParquet(good.subarray(0, 200), "x.parquet"))).toMatchInlineSnapshot(`"readParquet: expected \`x.parquet\` to be a readable .parquet file, got parquet file invalid (footer != PAR1). Write it with compression snappy and default encodings"`);
    expect(await refusal(() => readParquet(good, "x.parquet", "c9"))).toMatchInlineSnapshot(`"readParquet: expected \`x.parquet\` to have a column "c9", got columns c0, c1, c2"`);
  });

  it("refuses a run that claims more values than its page has, before it is decoded", async () => {
    const bytes = file(fixture.cases.find((c) => c.name === "constant column")!.base64);
    // Two runs of 5,000 (varint 90 4e of 10,000): definition levels and indices into the dictionary.
    const runs = [...Buffer.from(bytes).entries()].filter(([i, byte]) => i < 110 && byte === 0x90 && bytes[i + 1] === 0x4e && bytes[i + 2] < 2 && bytes[i - 1] < 2).map(([i]) => i);
    expect(runs).toHaveLength(2);
    const messages = [];
    for (const at of runs) {
      const damaged = Uint8Array.from(bytes);
      damaged.set([0xfe, 0x7f], at);
      messages.push(await refusal(() => readParquet(damaged, "x.parquet")));
    }
    expect(messages).toMatchInlineSnapshot(`
      [
        "readParquet: expected \`x.parquet\` to be a readable .parquet file, got a run of 8191 values where 5000 are left. Write it with compression snappy and default encodings",
        "readParquet: expected \`x.parquet\` to be a readable .parquet file, got a run of 8191 values where 5000 are left. Write it with compression snappy and default encodings",
      ]
    `);
  });
});
