import { rangeError, type Steps } from "@logits/tensor";
import { pieceOf, type Rows } from "./rows.ts";

/** Where a row that is in both stands in each. */
interface SharedRow {
  readonly first: number;
  readonly second: number;
}

/** Refuses rows of which one is also among others, `others` in words: what serves twice breaks a promise. */
export function* checkApart(where: string, argument: string, first: Rows, second: Rows, others: string): Steps<void> {
  const twice = yield* sharedRow(first, second);
  if (twice !== undefined) throw rangeError(where, argument, `of rows that are not among ${others}`, `row ${twice.first}, which is row ${twice.second} of them`, 'Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass `duplicates: "allowed"`');
}

/**
 * The first row of one set of rows whose logits and features are, bit by bit, those of a row of the other.
 *
 * Rows that name one class and nothing else (one score, the others all equal and lower) occur twice by themselves: a saturated model says nothing more. Without features they do not count.
 */
function* sharedRow(first: Rows, second: Rows): Steps<SharedRow | undefined> {
  const features = first.features !== undefined && second.features !== undefined && first.features.shape[1] === second.features.shape[1];
  const width = second.logits.shape[1], columns = features ? second.features!.shape[1] : 0;
  const [a, b] = [first, second].map((rows) => ({ count: rows.logits.shape[0], scores: bitsOf(rows.logits.data), values: features ? bitsOf(rows.features!.data) : new Uint32Array(0) }));
  const hash = ({ scores, values }: typeof a, row: number): number => {
    let state = 0x811c9dc5;
    for (let at = row * width; at < (row + 1) * width; at++) state = mixed(state, scores[at]);
    for (let at = row * columns; at < (row + 1) * columns; at++) state = mixed(state, values[at]);
    return state;
  };
  const same = (i: number, j: number): boolean => equal(a.scores, i * width, b.scores, j * width, width) && equal(a.values, i * columns, b.values, j * columns, columns);
  // Chains of the second rows with the same hash.
  const heads = new Map<number, number>(), next = new Int32Array(b.count), piece = pieceOf(width + columns);
  for (let j = b.count - 1; j >= 0; j--) {
    const key = hash(b, j);
    next[j] = heads.get(key) ?? -1;
    heads.set(key, j);
    if (j % piece === 0) yield 0.5 * (1 - j / b.count);
  }
  for (let i = 0; i < a.count; i++) {
    if (i % piece === 0) yield 0.5 + (0.5 * i) / a.count;
    if (!features && saturated(first.logits.data, i * width, width)) continue;
    for (let j = heads.get(hash(a, i)) ?? -1; j >= 0; j = next[j]) if (same(i, j)) return { first: i, second: j };
  }
  return undefined;
}

function bitsOf(data: Float32Array): Uint32Array {
  return new Uint32Array(data.buffer, data.byteOffset, data.length);
}

/** One round of MurmurHash3. */
function mixed(state: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  state ^= k;
  return (Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64) | 0;
}

function equal(a: Uint32Array, from: number, b: Uint32Array, to: number, length: number): boolean {
  for (let c = 0; c < length; c++) if (a[from + c] !== b[to + c]) return false;
  return true;
}

function saturated(data: Float32Array, from: number, width: number): boolean {
  let low = Infinity, high = -Infinity, between = 0;
  for (let c = from; c < from + width; c++) {
    if (data[c] < low) low = data[c];
    if (data[c] > high) high = data[c];
  }
  for (let c = from; c < from + width; c++) if (data[c] !== low && data[c] !== high) between++;
  return between === 0 && (low < -80 || width === 1);
}
