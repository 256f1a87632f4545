import { grow, spare, wasmMemory } from "./memory.ts";

const ALIGN = 64;

/** Free blocks as [start, end), sorted and never adjacent. */
const free: [number, number][] = [];

const rounded = (size: number): number => Math.max(ALIGN, Math.ceil(size / ALIGN) * ALIGN);

/** A block of at least `size` bytes on a 64-byte boundary: first fit, else the memory grows. */
export function allocate(size: number): number {
  const need = rounded(size);
  for (const [start, end] of spare.splice(0)) join(start, end);
  let block = free.find(([start, end]) => end - start >= need);
  if (!block) {
    const last = free.at(-1);
    const atEnd = last !== undefined && last[1] === wasmMemory().buffer.byteLength ? last[1] - last[0] : 0;
    join(grow(need - atEnd), wasmMemory().buffer.byteLength);
    block = free.at(-1)!;
  }
  const start = block[0];
  block[0] += need;
  if (block[0] === block[1]) free.splice(free.indexOf(block), 1);
  return start;
}

/** Gives a block back. */
export function release(start: number, size: number): void {
  join(start, start + rounded(size));
}

/** Adds a free region; neighbours become one. */
function join(start: number, end: number): void {
  let i = free.findIndex((block) => block[0] > start);
  if (i < 0) i = free.length;
  free.splice(i, 0, [start, end]);
  if (i + 1 < free.length && free[i + 1][0] === end) free[i][1] = free.splice(i + 1, 1)[0][1];
  if (i > 0 && free[i - 1][1] === start) free[i - 1][1] = free.splice(i, 1)[0][1];
}

/** Bytes in use: static data, the arena and resident tensors. */
export function bytesInUse(): number {
  return [...free, ...spare].reduce((used, [start, end]) => used - (end - start), wasmMemory().buffer.byteLength);
}
