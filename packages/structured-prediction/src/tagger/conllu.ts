import { FormatError, message, rangeError } from "@logits/tensor";
import { linesOf, type Columns } from "./conll.ts";

/** Columns of CoNLL-U, by name. */
export const CONLLU_COLUMNS: readonly string[] = Object.freeze(["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]);

/** A sentence of a CoNLL-U file. */
export interface ConlluSentence {
  /** Lines that begin with `#`, whole. */
  readonly comments: readonly string[];
  /** The words 1 to T, ten columns each: without multiword tokens and empty nodes. */
  readonly tokens: readonly Columns[];
  /** Lines of multiword tokens (id `3-4`) and empty nodes (`8.1`), each with the number of words before it. */
  readonly others: readonly { readonly after: number; readonly columns: Columns }[];
  /** Number of the line of the first token, from 1. */
  readonly line: number;
}

/**
 * Reads CoNLL-U: ten columns with tabs between them, comments before each sentence, multiword tokens and empty nodes.
 *
 * @param text - the file; the blank line after the last sentence may be missing
 * @returns the sentences; words in `tokens`, everything else kept so that `formatConllu` gives the same text back
 * @throws FormatError for a line without ten columns, an empty column, an id out of order, a comment inside a sentence or without one; the message has the line's number
 * @example
 *   parseConllu("1\tHi\thi\tINTJ\tUH\t_\t0\troot\t_\t_\n\n")[0].tokens[0][3]; // "INTJ"
 * Source: universaldependencies.org/format.html, version 2.
 */
export function parseConllu(text: string): ConlluSentence[] {
  const where = "parseConllu", sentences: ConlluSentence[] = [];
  let comments: string[] = [], tokens: string[][] = [], others: { after: number; columns: Columns }[] = [], line = 0, rangeEnd = 0, empties = 0;
  const fail = (number: number, expected: string, got: string): never => {
    throw new FormatError(message(where, `line ${number}`, expected, got));
  };
  const end = (number: number): void => {
    if (tokens.length === 0) {
      if (comments.length > 0 || others.length > 0) fail(number, "to be a word after comments and tokens without one", "the end of the sentence");
      return;
    }
    if (rangeEnd > tokens.length) fail(number, `to be word ${tokens.length + 1} of the multiword token that ends at ${rangeEnd}`, "the end of the sentence");
    sentences.push({ comments, tokens, others, line });
    [comments, tokens, others, rangeEnd, empties] = [[], [], [], 0, 0];
  };
  const lines = linesOf(text);
  for (const [i, content] of lines.entries()) {
    const number = i + 1;
    if (content.trim() === "") {
      end(number);
      continue;
    }
    const open = tokens.length > 0 || others.length > 0;
    if (content.startsWith("#")) {
      if (open) fail(number, "to be a token", "a comment inside a sentence");
      comments.push(content);
      continue;
    }
    const columns = content.split("\t");
    if (columns.length !== 10) fail(number, "to have 10 columns with tabs between them", `${columns.length}`);
    const blank = columns.findIndex((column) => column.trim() === "");
    if (blank >= 0) fail(number, "to have something in each column", `nothing in column ${CONLLU_COLUMNS[blank]}`);
    if (!open) line = number;
    const id = columns[0], next = tokens.length + 1;
    if (/^[1-9]\d*$/.test(id)) {
      if (Number(id) !== next) fail(number, `to be word ${next}`, `id ${id}`);
      tokens.push(columns);
      empties = 0;
      continue;
    }
    const range = /^([1-9]\d*)-([1-9]\d*)$/.exec(id), empty = /^(\d+)\.([1-9]\d*)$/.exec(id);
    if (range) {
      if (Number(range[1]) !== next || Number(range[2]) < next || next <= rangeEnd) fail(number, `to be word ${next} or a multiword token that begins there`, `id ${id}`);
      rangeEnd = Number(range[2]);
    } else if (empty) {
      if (Number(empty[1]) !== next - 1 || Number(empty[2]) !== empties + 1) fail(number, `to be word ${next} or empty node ${next - 1}.${empties + 1}`, `id ${id}`);
      empties++;
    } else fail(number, "to have an id such as 3, 3-4 or 3.1", JSON.stringify(id));
    others.push({ after: tokens.length, columns });
  }
  end(lines.length);
  return sentences;
}

/**
 * Writes CoNLL-U: what `parseConllu` has read, with changed columns where they were changed.
 *
 * @param sentences - of `parseConllu`
 * @throws RangeError for a token without ten columns, or a column that is empty or holds a tab or a line break
 * @example
 *   formatConllu(parseConllu(text)) === text; // true
 * Source: as `parseConllu`.
 */
export function formatConllu(sentences: readonly Omit<ConlluSentence, "line">[]): string {
  const where = "formatConllu";
  let out = "";
  for (const [s, { comments, tokens, others }] of sentences.entries()) {
    for (const comment of comments) {
      if (!comment.startsWith("#") || /[\r\n]/.test(comment)) throw rangeError(where, `sentences[${s}].comments`, "of lines that begin with #", JSON.stringify(comment));
      out += `${comment}\n`;
    }
    if (tokens.length === 0) throw rangeError(where, `sentences[${s}]`, "of at least one word", "none");
    const write = (columns: Columns): void => {
      const bad = columns.findIndex((column) => column.trim() === "" || /[\t\r\n]/.test(column));
      if (columns.length !== 10 || bad >= 0) throw rangeError(where, `sentences[${s}].tokens`, "of ten columns that are not empty and hold no tab and no line break", bad >= 0 ? JSON.stringify(columns[bad]) : `${columns.length} columns`);
      out += `${columns.join("\t")}\n`;
    };
    let other = 0;
    for (let t = 0; t <= tokens.length; t++) {
      while (other < others.length && others[other].after === t) write(others[other++].columns);
      if (t < tokens.length) write(tokens[t]);
    }
    out += "\n";
  }
  return out;
}
