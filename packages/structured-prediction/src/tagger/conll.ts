import { FormatError, checkInteger, message, rangeError } from "@logits/tensor";

/** What is known of a token, column by column: its word, and what else the file holds. */
export type Columns = readonly string[];

/** A sentence of a file of columns. */
export interface ConllSentence {
  /** [T, columns], T >= 1. */
  readonly tokens: readonly Columns[];
  /** Number of the line of the first token, from 1. */
  readonly line: number;
}

/** How the columns are told apart. */
export interface ConllOptions {
  /** One string between columns, such as a tab, or `whitespace`: runs of spaces and tabs. Default `whitespace`. */
  readonly separator?: string;
}

/** Lines of a text, without the byte order mark and without the carriage returns of Windows. */
export function linesOf(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  return lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
}

/**
 * Reads sentences from columns, as CoNLL-2000, CoNLL-2003 and WNUT-17 have them: a token a line, a blank line after each sentence. Nothing is left out: `#` begins a
 * word like any other, and a `-DOCSTART-` line is a sentence of one token.
 *
 * @param text - the file; a line of white space alone is a blank line
 * @param options - `separator`
 * @returns the sentences, each with at least one token; none of an empty text
 * @throws FormatError for a line whose number of columns is not that of the first, or with an empty column; the message has the line's number
 * @example
 *   parseConll("EU B-ORG\nrejects O\n\n")[0].tokens; // [["EU", "B-ORG"], ["rejects", "O"]]
 * Source: Tjong Kim Sang and Buchholz, "Introduction to the CoNLL-2000 shared task: chunking", CoNLL 2000.
 */
export function parseConll(text: string, options: ConllOptions = {}): ConllSentence[] {
  const where = "parseConll", separator = checkSeparator(where, options.separator);
  const sentences: ConllSentence[] = [];
  let tokens: string[][] = [], line = 0, width = 0, first = 0;
  const end = (): void => {
    if (tokens.length > 0) sentences.push({ tokens, line });
    tokens = [];
  };
  for (const [i, content] of linesOf(text).entries()) {
    if (content.trim() === "") {
      end();
      continue;
    }
    const columns = separator === "whitespace" ? content.trim().split(/[ \t]+/) : content.split(separator);
    if (width === 0) [width, first] = [columns.length, i + 1];
    if (columns.length !== width) throw new FormatError(message(where, `line ${i + 1}`, `to have ${counted(width, "column")}, as line ${first} has`, counted(columns.length, "column")));
    const empty = columns.indexOf("");
    if (empty >= 0) throw new FormatError(message(where, `line ${i + 1}`, "to have something in each column", `nothing in column ${empty}`));
    if (tokens.length === 0) line = i + 1;
    tokens.push(columns);
  }
  end();
  return sentences;
}

/**
 * Writes sentences as columns: what `parseConll` reads.
 *
 * @param sentences - [T, columns] each; the number of columns is the same everywhere
 * @param options - `separator`: `whitespace` writes one space
 * @throws RangeError for a sentence without tokens, a column that is empty or holds a line break or the separator
 * @example
 *   formatConll([{ tokens: [["EU", "B-ORG"], ["rejects", "O"]] }], { separator: "\t" });
 * Source: as `parseConll`.
 */
export function formatConll(sentences: readonly { readonly tokens: readonly Columns[] }[], options: ConllOptions = {}): string {
  const where = "formatConll", separator = checkSeparator(where, options.separator), between = separator === "whitespace" ? " " : separator;
  const width = sentences[0]?.tokens[0]?.length ?? 0;
  let out = "";
  for (const [s, { tokens }] of sentences.entries()) {
    if (tokens.length === 0) throw rangeError(where, `sentences[${s}]`, "of at least one token", "none");
    for (const [t, columns] of tokens.entries()) {
      const at = `sentences[${s}].tokens[${t}]`;
      if (columns.length !== width || width === 0) throw rangeError(where, at, `of ${Math.max(1, width)} columns`, `${columns.length}`);
      for (const column of columns) {
        if (column === "" || /[\r\n]/.test(column) || (separator === "whitespace" ? /[ \t]/.test(column) : column.includes(separator))) throw rangeError(where, at, "of columns that are not empty and hold no line break and no separator", JSON.stringify(column));
      }
      const text = columns.join(between);
      if (text.trim() === "") throw rangeError(where, at, "of columns that are not white space alone", JSON.stringify(text));
      out += `${text}\n`;
    }
    out += "\n";
  }
  return out;
}

/** Tokens with what they are labelled with. */
export interface LabelledSentence {
  /** [T]: words, or the columns of each token. */
  readonly tokens: readonly (string | Columns)[];
  /** [T]. */
  readonly labels: readonly string[];
}

/**
 * Takes a column of sentences as their labels, and the others as what is known of the tokens.
 *
 * @param sentences - of `parseConll`, or `words` of `parseConllu`
 * @param column - the labels' column, from 0; a negative one counts from the end. Default -1, the last
 * @param keep - the columns that stay, in that order. Default all others. CoNLL-U: `[1]`, the form
 * @throws RangeError for a column that is not there
 * @example
 *   labelledBy(parseConll("EU B-ORG\nrejects O\n"))[0].labels; // ["B-ORG", "O"]
 */
export function labelledBy(sentences: readonly { readonly tokens: readonly Columns[] }[], column: number = -1, keep?: readonly number[]): LabelledSentence[] {
  const where = "labelledBy", width = sentences[0]?.tokens[0]?.length ?? 0;
  if (sentences.length === 0) return [];
  checkInteger(where, "column", column, -width, width - 1);
  const label = column < 0 ? column + width : column;
  const others = keep ?? Array.from({ length: width }, (_, i) => i).filter((i) => i !== label);
  for (const other of others) checkInteger(where, "keep", other, 0, width - 1);
  return sentences.map(({ tokens }) => ({ tokens: tokens.map((columns) => others.map((i) => columns[i])), labels: tokens.map((columns) => columns[label]) }));
}

function checkSeparator(where: string, separator: string = "whitespace"): string {
  if (separator === "" || /[\r\n]/.test(separator)) throw rangeError(where, "separator", "at least one character and no line break", JSON.stringify(separator));
  return separator;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
