import type { Columns } from "./conll.ts";
import type { ModelFile } from "./modelFile.ts";
import { cellAt, macroOf, planOf, type FeatureTemplates } from "./templates.ts";

/** A value of a cell: what the macros make of it, in UTF-8, and the sums of the weights of the groups that read it alone. */
interface Cell {
  readonly text: string;
  readonly outside: boolean;
  /** By macro; null where there is none. */
  readonly values: (Uint8Array | null | undefined)[];
  /** By group. */
  readonly rows: (Float64Array | undefined)[];
}

/** A template as bytes: pieces of text around macros. */
interface Line {
  readonly texts: readonly Uint8Array[];
  /** Index among the cells of the group, and of the macro. */
  readonly macros: readonly (readonly [cell: number, macro: number])[];
}

/** Values of cells that are remembered. */
const REMEMBERED = 65536;
const ENCODER = new TextEncoder();

/** Sums of the weights of tokens' attributes. Attributes are put together and looked up as bytes: no string is made of one. */
export class AttributeScores {
  readonly #file: ModelFile;
  readonly #macros: ReturnType<typeof planOf>["macros"];
  readonly #groups: readonly { readonly cells: readonly (readonly [row: number, column: number])[]; readonly lines: readonly Line[] }[];
  readonly #known = new Map<string, Cell>();
  readonly #outside = new Map<string, Cell>();
  #room = new Uint8Array(512);

  constructor(file: ModelFile, templates: FeatureTemplates) {
    this.#file = file;
    const { groups, macros } = planOf(templates);
    this.#macros = macros;
    this.#groups = groups.map(({ cells, templates: lines }) => ({
      cells,
      lines: lines.map(({ texts, macros }) => ({ texts: texts.map((text) => ENCODER.encode(text)), macros: macros.map(({ row, column, index }) => [cells.findIndex(([r, c]) => r === row && c === column), index] as const) })),
    }));
  }

  /** Adds the sums of token t to row. */
  add(tokens: readonly Columns[], t: number, row: Float64Array): void {
    for (let g = 0; g < this.#groups.length; g++) {
      const { cells, lines } = this.#groups[g];
      if (cells.length === 1) {
        const cell = this.#cell(tokens, t + cells[0][0], cells[0][1]);
        const sums = (cell.rows[g] ??= this.#sums(lines, [cell], new Float64Array(row.length)));
        for (let c = 0; c < row.length; c++) row[c] += sums[c];
      } else this.#sums(lines, cells.map(([r, column]) => this.#cell(tokens, t + r, column)), row);
    }
  }

  #cell(tokens: readonly Columns[], t: number, column: number): Cell {
    const outside = t < 0 || t >= tokens.length, text = cellAt(tokens, t, column), known = outside ? this.#outside : this.#known;
    let cell = known.get(text);
    if (cell === undefined) {
      if (known.size >= REMEMBERED) known.clear();
      known.set(text, (cell = { text, outside, values: new Array<undefined>(this.#macros.length).fill(undefined), rows: new Array<undefined>(this.#groups.length).fill(undefined) }));
    }
    return cell;
  }

  #value(cell: Cell, macro: number): Uint8Array | null {
    let value = cell.values[macro];
    if (value === undefined) {
      const text = cell.outside ? cell.text : macroOf(this.#macros[macro], cell.text);
      cell.values[macro] = value = text === undefined ? null : ENCODER.encode(text);
    }
    return value;
  }

  #sums(lines: readonly Line[], cells: readonly Cell[], row: Float64Array): Float64Array {
    const { pairStarts, pairLabels, weights } = this.#file;
    for (const { texts, macros } of lines) {
      let size = this.#put(texts[0], 0);
      for (let m = 0; m < macros.length; m++) {
        const value = this.#value(cells[macros[m][0]], macros[m][1]);
        if (value === null) {
          size = -1;
          break;
        }
        size = this.#put(texts[m + 1], this.#put(value, size));
      }
      const a = size < 0 ? -1 : this.#file.findBytes(this.#room, size);
      if (a >= 0) for (let p = pairStarts[a], stop = pairStarts[a + 1]; p < stop; p++) row[pairLabels[p]] += weights[p];
    }
    return row;
  }

  #put(bytes: Uint8Array, at: number): number {
    const end = at + bytes.length;
    if (end > this.#room.length) {
      const room = new Uint8Array(2 * end);
      room.set(this.#room);
      this.#room = room;
    }
    const room = this.#room;
    for (let i = 0; i < bytes.length; i++) room[at + i] = bytes[i];
    return end;
  }
}
