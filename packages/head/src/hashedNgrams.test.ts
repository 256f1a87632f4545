import { checkCsr, type CsrMatrix } from "@logits/tensor";
import { expectClose, expectExact } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/hashed-ngrams.json" with { type: "json" };
import { HashedNgrams, hashedNgrams } from "./hashedNgrams.ts";
import { murmur3 } from "./hashedNgramsMurmur3.ts";

interface Case {
  readonly hash?: [text: string, seed: number, value: number][];
  readonly texts: string[];
  readonly buckets: number;
  readonly word: [number, number] | null;
  readonly char: [number, number] | null;
  readonly idf: boolean;
  readonly rows: [bucket: number, value: number][][];
}
const cases = fixture.cases as unknown as Case[];

const row = (x: CsrMatrix, n: number): [number, number][] => Array.from({ length: x.indptr[n + 1] - x.indptr[n] }, (_, j) => [x.indices[x.indptr[n] + j], x.data[x.indptr[n] + j]]);
const one = (text: string, options = {}): [number, number][] => row(hashedNgrams([text], options), 0);

describe("agrees with scikit-learn", () => {
  it("MurmurHash3 of UTF-8 bytes", () => {
    for (const [text, seed, want] of cases[0].hash!) expect(murmur3(new TextEncoder().encode(text), 0, new TextEncoder().encode(text).length, seed), `${text} ${seed}`).toBe(want);
  });

  it.each(cases.slice(1))("n-grams of words $word, of characters $char, idf $idf", ({ texts, buckets, word, char, idf, rows }) => {
    const x = idf ? HashedNgrams.fit(texts, { buckets, word, char }).transform(texts) : hashedNgrams(texts, { buckets, word, char });
    expect(x.shape).toEqual([texts.length, buckets]);
    rows.forEach((want, n) => {
      const got = row(x, n);
      expect(got.map(([bucket]) => bucket), texts[n]).toEqual(want.map(([bucket]) => bucket));
      // Ours: float64, rounded to float32 at the end (2^-24); the weights of idf are float32 too (2^-24 more, in numerator and norm).
      expectClose(got.map(([, value]) => value), want.map(([, value]) => value), { rtol: 3 * 2 ** -24, label: texts[n] });
    });
  });
});

describe("laws", () => {
  it("is a CSR matrix with rising columns, positive finite numbers and rows of length 1 or none, whatever the text", () => {
    fc.assert(fc.property(fc.array(fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom("a", " ", "'", "\ud800", "\udc00", "é", "!") }))), (texts) => {
      const x = checkCsr("test", "x", hashedNgrams(texts, { buckets: 64 }));
      expect(x.shape).toEqual([texts.length, 64]);
      for (let n = 0; n < texts.length; n++) {
        const elements = row(x, n);
        expect(elements.every(([bucket, value], i) => value > 0 && value <= 1 && (i === 0 || bucket > elements[i - 1][0]))).toBe(true);
        // 64 elements, each rounded once to float32.
        if (elements.length > 0) expectClose(elements.reduce((sum, [, value]) => sum + value ** 2, 0), 1, { atol: 2 ** -22 });
      }
    }), { seed: 5, numRuns: 100 });
  });

  it("a text is the same alone as among others", () => {
    const texts = ["check my balance", "", "🙂", "how do i sail to the moon ".repeat(40), "a"];
    const x = hashedNgrams(texts), fitted = HashedNgrams.fit(texts), y = fitted.transform(texts);
    texts.forEach((text, n) => {
      expectExact(one(text).flat(), row(x, n).flat());
      expectExact(row(fitted.transform([text]), 0).flat(), row(y, n).flat());
    });
  });

  it("grows where the first guess of the memory is too small", () => {
    const random = Array.from({ length: 3000 }, (_, i) => `w${(i * 7919) % 65537}x`).join(" ");
    const x = hashedNgrams([random, "a"], { buckets: 2 ** 20 });
    expect(x.indptr[1]).toBeGreaterThan(5000);
    expectExact(row(x, 1).flat(), one("a", { buckets: 2 ** 20 }).flat());
  });
});

describe("text", () => {
  const same = (a: string, b: string): void => expectExact(one(a).flat(), one(b).flat());

  it("letter case, kinds of white space and punctuation do not matter", () => {
    same("How do I sail to the MOON?", "how do i sail to the moon");
    same("\t how\u00a0do\ni  sail, to -- the «moon»!\u0000", "how do i sail to the moon");
    same("ΟΔΟΣ", "οδος");
    same("pay (my bill)…now", "pay my bill now");
  });

  it("an apostrophe inside a word belongs to it, whichever it is; elsewhere it separates", () => {
    same("What\u2019s up", "what's up");
    same("'twas the boys' 'n' girls", "twas the boys n girls");
    expect(one("what's")).not.toEqual(one("what s"));
  });

  it("composed and decomposed letters are the same", () => same("cafe\u0301", "caf\u00e9"));

  it("an emoji is a word, and one character of n-grams however many units it has", () => {
    // " 🙂 ": three code points, so two 2-grams and one 3-gram, which is the whole; a 4-gram would be longer.
    expect(one("🙂", { word: null, char: [2, 3], buckets: 2 ** 20 })).toHaveLength(3);
    expect(one("🙂", { word: null, char: [2, 4], buckets: 2 ** 20 })).toHaveLength(3);
    expect(one("👍🏽", { word: [1, 1], char: null })).toHaveLength(1);
  });

  it("lone surrogates count as U+FFFD", () => {
    same("a\ud800b", "a\ufffdb");
    same("\udc00\ud800", "\ufffd\ufffd");
  });

  it("a text without words has no elements, and a matrix of no texts no rows", () => {
    for (const text of ["", "  ", "?!", "'", "\u0007"]) expect(one(text)).toEqual([]);
    expect(hashedNgrams([])).toEqual({ shape: [0, 32768], indptr: Int32Array.of(0), indices: new Int32Array(0), data: new Float32Array(0) });
  });

  it("the beginning and the end of a text are seen by n-grams of two words", () => {
    const bigrams = { word: [2, 2], char: null, buckets: 2 ** 20 };
    expect(one("a", bigrams)).toHaveLength(2);
    expect(one("a b", bigrams)).toHaveLength(3);
    expect(one("a", { ...bigrams, word: [4, 4] })).toEqual([]);
  });

  it("one bucket takes everything", () => expect(one("how do i", { buckets: 1 })).toEqual([[0, 1]]));
});

