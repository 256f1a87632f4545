import type { Columns } from "./conll.ts";
import { columnsAt } from "./dataset.ts";
import { grown } from "./growing.ts";
import { SEED, hashed, type ModelFile } from "./modelFile.ts";
import { Parts } from "./parts.ts";
import { macroOf, nameOutside, planOf, type FeatureTemplates } from "./templates.ts";

/** A template as bytes: pieces of text around macros. */
interface Line {
  readonly number: number;
  readonly texts: readonly Uint8Array[];
  /** Bytes of all texts. */
  readonly size: number;
  /** FNV-1a of the first text. */
  readonly seed: number;
  /** Of each macro: where its cell stands in the token's window, and its index. */
  readonly cells: readonly number[];
  readonly macros: readonly number[];
}

/** Templates that read one cell alone, which stands at `cell` in the window; their sum lies at `offset` among those of the cell. */
interface Single {
  readonly cell: number;
  readonly offset: number;
  readonly lines: readonly Line[];
}

/** A column that templates read: its index, and the numbers of its cells, of those before and after a sentence too. */
interface Column {
  readonly index: number;
  readonly known: Map<string, number>;
  readonly edges: Int32Array;
  readonly singles: Single[];
}

/** What is remembered: 32 MB of sums, 16 of text and half a million numbers of answers. */
const SUMS = 1 << 22, BYTES = 1 << 24, ANSWERS = 1 << 15;
/** Most keys of a template with its first part, such that 32 bits hold them with those of the tokens at hand. */
const KEYS = 1 << 30;
/** Tokens that are looked up together. */
const CHUNK = 64;
/** An answer that is not there; a cell that has no number yet. */
const UNKNOWN = -1;
/** No part: the cell is shorter than the affix. */
const NONE = -1;
const ENCODER = new TextEncoder();

/**
 * Sums of the weights of tokens' attributes. Cells are numbered, and so are the parts that macros make of them: an attribute is a template with the numbers of its
 * parts. Its pairs are remembered under those; where they are not, it is hashed part by part and compared where its parts stand. What a cell alone decides is summed
 * once for each of its values.
 *
 * A model is larger than a cache. So the attributes of many tokens take each step together: what one needs from memory is on its way while others are looked at.
 */
export class AttributeScores {
  readonly #file: ModelFile;
  readonly #templates: FeatureTemplates;
  readonly #macros: ReturnType<typeof planOf>["macros"];
  readonly #columns: readonly Column[];
  readonly #singles: readonly Single[];
  /** Templates that read another number of cells than one. */
  readonly #joint: readonly Line[];
  /** Rows of the window before and after the token. */
  readonly #before: number;
  readonly #after: number;

  readonly #parts = new Parts();
  /** [cells, macros]: the part that the macro makes of the cell, or NONE. */
  #made = new Int32Array(0);
  /** Where the sums of each cell begin. */
  #sumsAt = new Int32Array(64);
  #sums = new Float64Array(4096);
  #cells = 0;
  #summed = 0;
  /** [ANSWERS, keys + 2]: template and first part, the other parts, the first pair and the one after the last. A newer answer takes the place of an older one. */
  readonly #keys: number;
  readonly #lines: number;
  readonly #answers: Int32Array;

  /** Cells of the tokens at hand with the windows around, [before + tokens + after, columns]; the places of new ones. */
  readonly #window: Int32Array;
  readonly #fresh: number[] = [];
  /** Attributes at hand: template, where the window begins, first key, place among the answers; first pair, the one after the last. */
  #asked = 0;
  readonly #askedLines: Line[] = [];
  #froms = new Int32Array(0);
  #firstKeys = new Int32Array(0);
  #places = new Int32Array(0);
  #firsts = new Int32Array(0);
  #ends = new Int32Array(0);
  /** Where the attributes of each sum end. */
  readonly #stops: number[] = [];
  /** Attributes that are not remembered, their hashes, what they could be. */
  #open = new Int32Array(0);
  #hashes = new Int32Array(0);
  #found = new Int32Array(0);
  readonly #row: Float64Array;

