import type { Columns } from "./conll.ts";
import { columnsAt } from "./dataset.ts";
import { SEED, hashed, type ModelFile } from "./modelFile.ts";
import { macroOf, nameOutside, planOf, type FeatureTemplates } from "./templates.ts";

/** A template as bytes: pieces of text around macros. */
interface Line {
  readonly texts: readonly Uint8Array[];
  /** Bytes of all texts. */
  readonly size: number;
  /** FNV-1a of the first text. */
  readonly seed: number;
  /** Of each macro: where its cell stands after the first of the token's window, and its index. */
  readonly cells: readonly number[];
  readonly macros: readonly number[];
}

/** Templates that read one cell alone. */
interface Single {
  readonly cell: number;
  /** Indices of the templates. */
  readonly lines: readonly number[];
}

/** Numbers and bytes that are remembered: 16 MB of each. */
const NUMBERS = 1 << 21, BYTES = 1 << 24;
/** Tokens that are looked up together: what is far away in memory is on its way at the same time. */
const CHUNK = 64;
/** Of a cell: what a macro makes of it is not known yet, or nothing. */
const UNKNOWN = -1, NONE = -2;
const ENCODER = new TextEncoder();

/**
 * Sums of the weights of tokens' attributes. Cells are numbered; what a cell alone decides is made once for each of its values. Other attributes are hashed piece by
 * piece and compared where they stand: neither a string nor a copy is made of one.
 */
export class AttributeScores {
  readonly #file: ModelFile;
  readonly #templates: FeatureTemplates;
  readonly #macros: ReturnType<typeof planOf>["macros"];
  readonly #lines: readonly Line[];
  readonly #singles: readonly Single[];
  /** Indices of the templates that read another number of cells than one. */
  readonly #joint: readonly number[];
  /** Columns that templates read, and the rows of the window before and after the token. */
  readonly #columns: readonly number[];
  readonly #before: number;
  readonly #after: number;
  readonly #row: Float64Array;

  /** Numbers of the cells that are known, and of those before and after a sentence, [before + after]. */
  readonly #known = new Map<string, number>();
  readonly #edges: Int32Array;
  #cells = 0;
  /** [cells, macros]: where what the macro makes of the cell begins among the bytes, or UNKNOWN or NONE; and where it ends. */
  #starts = new Int32Array(0);
  #ends = new Int32Array(0);
  #bytes = new Uint8Array(65536);
  #used = 0;
  /** [cells, singles]: where the sums of the cell's attributes lie, or UNKNOWN. */
  #places = new Int32Array(0);
  #sums = new Float64Array(4096);
  #summed = 0;

  /** Cells of the tokens at hand with the windows around, [before + tokens + after, columns]. */
  readonly #window: Int32Array;
  /** Attributes that are asked for: template, where the window begins, hash; what they are. */
  readonly #asked: Int32Array;
  readonly #froms: Int32Array;
  readonly #hashes: Int32Array;
  readonly #found: Int32Array;
  #count = 0;

