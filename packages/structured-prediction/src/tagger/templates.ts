import { FormatError, message } from "@logits/tensor";
import type { Columns } from "./conll.ts";

/** One cell of the window, and what is made of it. */
interface Macro {
  readonly name: string;
  readonly row: number;
  readonly column: number;
  /** Characters of an affix. */
  readonly size: number;
  /** Among the different names and sizes. */
  readonly index: number;
}

/** A line: pieces of text around macros. */
interface Template {
  readonly texts: readonly string[];
  readonly macros: readonly Macro[];
}

/** Templates that read the same cells: their attributes are a function of those cells, and are made once for each value of them. */
export interface Group {
  readonly cells: readonly (readonly [row: number, column: number])[];
  readonly templates: readonly Template[];
}

/** How a word looks: `Xx` for each letter by its case, `d` for a digit, the rest as it is. */
export function wordShape(word: string): string {
  let out = "";
  for (const c of word) out += signOf(c);
  return out;
}

function signOf(c: string): string {
  const code = c.charCodeAt(0);
  if (code < 128) return code >= 97 && code <= 122 ? "x" : code >= 65 && code <= 90 ? "X" : code >= 48 && code <= 57 ? "d" : c;
  return /\p{Lu}|\p{Lt}/u.test(c) ? "X" : /\p{L}/u.test(c) ? "x" : /\p{Nd}/u.test(c) ? "d" : c;
}

/** The shape with runs of one sign as one sign. */
function briefShape(word: string): string {
  let out = "", last = "";
  for (const c of word) {
    const sign = signOf(c);
    // Line ends are no signs that could run.
    if (sign !== last || LINE_ENDS.includes(sign)) out += sign;
    last = sign;
  }
  return out;
}
const LINE_ENDS = "\n\r\u2028\u2029";

/** No UTF-16 surrogates: places are characters. */
function plain(cell: string): boolean {
  for (let i = 0; i < cell.length; i++) if ((cell.charCodeAt(i) & 0xf800) === 0xd800) return false;
  return true;
}

const MACROS: Readonly<Record<string, (cell: string, size: number) => string | undefined>> = {
  x: (cell) => cell,
  lower: (cell) => cell.toLowerCase(),
  shape: wordShape,
  brief: briefShape,
  prefix: (cell, size) => {
    if (plain(cell)) return cell.length < size ? undefined : cell.slice(0, size);
    const points = Array.from(cell);
    return points.length < size ? undefined : points.slice(0, size).join("");
  },
  suffix: (cell, size) => {
    if (plain(cell)) return cell.length < size ? undefined : cell.slice(cell.length - size);
    const points = Array.from(cell);
    return points.length < size ? undefined : points.slice(points.length - size).join("");
  },
};

let plan: (templates: FeatureTemplates) => { readonly groups: readonly Group[]; readonly macros: readonly (readonly [name: string, size: number])[] };
/** The templates as parsed, by the cells that they read, and the different macros. */
export const planOf = (templates: FeatureTemplates): ReturnType<typeof plan> => plan(templates);

/**
 * Attributes of tokens by templates, a line each, as in CRF++: the text of the line, with macros replaced by what stands in a cell of the window.
 *
 * `%x[row,column]` the cell, `row` counted from the token; `%lower` in lower case; `%shape` `Xx` for letters, `d` for digits; `%brief` the shape with runs as one
 * sign; `%prefix[row,column,n]` and `%suffix[row,column,n]` n characters (no attribute where the cell has fewer). Several macros on a line are a conjunction; a line
 * without one is the same for every token. Outside the sentence a cell is `_B-1`, `_B-2`, ... before it and `_B+1`, ... after it, whatever the macro. Lines that begin
 * with `#` and blank lines say nothing. `B` alone is CRF++'s line for pairs of labels, which are always there.
 */
export class FeatureTemplates {
  /** As parsed. */
  readonly text: string;
  /** Columns that the tokens must have. */
  readonly columns: number;
  readonly #groups: readonly Group[];
  /** The different macros, by name and size. */
  readonly #macros: readonly (readonly [name: string, size: number])[];

  private constructor(text: string, columns: number, groups: readonly Group[], macros: readonly (readonly [name: string, size: number])[]) {
    this.text = text;
    this.columns = columns;
    this.#groups = groups;
    this.#macros = macros;
  }

