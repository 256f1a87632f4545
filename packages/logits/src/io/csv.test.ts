import { expectExact } from "@logits/testkit";
import { FormatError } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { readCsv } from "./csv.ts";

const read = (text: string, key?: string): ReturnType<typeof readCsv> => readCsv(new TextEncoder().encode(text), "m.csv", key);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return (error as Error).message;
  }
  throw new Error("expected a FormatError, got a result");
}

describe("readCsv", () => {
  it.each([
    ["commas", "1,2.5\n-3e2,.5\n", [1, 2.5, -300, 0.5]],
    ["semicolons, Windows line ends", "1;2.5\r\n-3E+2;5.\r\n", [1, 2.5, -300, 5]],
    ["tabulators, no line end", "1\t2.5\n-300\t+0.5", [1, 2.5, -300, 0.5]],
    ["quotes and spaces", '"1", 2.5\n"-300","0.5"', [1, 2.5, -300, 0.5]],
    ["a byte order mark and blank last lines", "\ufeff1,2.5\n-300,0.5\n\n\n", [1, 2.5, -300, 0.5]],
    ["words", "nan,Inf\n-inf,-0.5", [NaN, Infinity, -Infinity, -0.5]],
  ])("reads numbers: %s", (_, text, want) => {
    const got = read(text);
    expect(got).toMatchObject({ shape: [2, 2], dtype: "float64", columns: undefined });
    expectExact(Array.from(got.data, Number), want);
  });

  it("takes a first line that holds a word as the header, and whole numbers as int32", () => {
    expect(read("label,score\n1,2\n3,4\n")).toMatchObject({ shape: [2, 2], dtype: "int32", columns: ["label", "score"], data: Int32Array.of(1, 2, 3, 4) });
    expect(read("label,score\n1,2\n3,4\n", "score")).toMatchObject({ shape: [2], data: Int32Array.of(2, 4) });
    expect(read("7\n8\n")).toMatchObject({ shape: [2, 1] });
  });

  it("keeps negative zero, which int32 would lose", () => {
    expectExact(Array.from(read("-0\n1\n").data, Number), [-0, 1]);
  });

  it("answers at once to a cell of a million digits that is no number", () => {
    expect(refusal(() => read(`1\n${"1".repeat(1_000_000)}x\n`))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold a number in every cell, got "1111111111111111111111111111111111111111..." in line 2, column 1. Write nan where a value is missing"`);
  });

  it("says what is wrong, with line and column", () => {
    expect(refusal(() => read(""))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold numbers, got an empty file"`);
    expect(refusal(() => read("\n\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold numbers, got blank lines"`);
    expect(refusal(() => read("a,b\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold rows of numbers, got only a header ("a,b")"`);
    expect(refusal(() => read("1,2\n3\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have 2 columns in every row, got 1 in line 2"`);
    expect(refusal(() => read("1,2\n\n3,4\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have 2 columns in every row, got 1 in line 2"`);
    expect(refusal(() => read("a,b\n1,2\n3,x4\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold a number in every cell, got "x4" in line 3, column "b". Write nan where a value is missing"`);
    expect(refusal(() => read("1,2\n3,\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold a number in every cell, got an empty cell in line 2, column 2. Write nan where a value is missing"`);
    expect(refusal(() => read("1,2\n0x10,4\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold a number in every cell, got "0x10" in line 2, column 1. Write nan where a value is missing"`);
    expect(refusal(() => read('1,2\n"3"4,5\n'))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have quotes only around whole cells, got text after a closing quote in line 2"`);
    expect(refusal(() => read('1,2\n3"4,5\n'))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have quotes only around whole cells, got a quote inside a cell in line 2"`);
    expect(refusal(() => read('1,2\n"3,4\n'))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have quotes only around whole cells, got a quote that is never closed in line 2"`);
    expect(refusal(() => read('1,2\n"a ""nested"" quote",4\n'))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to hold a number in every cell, got "a \\"nested\\" quote" in line 2, column 1. Write nan where a value is missing"`);
    expect(refusal(() => read("a,a\n1,2\n"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to name each column once, got "a" twice"`);
    expect(refusal(() => read("a,b\n1,2\n", "c"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have a column "c", got columns a, b"`);
    expect(refusal(() => read("1,2\n", "c"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to have a header with "c", got no header"`);
    expect(refusal(() => readCsv(Uint8Array.of(0x31, 0xff, 0x0a), "m.csv"))).toMatchInlineSnapshot(`"readCsv: expected \`m.csv\` to be UTF-8 text, got other bytes. Save it as UTF-8"`);
  });
});
