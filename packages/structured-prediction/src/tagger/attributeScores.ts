import type { Columns } from "./conll.ts";
import { PRIME, SEED, type ModelFile } from "./modelFile.ts";
import { cellAt, macroOf, planOf, type FeatureTemplates } from "./templates.ts";

/** A value of a cell. Its parts lie in the pools; -1 = not made yet, -2 = none. */
interface Cell {
  readonly text: string;
  readonly outside: boolean;
  /** By macro: where what it makes of the cell lies in UTF-8, and where it ends. */
  readonly starts: number[];
  readonly ends: number[];
  /** By group that reads this cell alone: where its sums lie. */
  readonly rows: number[];
}

/** A template as bytes: pieces of text around macros. */
interface Line {
  readonly texts: readonly Uint8Array[];
  /** Index among the cells of the group, and of the macro. */
  readonly cells: readonly number[];
  readonly macros: readonly number[];
}

interface Group {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly lines: readonly Line[];
}

/** Numbers and bytes that are remembered: 16 MB of each. */
const NUMBERS = 1 << 21, BYTES = 1 << 24;
const ENCODER = new TextEncoder();

/**
 * Sums of the weights of tokens' attributes. Attributes are put together and looked up as bytes: no string is made of one. What a cell alone decides is made once for
 * each of its values.
 */
export class AttributeScores {
  readonly #file: ModelFile;
  readonly #macros: ReturnType<typeof planOf>["macros"];
  readonly #groups: readonly Group[];
  readonly #known = new Map<string, Cell>();
  readonly #outside = new Map<string, Cell>();
  #sums = new Float64Array(4096);
  #summed = 0;
  #bytes = new Uint8Array(65536);
  #used = 0;
  #room = new Uint8Array(512);
  #filled = 0;
  /** Attributes of a token that are asked for: their hashes, where their bytes end, where their weights go, and what they are. */
  #count = 0;
  readonly #hashes: Int32Array;
  readonly #ends: Int32Array;
  readonly #targets: Int32Array;
  readonly #found: Int32Array;
  /** By group: where the sums of its one cell lie. */
  readonly #alone: Int32Array;
  readonly #cells: Cell[] = [];