describe("HashedNgrams", () => {
  const texts = ["pay my bill", "pay my rent", "what is my balance", "", "pay pay"];
  const fitted = HashedNgrams.fit(texts, { buckets: 512 });

  it("an n-gram of every text weighs 1, one that no text has 1 + ln(1 + N)", () => {
    const { idf } = HashedNgrams.fit(["a", "a"], { buckets: 64, word: [1, 1], char: null });
    expectExact(Array.from(idf.data).sort().slice(0, 2), [1, Math.fround(1 + Math.log(3))]);
  });

  it("does not depend on the order of the texts, and counts a text once", () => {
    expectExact(HashedNgrams.fit(texts.toReversed(), { buckets: 512 }).idf, fitted.idf);
    expectExact(HashedNgrams.fit(["pay pay", "rent"], { buckets: 512 }).idf, HashedNgrams.fit(["rent", "pay pay pay pay"], { buckets: 512, char: [2, 4] }).idf);
  });

  it("round trip through JSON text is exact, and with pauses the bits are the same", async () => {
    const back = HashedNgrams.fromJSON(JSON.parse(JSON.stringify(fitted)));
    const want = fitted.transform(["pay the moon", ...texts]);
    expect(back.transform(["pay the moon", ...texts])).toEqual(want);
    const shares: number[] = [];
    const patient = await HashedNgrams.fitAsync(texts, { buckets: 512, onProgress: (share) => shares.push(share) });
    expect(JSON.stringify(patient)).toBe(JSON.stringify(fitted));
    expect(shares.at(-1)).toBe(1);
    expect(await patient.transformAsync(["pay the moon", ...texts])).toEqual(want);
    await expect(HashedNgrams.fitAsync(texts, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });

  it("keeps null ranges", () => {
    const words = HashedNgrams.fit(texts, { buckets: 64, char: null });
    expect(HashedNgrams.fromJSON(JSON.parse(JSON.stringify(words))).char).toBeNull();
  });
});

describe("messages", () => {
  const refusal = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
    throw new Error("expected an error");
  };

  it("arguments", () => {
    expect(refusal(() => hashedNgrams("text" as never))).toMatchInlineSnapshot(`"TypeError: hashedNgrams: expected \`texts\` an array of strings, got String. Pass [text]"`);
    expect(refusal(() => hashedNgrams(["a", 3 as never]))).toMatchInlineSnapshot(`"TypeError: hashedNgrams: expected \`texts\` an array of strings, got Number at index 1"`);
    expect(refusal(() => hashedNgrams([], { buckets: 0 }))).toMatchInlineSnapshot(`"RangeError: hashedNgrams: expected \`buckets\` an integer in [1, 16777216], got 0"`);
    expect(refusal(() => hashedNgrams([], { word: [2, 1] }))).toMatchInlineSnapshot(`"RangeError: hashedNgrams: expected \`word\` [from, to] of integers with 1 <= from <= to <= 8, or null, got [2, 1]"`);
    expect(refusal(() => hashedNgrams([], { char: 3 as never }))).toMatchInlineSnapshot(`"RangeError: hashedNgrams: expected \`char\` [from, to] of integers with 1 <= from <= to <= 8, or null, got Number"`);
    expect(refusal(() => hashedNgrams([], { word: null, char: null }))).toMatchInlineSnapshot(`"RangeError: hashedNgrams: expected \`char\` a range where \`word\` is null, got null"`);
    expect(refusal(() => HashedNgrams.fit([]))).toMatchInlineSnapshot(`"RangeError: HashedNgrams.fit: expected \`texts\` at least one, got none"`);
    expect(refusal(() => HashedNgrams.fit(["a"]).transform([null as never]))).toMatchInlineSnapshot(`"TypeError: HashedNgrams.transform: expected \`texts\` an array of strings, got null at index 0"`);
  });

  it("JSON", () => {
    const json = JSON.parse(JSON.stringify(HashedNgrams.fit(["a"], { buckets: 4 }))) as Record<string, unknown>;
    const read = (change: Record<string, unknown>): string => refusal(() => HashedNgrams.fromJSON(JSON.parse(JSON.stringify({ ...json, ...change }))));
    expect(read({ version: 2 })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/head to read it"`);
    expect(read({ word: [0, 2] })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`word\` [from, to] of integers with 1 <= from <= to <= 8, got [0, 2]"`);
    expect(read({ word: undefined })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`word\` a value, got nothing: the field is missing"`);
    expect(read({ word: null, char: null })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`char\` a range where \`word\` is null, got null"`);
    expect(read({ buckets: 8 })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`idf\` of shape [8], one for each bucket, got [4]"`);
    expect(read({ n: 0 })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`n\` an integer in [1, 9007199254740991], got 0"`);
    expect(read({ idf: { dtype: "float32", shape: [1], data: "AAAAAA==" }, buckets: 1 })).toMatchInlineSnapshot(`"FormatError: HashedNgrams.fromJSON: expected \`idf\` positive numbers, got 0 at index 0"`);
  });
});
