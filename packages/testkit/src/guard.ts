import { AssertionError } from "./compare.ts";

/** Anything with a buffer that may be replaced when it grows (`WebAssembly.Memory`, a typed array). */
export interface MemoryLike {
  readonly buffer: ArrayBufferLike;
}

/** How a range is guarded. */
export interface GuardOptions {
  /** Bytes of one element of the range: 4 (float32, int32; default), 1 (uint8), 2 or 8. */
  readonly elementBytes?: number;
  /** Guard words of 4 bytes on each side; default 16. */
  readonly words?: number;
  /** Printed first in the message of a failure. */
  readonly label?: string;
}

/** A range whose surroundings are watched. */
export interface Guarded {
  /** Throws if a guard word was changed, or the range is not what it has to be (output: everything written; input: nothing written). */
  check(): void;
}

// A signalling NaN before and after: reading it spoils a float32 result, writing it is seen by check().
const GUARD = 0x7fa0cafe;
// A quiet NaN inside, with a payload that no arithmetic makes.
const POISON = 0x7fc0dead;

/**
 * Watches an output range of `length` elements at byte address `pointer`: guard words before and after, NaN poison inside.
 * `check()` fails if a guard word was changed or an element is still the poison. Where elements are bytes, a legitimate 0x7f, 0xc0, 0xde
 * or 0xad at its place in the pattern reads as poison; masks of 0 and 1 never do.
 *
 * @example
 *   const output = guarded(memory, pointer, rows);
 *   kernels.f32_log_sum_exp(input, pointer, rows, cols);
 *   output.check();
 */
export function guarded(memory: MemoryLike, pointer: number, length: number, options: GuardOptions = {}): Guarded {
  const { elementBytes = 4, label = "guarded" } = options;
  const guards = fence(memory, pointer, length * elementBytes, options);
  const inside = new Uint8Array(memory.buffer, pointer, length * elementBytes);
  for (let i = 0; i < inside.length; i++) inside[i] = byteOf(POISON, i);
  return {
    check() {
      guards();
      const now = new Uint8Array(memory.buffer, pointer, length * elementBytes);
      for (let i = 0; i < length; i++) {
        let poisoned = true;
        for (let b = i * elementBytes; b < (i + 1) * elementBytes; b++) poisoned &&= now[b] === byteOf(POISON, b);
        if (poisoned) throw new AssertionError(`${label}: element ${i} of ${length} was never written`);
      }
    },
  };
}

/**
 * Writes an input at byte address `pointer` and watches it: guard words of NaN before and after (a kernel that reads beyond the range spoils
 * its result), and `check()` fails if a guard word or a byte of the input was changed.
 */
export function guardedInput(memory: MemoryLike, pointer: number, values: ArrayBufferView, options: GuardOptions = {}): Guarded {
  const { label = "guardedInput" } = options;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  const guards = fence(memory, pointer, bytes.length, options);
  new Uint8Array(memory.buffer, pointer, bytes.length).set(bytes);
  return {
    check() {
      guards();
      const now = new Uint8Array(memory.buffer, pointer, bytes.length);
      const at = bytes.findIndex((byte, i) => byte !== now[i]);
      if (at >= 0) throw new AssertionError(`${label}: the input was changed at byte ${at} of ${bytes.length}`);
    },
  };
}

function byteOf(pattern: number, i: number): number {
  return (pattern >>> (8 * (i % 4))) & 255;
}

function fence(memory: MemoryLike, pointer: number, bytes: number, { words = 16, label = "guarded" }: GuardOptions): () => void {
  const width = 4 * words;
  if (pointer < width || pointer + bytes + width > memory.buffer.byteLength) {
    throw new AssertionError(`${label}: no room for ${width} guard bytes on both sides of [${pointer}, ${pointer + bytes}) in ${memory.buffer.byteLength} bytes`);
  }
  const sides = [{ name: "before", start: pointer - width }, { name: "after", start: pointer + bytes }];
  for (const { start } of sides) {
    const view = new DataView(memory.buffer, start, width);
    for (let i = 0; i < words; i++) view.setUint32(4 * i, GUARD, true);
  }
  return () => {
    for (const { name, start } of sides) {
      const view = new DataView(memory.buffer, start, width);
      for (let i = 0; i < words; i++) {
        const value = view.getUint32(4 * i, true);
        if (value === GUARD) continue;
        const distance = name === "before" ? `${width - 4 * i} bytes before the range` : `${4 * i} bytes after its end`;
        throw new AssertionError(`${label}: guard word ${i} ${name} the range (${distance}) was changed to 0x${value.toString(16).padStart(8, "0")}`);
      }
    }
  };
}
