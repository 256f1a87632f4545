/** Page 0 holds the families' static data. */
const STATIC = 65536;
const PAGE = 65536;

let memory: WebAssembly.Memory | undefined;
let floats = new Float32Array(0);
// Pure, so that a bundle without integer kernels drops them.
let ints = /* @__PURE__ */ new Int32Array(0);
let bytes = /* @__PURE__ */ new Uint8Array(0);
let arena = STATIC;
let arenaBytes = 16 * PAGE;
let uses = 0;

/** Regions [start, end) that the arena has left behind: the heap takes them. */
export const spare: [number, number][] = [];

/** The memory that all families import; made at first use: static data and an arena of 1 MiB. */
export function wasmMemory(): WebAssembly.Memory {
  if (!memory) {
    // Not the last page: the end of a block there would be 2^32, which is 0 to a kernel.
    memory = new WebAssembly.Memory({ initial: 17, maximum: 65535 });
  }
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

/** Makes the memory larger by whole pages that hold `size` bytes; the address where the new ones begin. */
export function grow(size: number): number {
  const end = wasmMemory().buffer.byteLength;
  try {
    return wasmMemory().grow(Math.ceil(size / PAGE)) * PAGE;
  } catch (cause) {
    throw new RangeError(`core-wasm: expected room for ${size} more bytes, got a memory that cannot grow beyond ${end}. Dispose of tensors`, { cause });
  }
}

/**
 * Room for one call: the same block every time, grown to the largest request so far. Nothing survives in it from one
 * public call to the next, and no public operation calls another while it holds it.
 */
export function scratch(size: number): number {
  uses++;
  if (size > arenaBytes) {
    const end = wasmMemory().buffer.byteLength;
    if (arena + arenaBytes === end) grow(size - arenaBytes);
    else {
      const from = grow(size);
      spare.push([arena, arena + arenaBytes]);
      arena = from;
    }
    arenaBytes = wasmMemory().buffer.byteLength - arena;
  }
  return arena;
}

/** How often `scratch` was asked: work that pauses finds what it left there if nothing else has asked since. */
export const scratchUses = (): number => uses;
