import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { alignTokens, type AlignTokensOptions } from "./alignTokens.ts";

interface Group {
  readonly script: string;
  readonly rows: readonly (readonly [kind: string, text: string, tokens: readonly string[], offsets: readonly number[]])[];
}

const { groups } = JSON.parse(gunzipSync(readFileSync(new URL("fixtures/alignments.json.gz", import.meta.url))).toString()) as { groups: readonly Group[] };
const OPTIONS: Readonly<Record<string, AlignTokensOptions>> = {
  wordpiece: { kind: "wordpiece" }, uncased: { kind: "wordpiece", lowercase: true, stripAccents: true }, "byte-level": { kind: "byte-level" },
  unigram: { kind: "sentencepiece", form: "NFKC" }, "byte fallback": { kind: "sentencepiece", form: "NFKC" },
};

describe("alignTokens against offsets that are known by construction (tools/fixtures/alignments.py)", () => {
  it("has 10,000 token sequences in 20 scripts", () => {
    expect(groups).toHaveLength(20);
    expect(groups.reduce((sum, { rows }) => sum + rows.length, 0)).toBe(10_000);
  });

  it.each(groups.map((group) => [group.script, group] as const))("%s", (_, { rows }) => {
    for (const [kind, text, tokens, offsets] of rows) {
      const { codePointStart, codePointEnd, where } = alignTokens(text, tokens, OPTIONS[kind]);
      const got = tokens.flatMap((_token, t) => (offsets[2 * t] < 0 ? [codePointEnd[t] === codePointStart[t] ? -1 : codePointStart[t], -1] : [codePointStart[t], codePointEnd[t]]));
      expect(got, `${kind} ${JSON.stringify(text)} ${JSON.stringify(tokens)}`).toEqual(offsets);
      expect(Array.from(where), text).toEqual(tokens.map((token) => (["[CLS]", "[SEP]", "</s>"].includes(token) ? 0 : 1)));
    }
  });
});