  constructor(file: ModelFile, templates: FeatureTemplates) {
    this.#file = file;
    this.#templates = templates;
    const C = file.labels.length, { groups, macros } = planOf(templates), cells = groups.flatMap((group) => group.cells), indices = [...new Set(cells.map(([, column]) => column))];
    this.#macros = macros;
    const before = (this.#before = Math.max(0, ...cells.map(([row]) => -row)));
    this.#after = Math.max(0, ...cells.map(([row]) => row));
    const columns = indices.map((index): Column => ({ index, known: new Map(), edges: new Int32Array(before + this.#after).fill(UNKNOWN), singles: [] })), all: Single[] = [], joint: Line[] = [];
    const cellOf = (row: number, column: number): number => (before + row) * indices.length + indices.indexOf(column);
    let number = 0, keys = 1;
    for (const group of groups) {
      const lines = group.templates.map(({ texts, macros: places }): Line => {
        const bytes = texts.map((text) => ENCODER.encode(text));
        keys = Math.max(keys, places.length);
        return {
          number: number++, texts: bytes, size: bytes.reduce((sum, { length }) => sum + length, 0), seed: hashed(bytes[0], 0, bytes[0].length, SEED),
          cells: places.map(({ row, column }) => cellOf(row, column)), macros: places.map(({ index }) => index),
        };
      });
      if (group.cells.length !== 1) joint.push(...lines);
      else {
        const [[row, column]] = group.cells, { singles } = columns[indices.indexOf(column)], single = { cell: cellOf(row, column), offset: singles.length * C, lines };
        singles.push(single);
        all.push(single);
      }
    }
    [this.#columns, this.#singles, this.#joint, this.#lines, this.#keys] = [columns, all, joint, number, keys];
    this.#answers = new Int32Array(ANSWERS * (keys + 2)).fill(UNKNOWN);
    this.#window = new Int32Array((before + CHUNK + this.#after) * indices.length);
    this.#row = new Float64Array(C);
  }

  /** Writes the sums of a sentence's tokens to emissions, from `at` on. */
  write(where: string, argument: string, tokens: readonly (string | Columns)[], emissions: Float32Array, at: number): void {
    const { columns } = this.#templates;
    for (let t = 0; t < tokens.length; t++) if (typeof tokens[t] !== "string" || columns > 1) columnsAt(where, argument, tokens[t], t, columns);
    for (let from = 0; from < tokens.length; from += CHUNK) {
      if (this.#summed > SUMS || this.#parts.size > BYTES || this.#parts.count > KEYS / this.#lines) this.#forget();
      const count = Math.min(CHUNK, tokens.length - from);
      this.#look(tokens, from, count);
      this.#asked = this.#stops.length = 0;
      this.#askOfCells();
      for (let t = 0; t < count; t++) this.#ask(this.#joint, t * this.#columns.length);
      this.#answer();
      this.#sumCells();
      this.#sumTokens(count, emissions, at + from * this.#row.length);
    }
  }

  #forget(): void {
    for (const { known, edges } of this.#columns) {
      known.clear();
      edges.fill(UNKNOWN);
    }
    this.#parts.clear();
    this.#answers.fill(UNKNOWN);
    this.#cells = this.#summed = 0;
  }

  /** Numbers the cells of `count` tokens and of what stands around them. */
  #look(tokens: readonly (string | Columns)[], from: number, count: number): void {
    const columns = this.#columns, window = this.#window, T = tokens.length;
    this.#fresh.length = 0;
    for (let k = 0; k < columns.length; k++) {
      const { index, known, edges } = columns[k];
      for (let t = from - this.#before, at = k; t < from + count + this.#after; t++, at += columns.length) {
        let cell: number | undefined;
        if (t >= 0 && t < T) {
          const token = tokens[t], text = typeof token === "string" ? token : token[index];
          cell = known.get(text);
          if (cell === undefined) known.set(text, (cell = this.#cell(text, true, k, at)));
        } else {
          const edge = t < 0 ? this.#before + t : this.#before + t - T;
          cell = edges[edge];
          if (cell === UNKNOWN) edges[edge] = cell = this.#cell(nameOutside(t, T), false, k, at);
        }
        window[at] = cell;
      }
    }
  }

  /** Numbers a new cell and makes everything that macros make of it; outside a sentence they change nothing. */
  #cell(text: string, inside: boolean, column: number, at: number): number {
    const cell = this.#cells++, macros = this.#macros, parts = this.#parts, M = macros.length;
    if (this.#cells * M > this.#made.length) this.#made = grown(this.#made, new Int32Array(2 * this.#cells * M));
    if (this.#cells > this.#sumsAt.length) this.#sumsAt = grown(this.#sumsAt, new Int32Array(2 * this.#cells));
    this.#sumsAt[cell] = this.#summed;
    this.#summed += this.#columns[column].singles.length * this.#row.length;
    if (this.#summed > this.#sums.length) this.#sums = grown(this.#sums, new Float64Array(2 * this.#summed));
    this.#fresh.push(at);
    const whole = parts.numberOf(text), start = parts.starts[whole], end = parts.ends[whole], ascii = end - start === text.length;
    for (let m = 0; m < M; m++) {
      const [name, size] = macros[m];
      let part = whole;
      if (inside && name !== "x") {
        if (ascii && name === "prefix") part = size > text.length ? NONE : parts.numberAt(start, start + size);
        else if (ascii && name === "suffix") part = size > text.length ? NONE : parts.numberAt(end - size, end);
        else {
          const made = macroOf(macros[m], text);
          part = made === undefined ? NONE : made === text ? whole : parts.numberOf(made);
        }
      }
      this.#made[cell * M + m] = part;
    }
    return cell;
  }

  /** Asks for what the sums of new cells are made of. */
  #askOfCells(): void {
    for (const place of this.#fresh) for (const { cell, lines } of this.#columns[place % this.#columns.length].singles) this.#ask(lines, place - cell);
  }

  /** Asks for the attributes that templates make of the window that begins at `from`. */
  #ask(lines: readonly Line[], from: number): void {
    if (this.#asked + lines.length > this.#froms.length) this.#grow(2 * (this.#asked + lines.length));
    const window = this.#window, made = this.#made, M = this.#macros.length, L = this.#lines, width = this.#keys + 2;
    let asked = this.#asked;
    for (let n = 0; n < lines.length; n++) {
      const line = lines[n], { cells, macros } = line, count = macros.length;
      const first = count === 0 ? 0 : made[window[from + cells[0]] * M + macros[0]];
      if (first === NONE) continue;
      const key = first * L + line.number;
      let h = Math.imul(key, 0x9e3779b1), m = 1;
      for (; m < count; m++) {
        const part = made[window[from + cells[m]] * M + macros[m]];
        if (part === NONE) break;
        h = Math.imul(h ^ (h >>> 15) ^ part, 0x85ebca6b);
      }
      if (m < count) continue;
      this.#askedLines[asked] = line;
      this.#froms[asked] = from;
      this.#firstKeys[asked] = key;
      this.#places[asked++] = ((h ^ (h >>> 15)) & (ANSWERS - 1)) * width;
    }
    this.#asked = asked;
    this.#stops.push(asked);
  }

  #grow(size: number): void {
    [this.#froms, this.#firstKeys, this.#places, this.#firsts, this.#ends, this.#open, this.#hashes, this.#found] =
      [this.#froms, this.#firstKeys, this.#places, this.#firsts, this.#ends, this.#open, this.#hashes, this.#found].map((old) => grown(old, new Int32Array(size)));
  }

  /** Finds the pairs of what has been asked for. */
  #answer(): void {
    const file = this.#file, { pairStarts } = file, answers = this.#answers, K = this.#keys, firsts = this.#firsts, ends = this.#ends, places = this.#places, firstKeys = this.#firstKeys;
    let open = 0, fetched = 0;
    for (let i = 0; i < this.#asked; i++) fetched ^= answers[places[i]];
    file.fetched = fetched;
    for (let i = 0; i < this.#asked; i++) {
      const place = places[i];
      if (answers[place] === firstKeys[i] && this.#sameParts(i)) {
        firsts[i] = answers[place + K];
        ends[i] = answers[place + K + 1];
      } else this.#open[open++] = i;
    }
    for (let k = 0; k < open; k++) this.#hashes[k] = this.#hash(this.#open[k]);
    file.candidates(this.#hashes, open, this.#found);
    for (let k = 0; k < open; k++) {
      const i = this.#open[k], place = places[i], { cells, macros } = this.#askedLines[i];
      let a = this.#found[k];
      if (a >= 0 && !this.#same(a, i)) a = this.#find(i, this.#hashes[k]);
      firsts[i] = answers[place + K] = a < 0 ? 0 : pairStarts[a];
      ends[i] = answers[place + K + 1] = a < 0 ? 0 : pairStarts[a + 1];
      answers[place] = firstKeys[i];
      for (let m = 1; m < macros.length; m++) answers[place + m] = this.#made[this.#window[this.#froms[i] + cells[m]] * this.#macros.length + macros[m]];
    }
    file.fetch(firsts, this.#asked);
  }

  /** Whether the answer is one to the other parts too. */
  #sameParts(i: number): boolean {
    const { cells, macros } = this.#askedLines[i], from = this.#froms[i], place = this.#places[i];
    for (let m = 1; m < macros.length; m++) if (this.#answers[place + m] !== this.#made[this.#window[from + cells[m]] * this.#macros.length + macros[m]]) return false;
    return true;
  }

  #hash(i: number): number {
    const { seed, texts, cells, macros } = this.#askedLines[i], from = this.#froms[i], { bytes, starts, ends } = this.#parts;
    let h = seed;
    for (let m = 0; m < macros.length; m++) {
      const part = this.#made[this.#window[from + cells[m]] * this.#macros.length + macros[m]], text = texts[m + 1];
      h = hashed(bytes, starts[part], ends[part], h);
      if (text.length > 0) h = hashed(text, 0, text.length, h);
    }
    return h;
  }

  /** Whether an attribute is what the template makes of the window. */
  #same(attribute: number, i: number): boolean {
    const { texts, size, cells, macros } = this.#askedLines[i], from = this.#froms[i], { names, nameEnds } = this.#file, { bytes, starts, ends } = this.#parts;
    let at = attribute === 0 ? 0 : nameEnds[attribute - 1], rest = nameEnds[attribute] - at - size;
    for (let m = 0; m < macros.length; m++) {
      const part = this.#made[this.#window[from + cells[m]] * this.#macros.length + macros[m]];
      rest -= ends[part] - starts[part];
    }
    if (rest !== 0) return false;
    for (let m = 0; ; m++) {
      const text = texts[m];
      for (let j = 0; j < text.length; j++) if (names[at++] !== text[j]) return false;
      if (m === macros.length) return true;
      const part = this.#made[this.#window[from + cells[m]] * this.#macros.length + macros[m]];
      for (let j = starts[part], end = ends[part]; j < end; j++) if (names[at++] !== bytes[j]) return false;
    }
  }

  /** The seldom case: another attribute stands where this one could. */
  #find(i: number, h: number): number {
    const { texts, cells, macros } = this.#askedLines[i], { bytes, starts, ends } = this.#parts, name = [...texts[0]];
    for (let m = 0; m < macros.length; m++) {
      const part = this.#made[this.#window[this.#froms[i] + cells[m]] * this.#macros.length + macros[m]];
      name.push(...bytes.subarray(starts[part], ends[part]), ...texts[m + 1]);
    }
    return this.#file.find(Uint8Array.from(name), 0, name.length, h);
  }

  #sumCells(): void {
    const { pairLabels, weights } = this.#file, sums = this.#sums, stops = this.#stops, firsts = this.#firsts, ends = this.#ends, C = this.#row.length;
    let i = 0, sum = 0;
    for (const place of this.#fresh) {
      const { singles } = this.#columns[place % this.#columns.length];
      for (let s = 0, at = this.#sumsAt[this.#window[place]]; s < singles.length; s++, at += C) {
        sums.fill(0, at, at + C);
        for (const stop = stops[sum++]; i < stop; i++) for (let p = firsts[i], end = ends[i]; p < end; p++) sums[at + pairLabels[p]] += weights[p];
      }
    }
  }

  /** Adds what was found, and the sums of cells alone. */
  #sumTokens(count: number, emissions: Float32Array, first: number): void {
    const { pairLabels, weights } = this.#file, singles = this.#singles, window = this.#window, width = this.#columns.length;
    const sumsAt = this.#sumsAt, sums = this.#sums, row = this.#row, C = row.length, firsts = this.#firsts, ends = this.#ends, stops = this.#stops, made = stops.length - count;
    for (let t = 0, at = first, i = made === 0 ? 0 : stops[made - 1]; t < count; t++, at += C) {
      row.fill(0);
      for (const stop = stops[made + t]; i < stop; i++) for (let p = firsts[i], end = ends[i]; p < end; p++) row[pairLabels[p]] += weights[p];
      for (let s = 0; s < singles.length; s++) {
        const { cell, offset } = singles[s], place = sumsAt[window[t * width + cell]] + offset;
        for (let c = 0; c < C; c++) row[c] += sums[place + c];
      }
      for (let c = 0; c < C; c++) emissions[at + c] = row[c];
    }
  }
}
