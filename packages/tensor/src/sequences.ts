import { asInt32, type TensorLike } from "./convert.ts";
import { rangeError } from "./errors.ts";

/** How many rows of each of B sequences count: int32 [B] in [0, most]; not given, `most` each. An array of its own: that of a resident tensor moves when memory grows. A problem is reported with `where` and `argument`. */
export function asLengths(where: string, argument: string, given: TensorLike | undefined, batch: number, most: number): Int32Array {
  if (given === undefined) return new Int32Array(batch).fill(most);
  const { data, shape } = asInt32(where, argument, given);
  if (data.length !== batch) throw rangeError(where, argument, `of shape [${batch}]`, `[${shape.join(", ")}]`);
  const bad = data.findIndex((length) => !(length >= 0 && length <= most));
  if (bad >= 0) throw rangeError(where, argument, `in [0, ${most}]`, `${data[bad]} at index ${bad}`);
  return data.slice();
}

/** Where each sequence begins among N rows, and N: int32 [B + 1] from 0 to N, not decreasing; not given, one sequence. An array of its own, as `asLengths`. */
export function asOffsets(where: string, argument: string, given: TensorLike | undefined, rows: number): Int32Array {
  if (given === undefined) return Int32Array.of(0, rows);
  const { data } = asInt32(where, argument, given), last = data.length - 1;
  if (last < 0 || data[0] !== 0 || data[last] !== rows) throw rangeError(where, argument, `from 0 to ${rows}`, last < 0 ? "none" : `${data[0]} to ${data[last]}`);
  for (let b = 1; b <= last; b++) if (data[b] < data[b - 1]) throw rangeError(where, argument, "not decreasing", `${data[b]} after ${data[b - 1]} at index ${b}`);
  return data.slice();
}
