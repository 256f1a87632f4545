import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { PreTrainedTokenizer } from "@huggingface/transformers";
import { alignTokens, type AlignTokensOptions } from "@logits/structured-prediction/spans";
import { describe, expect, it } from "vitest";

/** Tokens of the tokenizers of Transformers.js: they say no offsets, so what is checked is that slices are in order, leave out nothing but white space, and say what the token says. */
interface Group {
  readonly script: string;
  readonly rows: readonly (readonly [kind: string, text: string, tokens: readonly string[], offsets: readonly number[]])[];
}

const { groups } = JSON.parse(gunzipSync(readFileSync(new URL("../../packages/structured-prediction/src/spans/fixtures/alignments.json.gz", import.meta.url))).toString()) as { groups: readonly Group[] };

const added = (tokens: readonly string[]) => tokens.map((content, id) => ({ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }));

/** Each kind over the pieces that occur in the fixture's tokens. */
function tokenizer(kind: string, pieces: readonly string[]): PreTrainedTokenizer {
  const vocabulary = (special: readonly string[]) => [...new Set([...special, ...pieces])];
  const json = { version: "1.0", truncation: null, padding: null, post_processor: null, decoder: null };
  if (kind === "wordpiece" || kind === "uncased") {
    const all = vocabulary(["[UNK]", "[CLS]", "[SEP]"]), lower = kind === "uncased";
    return new PreTrainedTokenizer({
      ...json, added_tokens: added(["[UNK]", "[CLS]", "[SEP]"]), normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: lower, lowercase: lower }, pre_tokenizer: { type: "BertPreTokenizer" },
      model: { type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100, vocab: Object.fromEntries(all.map((piece, id) => [piece, id])) },
    }, { unk_token: "[UNK]" });
  }
  const all = vocabulary(["<unk>", "</s>"]);
  return new PreTrainedTokenizer({
    ...json, added_tokens: added(["<unk>", "</s>"]), normalizer: { type: "NFKC" }, pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, { type: "Metaspace", replacement: "▁", add_prefix_space: true, prepend_scheme: "always" }] },
    model: { type: "Unigram", unk_id: 0, vocab: all.map((piece) => [piece, -[...piece].length]), eos_token: "</s>" },
  }, { unk_token: "<unk>", eos_token: "</s>" });
}

const OPTIONS: Readonly<Record<string, AlignTokensOptions>> = { wordpiece: { kind: "wordpiece" }, uncased: { kind: "wordpiece", lowercase: true, stripAccents: true }, unigram: { kind: "sentencepiece", form: "NFKC" } };
/** What a tokenizer changes, in the slice and in the token. */
const plain = (kind: string, text: string): string => {
  const folded = kind === "uncased" ? text.normalize("NFD").replaceAll(/\p{Mn}/gu, "").toLowerCase().normalize("NFD").replaceAll(/\p{Mn}/gu, "").replaceAll("ς", "σ") : kind === "unigram" ? text.normalize("NFKC") : text;
  return folded.replaceAll(/[\s▁\p{C}]/gu, "");
};

describe.each(Object.keys(OPTIONS))("tokens of a real tokenizer: %s", (kind) => {
  it.each(groups.map((group) => [group.script, group.rows] as const))("%s", (_, rows) => {
    const texts = rows.filter((row) => row[0] === kind).map((row) => row[1]), pieces = rows.filter((row) => row[0] === kind).flatMap((row) => row[2]);
    const real = tokenizer(kind, pieces);
    for (const text of texts) {
      const tokens = real.tokenize(text), { start, end } = alignTokens(text, tokens, OPTIONS[kind]);
      let covered = 0, left = "";
      for (const [t, token] of tokens.entries()) {
        left += text.slice(covered, start[t]);
        covered = Math.max(covered, end[t]);
        const slice = plain(kind, text.slice(start[t], end[t])), said = plain(kind, kind === "unigram" ? token : token.replace(/^##(?=.)/u, ""));
        // A token may be a part of what normalisation made of one character: its slice holds it.
        if (!["[UNK]", "<unk>"].includes(token)) expect(slice, `${JSON.stringify(text)} ${JSON.stringify(tokens)} ${t}`).toContain(said);
      }
      expect(plain(kind, left + text.slice(covered)), JSON.stringify([text, tokens])).toBe("");
    }
  });
});