  constructor(file: ModelFile, templates: FeatureTemplates) {
    this.#file = file;
    this.#templates = templates;
    const { groups, macros } = planOf(templates), rows = groups.flatMap(({ cells }) => cells.map(([row]) => row));
    this.#macros = macros;
    this.#before = Math.max(0, ...rows.map((row) => -row));
    this.#after = Math.max(0, ...rows);
    this.#columns = [...new Set(groups.flatMap(({ cells }) => cells.map(([, column]) => column)))];
    const placeOf = (row: number, column: number): number => (this.#before + row) * this.#columns.length + this.#columns.indexOf(column);
    const lines: Line[] = [], singles: Single[] = [], joint: number[] = [];
    for (const { cells, templates: members } of groups) {
      const numbers = members.map(({ texts, macros: places }) => {
        const bytes = texts.map((text) => ENCODER.encode(text));
        return lines.push({
          texts: bytes, size: bytes.reduce((sum, { length }) => sum + length, 0), seed: hashed(bytes[0], 0, bytes[0].length, SEED),
          cells: places.map(({ row, column }) => placeOf(row, column)), macros: places.map(({ index }) => index),
        }) - 1;
      });
      if (cells.length === 1) singles.push({ cell: placeOf(...cells[0]), lines: numbers });
      else joint.push(...numbers);
    }
    [this.#lines, this.#singles, this.#joint] = [lines, singles, joint];
    this.#edges = new Int32Array(this.#before + this.#after).fill(UNKNOWN);
    this.#row = new Float64Array(file.labels.length);
    this.#window = new Int32Array((this.#before + CHUNK + this.#after) * this.#columns.length);
    const most = Math.max(CHUNK * joint.length, ...singles.map(({ lines: { length } }) => length));
    [this.#asked, this.#froms, this.#hashes, this.#found] = [new Int32Array(most), new Int32Array(most), new Int32Array(most), new Int32Array(most)];
  }

  /** Writes the sums of a sentence's tokens to emissions, from `at` on. */
  write(where: string, argument: string, tokens: readonly (string | Columns)[], emissions: Float32Array, at: number): void {
    for (let t = 0; t < tokens.length; t++) if (typeof tokens[t] !== "string" || this.#templates.columns > 1) columnsAt(where, argument, tokens[t], t, this.#templates.columns);
    for (let from = 0; from < tokens.length; from += CHUNK) {
      if (this.#summed > NUMBERS || this.#used > BYTES) this.#forget();
      const count = Math.min(CHUNK, tokens.length - from);
      this.#look(tokens, from, count);
      this.#makeSums(count);
      this.#count = 0;
      for (let t = 0; t < count; t++) this.#ask(this.#joint, t * this.#columns.length);
      this.#answer();
      this.#add(count, emissions, at + from * this.#row.length);
    }
  }

  #forget(): void {
    this.#known.clear();
    this.#edges.fill(UNKNOWN);
    this.#cells = this.#summed = this.#used = 0;
  }

  /** Numbers the cells of `count` tokens and of what stands around them. */
  #look(tokens: readonly (string | Columns)[], from: number, count: number): void {
    const columns = this.#columns, window = this.#window, known = this.#known, T = tokens.length;
    let at = 0;
    for (let t = from - this.#before; t < from + count + this.#after; t++) {
      const token = t < 0 || t >= T ? undefined : tokens[t];
      for (let k = 0; k < columns.length; k++) {
        if (token === undefined) window[at++] = this.#edge(t, T);
        else {
          const text = typeof token === "string" ? token : token[columns[k]];
          let cell = known.get(text);
          if (cell === undefined) known.set(text, (cell = this.#number(text, true)));
          window[at++] = cell;
        }
      }
    }
  }

  /** The number of the cells at t, outside a sentence of T tokens. */
  #edge(t: number, T: number): number {
    const at = t < 0 ? this.#before + t : this.#before + t - T;
    if (this.#edges[at] === UNKNOWN) this.#edges[at] = this.#number(nameOutside(t, T), false);
    return this.#edges[at];
  }

  /** Makes everything that macros make of a new cell; outside a sentence they change nothing. */
  #number(text: string, inside: boolean): number {
    const cell = this.#cells++, macros = this.#macros;
    if (this.#cells * macros.length > this.#starts.length) {
      this.#starts = grown(this.#starts, new Int32Array(2 * this.#cells * macros.length));
      this.#ends = grown(this.#ends, new Int32Array(2 * this.#cells * macros.length));
    }
    if (this.#cells * this.#singles.length > this.#places.length) this.#places = grown(this.#places, new Int32Array(2 * this.#cells * this.#singles.length));
    this.#places.fill(UNKNOWN, cell * this.#singles.length, this.#cells * this.#singles.length);
    for (let m = 0, at = cell * macros.length; m < macros.length; m++, at++) {
      const part = inside ? macroOf(macros[m], text) : text;
      this.#starts[at] = part === undefined ? NONE : this.#used;
      if (part !== undefined) this.#append(part);
      this.#ends[at] = this.#used;
    }
    return cell;
  }

  #append(text: string): void {
    const start = this.#used;
    if (start + 3 * text.length > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(2 * (start + 3 * text.length)));
    const bytes = this.#bytes;
    let i = 0;
    // Of a few letters a loop is faster than the encoder.
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      bytes[start + i] = code;
    }
    this.#used += i === text.length ? i : ENCODER.encodeInto(text, bytes.subarray(start)).written;
  }

  /** Makes the sums of cells alone that are not there yet. */
  #makeSums(count: number): void {
    const singles = this.#singles, window = this.#window, width = this.#columns.length, C = this.#row.length;
    const { pairStarts, pairLabels, weights } = this.#file;
    for (let s = 0; s < singles.length; s++) {
      const { cell, lines } = singles[s];
      for (let t = 0; t < count; t++) {
        const from = t * width, place = window[from + cell] * singles.length + s;
        if (this.#places[place] !== UNKNOWN) continue;
        const at = (this.#places[place] = this.#summed);
        this.#summed += C;
        if (this.#summed > this.#sums.length) this.#sums = grown(this.#sums, new Float64Array(2 * this.#summed));
        const sums = this.#sums, found = this.#found;
        sums.fill(0, at, at + C);
        this.#count = 0;
        this.#ask(lines, from);
        this.#answer();
        for (let i = 0; i < this.#count; i++) if (found[i] >= 0) for (let p = pairStarts[found[i]], stop = pairStarts[found[i] + 1]; p < stop; p++) sums[at + pairLabels[p]] += weights[p];
      }
    }
  }

  /** Hashes the attributes that templates make of the window that begins at `from`. */
  #ask(numbers: readonly number[], from: number): void {
    const lines = this.#lines, window = this.#window, starts = this.#starts, ends = this.#ends, bytes = this.#bytes, M = this.#macros.length;
    let count = this.#count;
    for (let n = 0; n < numbers.length; n++) {
      const { seed, texts, cells, macros } = lines[numbers[n]];
      let h = seed, m = 0;
      for (; m < macros.length; m++) {
        const part = window[from + cells[m]] * M + macros[m], start = starts[part];
        if (start === NONE) break;
        h = hashed(bytes, start, ends[part], h);
        const text = texts[m + 1];
        if (text.length > 0) h = hashed(text, 0, text.length, h);
      }
      if (m < macros.length) continue;
      this.#asked[count] = numbers[n];
      this.#froms[count] = from;
      this.#hashes[count++] = h;
    }
    this.#count = count;
  }

  /** Finds what has been asked for. */
  #answer(): void {
    const file = this.#file, found = this.#found, count = this.#count;
    file.candidates(this.#hashes, count, found);
    for (let i = 0; i < count; i++) if (found[i] >= 0 && !this.#same(found[i], this.#lines[this.#asked[i]], this.#froms[i])) found[i] = this.#find(i);
  }

  /** Whether the attribute is what the template makes of the window. */
  #same(attribute: number, { texts, size, cells, macros }: Line, from: number): boolean {
    const { names, nameEnds } = this.#file, window = this.#window, starts = this.#starts, ends = this.#ends, bytes = this.#bytes, M = this.#macros.length;
    let at = attribute === 0 ? 0 : nameEnds[attribute - 1], rest = nameEnds[attribute] - at - size;
    for (let m = 0; m < macros.length; m++) {
      const part = window[from + cells[m]] * M + macros[m];
      rest -= ends[part] - starts[part];
    }
    if (rest !== 0) return false;
    for (let m = 0; ; m++) {
      const text = texts[m];
      for (let i = 0; i < text.length; i++) if (names[at++] !== text[i]) return false;
      if (m === macros.length) return true;
      const part = window[from + cells[m]] * M + macros[m];
      for (let i = starts[part], end = ends[part]; i < end; i++) if (names[at++] !== bytes[i]) return false;
    }
  }

  /** The seldom case: another attribute stands where this one could. */
  #find(i: number): number {
    const { texts, cells, macros } = this.#lines[this.#asked[i]], parts: Uint8Array[] = [texts[0]];
    for (let m = 0; m < macros.length; m++) {
      const part = this.#window[this.#froms[i] + cells[m]] * this.#macros.length + macros[m];
      parts.push(this.#bytes.subarray(this.#starts[part], this.#ends[part]), texts[m + 1]);
    }
    const name = Uint8Array.from(parts.flatMap((part) => [...part]));
    return this.#file.find(name, 0, name.length, this.#hashes[i]);
  }

  /** Adds what was found, and the sums of cells alone. */
  #add(count: number, emissions: Float32Array, at: number): void {
    const { pairStarts, pairLabels, weights } = this.#file, singles = this.#singles, S = singles.length, window = this.#window, width = this.#columns.length;
    const places = this.#places, sums = this.#sums, row = this.#row, C = row.length, found = this.#found, froms = this.#froms, asked = this.#count;
    for (let t = 0, i = 0; t < count; t++, at += C) {
      const from = t * width;
      row.fill(0);
      for (; i < asked && froms[i] === from; i++) {
        const a = found[i];
        if (a >= 0) for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) row[pairLabels[p]] += weights[p];
      }
      for (let s = 0; s < S; s++) {
        const place = places[window[from + singles[s].cell] * S + s];
        for (let c = 0; c < C; c++) row[c] += sums[place + c];
      }
      for (let c = 0; c < C; c++) emissions[at + c] = row[c];
    }
  }
}

function grown<A extends Float64Array | Int32Array | Uint8Array>(old: A, room: A): A {
  room.set(old);
  return room;
}