  constructor(file: ModelFile, templates: FeatureTemplates) {
    this.#file = file;
    const { groups, macros } = planOf(templates);
    this.#macros = macros;
    this.#groups = groups.map(({ cells, templates: lines }) => ({
      rows: cells.map(([row]) => row), columns: cells.map(([, column]) => column),
      lines: lines.map(({ texts, macros: places }) => ({
        texts: texts.map((text) => ENCODER.encode(text)), cells: places.map(({ row, column }) => cells.findIndex(([r, c]) => r === row && c === column)), macros: places.map(({ index }) => index),
      })),
    }));
    const most = this.#groups.reduce((sum, { lines }) => sum + lines.length, 0);
    [this.#hashes, this.#ends, this.#targets, this.#found] = [new Int32Array(most), new Int32Array(most), new Int32Array(most), new Int32Array(most)];
    this.#alone = new Int32Array(this.#groups.length);
  }

  /** Adds the sums of token t to row. */
  add(tokens: readonly Columns[], t: number, row: Float64Array): void {
    if (this.#summed > NUMBERS || this.#used > BYTES) this.#forget();
    const C = row.length, groups = this.#groups, cells = this.#cells;
    this.#count = this.#filled = 0;
    for (let g = 0; g < groups.length; g++) {
      const { rows, columns, lines } = groups[g];
      for (let k = 0; k < rows.length; k++) cells[k] = this.#cell(tokens, t + rows[k], columns[k]);
      if (rows.length !== 1) this.#ask(lines, -1);
      else {
        if (cells[0].rows[g] < 0) {
          const at = (cells[0].rows[g] = this.#summed);
          this.#summed += C;
          if (this.#summed > this.#sums.length) this.#sums = grown(this.#sums, new Float64Array(2 * this.#summed));
          this.#sums.fill(0, at, at + C);
          this.#ask(lines, at);
        }
        this.#alone[g] = cells[0].rows[g];
      }
    }
    this.#answer(row);
    const sums = this.#sums;
    for (let g = 0; g < groups.length; g++) {
      if (groups[g].rows.length !== 1) continue;
      for (let c = 0, at = this.#alone[g]; c < C; c++) row[c] += sums[at + c];
    }
  }

  #forget(): void {
    this.#known.clear();
    this.#outside.clear();
    this.#summed = this.#used = 0;
  }

  #cell(tokens: readonly Columns[], t: number, column: number): Cell {
    const outside = t < 0 || t >= tokens.length, text = outside ? cellAt(tokens, t, column) : tokens[t][column], known = outside ? this.#outside : this.#known;
    let cell = known.get(text);
    if (cell === undefined) {
      const list = (n: number): number[] => new Array<number>(n).fill(-1);
      known.set(text, (cell = { text, outside, starts: list(this.#macros.length), ends: list(this.#macros.length), rows: list(this.#groups.length) }));
    }
    return cell;
  }

  /** Makes what a macro makes of a cell; where it begins among the bytes. */
  #make(cell: Cell, macro: number): number {
    const text = cell.outside ? cell.text : macroOf(this.#macros[macro], cell.text);
    if (text === undefined) return (cell.starts[macro] = -2);
    const start = this.#used;
    if (start + 3 * text.length > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(2 * (start + 3 * text.length)));
    this.#used += ENCODER.encodeInto(text, start === 0 ? this.#bytes : this.#bytes.subarray(start)).written;
    cell.ends[macro] = this.#used;
    return (cell.starts[macro] = start);
  }

  /** Puts the attributes of the cells at hand together; their weights go to the sums at `at`, or to the row where that is negative. */
  #ask(lines: readonly Line[], at: number): void {
    for (let n = 0; n < lines.length; n++) {
      const { texts, cells, macros } = lines[n], begin = this.#filled;
      let h = this.#put(texts[0], 0, texts[0].length, SEED), m = 0;
      for (; m < macros.length; m++) {
        const cell = this.#cells[cells[m]], macro = macros[m];
        let start = cell.starts[macro];
        if (start === -1) start = this.#make(cell, macro);
        if (start < 0) break;
        h = this.#put(this.#bytes, start, cell.ends[macro], h);
        const text = texts[m + 1];
        if (text.length > 0) h = this.#put(text, 0, text.length, h);
      }
      if (m < macros.length) {
        this.#filled = begin;
        continue;
      }
      const i = this.#count++;
      this.#hashes[i] = h;
      this.#ends[i] = this.#filled;
      this.#targets[i] = at;
    }
  }

  /** Looks the attributes up and adds their weights. */
  #answer(row: Float64Array): void {
    const { pairStarts, pairLabels, weights } = this.#file, count = this.#count, found = this.#found, targets = this.#targets, all = this.#sums;
    this.#file.findAll(this.#room, this.#ends, this.#hashes, count, found);
    for (let i = 0; i < count; i++) {
      const a = found[i], at = targets[i];
      if (a < 0) continue;
      if (at < 0) for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) row[pairLabels[p]] += weights[p];
      else for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) all[at + pairLabels[p]] += weights[p];
    }
  }

  /** Appends bytes to the room; their hash after what came before. */
  #put(bytes: Uint8Array, from: number, to: number, seed: number): number {
    let at = this.#filled, h = seed;
    if (at + to - from > this.#room.length) this.#room = grown(this.#room, new Uint8Array(2 * (at + to - from)));
    const room = this.#room;
    for (let i = from; i < to; i++) {
      const byte = bytes[i];
      room[at++] = byte;
      h = Math.imul(h ^ byte, PRIME);
    }
    this.#filled = at;
    return h;
  }
}

function grown<A extends Float64Array | Uint8Array>(old: A, room: A): A {
  room.set(old);
  return room;
}
