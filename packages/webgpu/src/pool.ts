import { rangeError } from "@logits/tensor";
import type { GpuBufferLike, GpuDeviceLike } from "./device.ts";

/** A buffer and who uses it. */
export interface Slot {
  readonly buffer: GpuBufferLike;
  /** The bytes that the pool counts; 0 for an adopted buffer, which is its owner's. */
  readonly bytes: number;
  /** Tensors that share it. */
  users: number;
  /** Whether its elements are float16, two in a word; of 4 bytes otherwise. */
  half: boolean;
  /** What the device said of its making: undefined once it is known to be good. */
  doubt: Promise<Error | undefined> | undefined;
  /** The device refused it. */
  failed: boolean;
}

/** Sizes in steps of a quarter of their power of two, so that tensors of about one size share buffers. */
export function sizeClass(bytes: number): number {
  let step = 64;
  while (step * 8 < bytes) step *= 2;
  return Math.max(256, Math.ceil(bytes / step) * step);
}

/** Buffers that are given back wait here for the next tensor of their size. The queue keeps the order, so that a buffer may be written again at once. */
export class BufferPool {
  /** Bytes of all living buffers that this pool made. */
  bytes = 0;
  /** Their number. */
  buffers = 0;
  /** Bytes of those that wait. */
  idle = 0;
  readonly #free: Map<number, Slot[]> = new Map();
  readonly #device: GpuDeviceLike;
  readonly #usage: number;
  readonly #most: number;

  constructor(device: GpuDeviceLike, usage: number, most: number) {
    this.#device = device;
    this.#usage = usage;
    this.#most = most;
  }

  /** A buffer of at least `bytes` bytes with one user; what it holds is left from before. */
  take(where: string, bytes: number): Slot {
    const size = sizeClass(bytes);
    for (let waiting = this.#free.get(size)?.pop(); waiting !== undefined; waiting = this.#free.get(size)?.pop()) {
      this.idle -= size;
      if (waiting.failed) {
        this.#drop(waiting);
        continue;
      }
      waiting.users = 1;
      waiting.half = false;
      return waiting;
    }
    const { maxBufferSize } = this.#device.limits;
    if (bytes > maxBufferSize) throw rangeError(where, "result", `of at most ${maxBufferSize} bytes (maxBufferSize of the device)`, `${bytes}`, "Work on fewer rows at a time");
    const actual = Math.min(size, Math.floor(maxBufferSize / 4) * 4);
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer({ size: actual, usage: this.#usage, label: "@logits/webgpu" });
    const slot: Slot = { buffer, bytes: size, users: 1, half: false, doubt: undefined, failed: false };
    slot.doubt = this.#device.popErrorScope().then(
      (error) => {
        slot.failed = error !== null;
        slot.doubt = error === null ? undefined : Promise.resolve(rangeError(where, "result", "of a size that the GPU has room for", `${bytes} bytes: ${error.message || "out of memory"}`, "Dispose of tensors, or work on fewer rows at a time"));
        return slot.doubt;
      },
      // The device is lost: reading says so.
      () => undefined,
    );
    this.bytes += size;
    this.buffers++;
    return slot;
  }

  /** One user less; the last one leaves the buffer to the pool. */
  give(slot: Slot): void {
    if (--slot.users > 0 || slot.bytes === 0) return;
    const fits = !slot.failed && this.idle + slot.bytes <= this.#most;
    if (!fits) {
      this.#drop(slot);
      return;
    }
    const list = this.#free.get(slot.bytes);
    if (list) list.push(slot);
    else this.#free.set(slot.bytes, [slot]);
    this.idle += slot.bytes;
  }

  /** Destroys the buffers that wait. */
  clear(): void {
    for (const list of this.#free.values()) for (const slot of list) this.#drop(slot);
    this.#free.clear();
    this.idle = 0;
  }

  #drop(slot: Slot): void {
    slot.buffer.destroy();
    this.bytes -= slot.bytes;
    this.buffers--;
  }
}