  /**
   * Reads templates.
   *
   * @param text - a template a line
   * @throws FormatError for a macro that is not one, or no template; the message has the line's number
   * @example
   *   FeatureTemplates.parse("w=%x[0,0]\nprevious=%lower[-1,0]").attributes([["The"], ["Dog"]], 1); // ["w=Dog", "previous=the"]
   * Source: CRF++ (taku910.github.io/crfpp), "Preparing feature templates".
   */
  static parse(text: string): FeatureTemplates {
    const where = "FeatureTemplates.parse", groups = new Map<string, { cells: (readonly [number, number])[]; templates: Template[] }>();
    let columns = 1;
    const known = new Map<string, readonly [name: string, size: number]>();
    for (const [i, raw] of text.split(/\r?\n/).entries()) {
      const line = raw.trim();
      if (line === "" || line.startsWith("#") || line === "B") continue;
      const fail = (expected: string, got: string): never => {
        throw new FormatError(message(where, `line ${i + 1}`, expected, got));
      };
      if (/^B\d*:/.test(line)) fail("to be a template of one label", `${JSON.stringify(line)}: conjunctions of pairs of labels with words are not there`);
      const template = parseLine(line, known, fail);
      for (const { column } of template.macros) columns = Math.max(columns, column + 1);
      const cells = [...new Map(template.macros.map(({ row, column }) => [`${row},${column}`, [row, column] as const]))].sort(([a], [b]) => (a < b ? -1 : 1));
      const key = cells.map(([name]) => name).join(";");
      if (!groups.has(key)) groups.set(key, { cells: cells.map(([, cell]) => cell), templates: [] });
      groups.get(key)!.templates.push(template);
    }
    if (groups.size === 0) throw new FormatError(message(where, "text", "to hold at least one template", "none"));
    return new FeatureTemplates(text, columns, [...groups.values()], [...known.values()]);
  }

  /** The attributes of token t, in the order of the groups of cells that the templates read. */
  attributes(tokens: readonly Columns[], t: number): string[] {
    return this.#groups.flatMap((_, g) => this.attributesOf(tokens, t, g));
  }

  /** How many sets of cells the templates read. */
  get groups(): number {
    return this.#groups.length;
  }

  /** What the attributes of a group are a function of. */
  key(tokens: readonly Columns[], t: number, group: number): string {
    const { cells } = this.#groups[group];
    if (cells.length === 1) return keyOf(tokens, t + cells[0][0], cells[0][1]);
    let key = "";
    for (const [row, column] of cells) {
      const part = keyOf(tokens, t + row, column);
      key += `${part.length} ${part}`;
    }
    return key;
  }

  /** The attributes of a group. */
  attributesOf(tokens: readonly Columns[], t: number, group: number): string[] {
    const out: string[] = [];
    for (const { texts, macros } of this.#groups[group].templates) {
      let attribute: string | undefined = texts[0];
      for (const [m, { name, row, column, size }] of macros.entries()) {
        const inside: boolean = t + row >= 0 && t + row < tokens.length, cell = cellAt(tokens, t + row, column);
        const value = inside ? MACROS[name](cell, size) : cell;
        if (value === undefined) {
          attribute = undefined;
          break;
        }
        attribute += value + texts[m + 1];
      }
      if (attribute !== undefined) out.push(attribute);
    }
    return out;
  }

  static {
    plan = (templates) => ({ groups: templates.#groups, macros: templates.#macros });
  }
}

/** What a macro makes of a cell inside the sentence; undefined where the cell is too short. */
export function macroOf([name, size]: readonly [name: string, size: number], cell: string): string | undefined {
  return MACROS[name](cell, size);
}

/** The cell, or its name outside the sentence. */
function cellAt(tokens: readonly Columns[], t: number, column: number): string {
  return t < 0 || t >= tokens.length ? nameOutside(t, tokens.length) : tokens[t][column];
}

/** The name of cells outside a sentence of T tokens. */
export function nameOutside(t: number, T: number): string {
  return t < 0 ? `_B${t}` : `_B+${t - T + 1}`;
}

/** A cell's value; a word that looks like a name for outside the sentence is another. */
function keyOf(tokens: readonly Columns[], t: number, column: number): string {
  return t < 0 || t >= tokens.length ? cellAt(tokens, t, column) : `=${tokens[t][column]}`;
}

function parseLine(line: string, known: Map<string, readonly [name: string, size: number]>, fail: (expected: string, got: string) => never): Template {
  const texts: string[] = [], macros: Macro[] = [];
  let rest = 0;
  // A `%` before letters and a bracket is a macro; another is text.
  for (const match of line.matchAll(/%([A-Za-z]+)\[([^\]]*)\]?/g)) {
    const [whole, name, inside] = match, affix = name === "prefix" || name === "suffix";
    if (!Object.hasOwn(MACROS, name)) fail(`to have macros among ${Object.keys(MACROS).map((known) => `%${known}`).join(", ")}`, `%${name}`);
    const numbers = /^\s*([+-]?\d{1,6})\s*,\s*(\d{1,6})\s*(?:,\s*(\d{1,6})\s*)?$/.exec(inside);
    if (!whole.endsWith("]") || !numbers || (numbers[3] !== undefined) !== affix || (affix && Number(numbers[3]) === 0)) return fail(`to have %${name}[row,column${affix ? ",n" : ""}]`, JSON.stringify(whole));
    texts.push(line.slice(rest, match.index));
    const size = Number(numbers[3] ?? 0), key = `${name} ${size}`;
    if (!known.has(key)) known.set(key, [name, size]);
    macros.push({ name, row: Number(numbers[1]), column: Number(numbers[2]), size, index: [...known.keys()].indexOf(key) });
    rest = match.index + whole.length;
  }
  texts.push(line.slice(rest));
  return { texts, macros };
}
