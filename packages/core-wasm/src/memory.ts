import { BackendUnavailableError } from "@logits/tensor";

/** Page 0 holds the families' static data; the heap begins behind it. */
const HEAP = 65536;
const PAGE = 65536;
const ALIGN = 64;
const FIRST_PAGES = 17;

let memory: WebAssembly.Memory | undefined;
let floats = new Float32Array(0);
let ints = new Int32Array(0);
let bytes = new Uint8Array(0);
/** Free blocks as [start, end), sorted and never adjacent. */
let free: [number, number][] = [];
let arena = 0;
let arenaBytes = 0;

/** The memory that all families import; made at first use. */
export function wasmMemory(): WebAssembly.Memory {
  if (memory) return memory;
  if (typeof WebAssembly !== "object") throw new BackendUnavailableError("core-wasm: this engine has no WebAssembly");
  memory = new WebAssembly.Memory({ initial: FIRST_PAGES });
  free = [[HEAP, FIRST_PAGES * PAGE]];
  return memory;
}

/** All of the memory as float32. Growth detaches a view (length 0), so views are asked for again, never kept. */
export function floatView(): Float32Array {
  return floats.length ? floats : (floats = new Float32Array(wasmMemory().buffer));
}

/** All of the memory as int32. */
export function intView(): Int32Array {
  return ints.length ? ints : (ints = new Int32Array(wasmMemory().buffer));
}

/** All of the memory as bytes. */
export function byteView(): Uint8Array {
  return bytes.length ? bytes : (bytes = new Uint8Array(wasmMemory().buffer));
}

/** A block of at least `size` bytes on a 64-byte boundary: first fit, else the memory grows. */
export function allocate(size: number): number {
  const owner = wasmMemory();
  const need = Math.max(ALIGN, Math.ceil(size / ALIGN) * ALIGN);
  for (let i = 0; ; i++) {
    if (i === free.length) {
      const end = owner.buffer.byteLength;
      const last = free.at(-1);
      const missing = need - (last && last[1] === end ? end - last[0] : 0);
      try {
        owner.grow(Math.ceil(missing / PAGE));
      } catch (cause) {
        throw new RangeError(`core-wasm: expected room for ${size} bytes, got a memory of ${end} bytes that cannot grow so far. Work in smaller batches or dispose() tensors`, { cause });
      }
      release(end, owner.buffer.byteLength - end);
      i = free.length - 1;
    }
    const block = free[i];
    if (block[1] - block[0] < need) continue;
    const start = block[0];
    block[0] += need;
    if (block[0] === block[1]) free.splice(i, 1);
    return start;
  }
}

/** Gives a block back; neighbours are joined. */
export function release(start: number, size: number): void {
  const end = start + Math.max(ALIGN, Math.ceil(size / ALIGN) * ALIGN);
  let i = free.findIndex((block) => block[0] > start);
  if (i < 0) i = free.length;
  free.splice(i, 0, [start, end]);
  if (i + 1 < free.length && free[i + 1][0] === end) free[i][1] = free.splice(i + 1, 1)[0][1];
  if (i > 0 && free[i - 1][1] === start) free[i - 1][1] = free.splice(i, 1)[0][1];
}

/** Bytes in use by resident tensors and the arena. */
export function bytesInUse(): number {
  return memory ? free.reduce((used, [start, end]) => used - (end - start), memory.buffer.byteLength - HEAP) : 0;
}

/**
 * Room for one call: the same block every time, grown to the largest request so far. Nothing survives in it from one
 * public call to the next, and no public operation calls another while it holds it.
 */
export function scratch(size: number): number {
  if (size > arenaBytes) {
    if (arenaBytes) release(arena, arenaBytes);
    arenaBytes = 0;
    arena = allocate(size);
    arenaBytes = size;
  }
  return arena;
}
