import type { JsonFields } from "@logits/tensor";
import type { ChainStates } from "../chainModel.ts";

/** A number that says which model a state belongs to: FNV-1a of its arcs and edges. Not proof against intent. */
export function fingerprint({ chain: { arcs }, labelOf, start, end }: ChainStates): number {
  let hash = 0x811c9dc5;
  for (const list of [labelOf, arcs.starts, arcs.sources, arcs.scores, start, end]) {
    const words = new Uint32Array(list.buffer, list.byteOffset, list.length);
    for (let k = 0; k < words.length; k++) hash = Math.imul(hash ^ words[k], 0x01000193);
  }
  return hash >>> 0;
}

/** Reads the fingerprint of the model that wrote a state. */
export function checkModel(fields: JsonFields, states: ChainStates): void {
  const found = fields.integer("model", 0, 0xffffffff), own = fingerprint(states);
  if (found !== own) fields.fail("model", `${own}`, `${found}`, "Restore it with the model that it was made with");
}

/** Logarithms as JSON: null is -Infinity. */
export function toNumbers(x: ArrayLike<number>): (number | null)[] {
  return Array.from(x, (v) => (v === -Infinity ? null : v));
}

/** Reads lists that `toNumbers` wrote, each of `size`; at most `most` of them. */
export function numberLists(fields: JsonFields, field: string, size: number, most: number): Float64Array[] {
  const given = fields.value(field), expected = `lists of ${size} finite numbers or null`;
  if (!Array.isArray(given) || given.length > most) return fields.fail(field, expected, Array.isArray(given) ? `${given.length} lists` : "something else");
  return given.map((list: unknown) => numbersOf(fields, field, list, size));
}

/** Reads one list that `toNumbers` wrote. */
export function numbers(fields: JsonFields, field: string, size: number): Float64Array {
  return numbersOf(fields, field, fields.value(field), size);
}

function numbersOf(fields: JsonFields, field: string, list: unknown, size: number): Float64Array {
  const expected = `${size} finite numbers or null`;
  if (!Array.isArray(list) || list.length !== size) return fields.fail(field, expected, Array.isArray(list) ? `${list.length}` : "something else");
  const bad = list.findIndex((v) => v !== null && !(typeof v === "number" && Number.isFinite(v)));
  if (bad >= 0) fields.fail(field, expected, `${typeof list[bad] === "number" ? `${list[bad] as number}` : typeof list[bad]} at index ${bad}`);
  return Float64Array.from(list as (number | null)[], (v) => v ?? -Infinity);
}
