import { describe, expect, it } from "vitest";
import type { GpuDeviceLike } from "./device.ts";
import { BufferPool, sizeClass } from "./pool.ts";

/** A device of plain objects that counts. */
function device(refuse = false): { device: GpuDeviceLike; living: () => number } {
  let living = 0;
  const made = {
    limits: { maxBufferSize: 1 << 20 },
    createBuffer: ({ size }: { size: number }) => {
      living++;
      return { size, destroy: () => void living-- };
    },
    pushErrorScope: () => undefined,
    popErrorScope: () => Promise.resolve(refuse ? { message: "" } : null),
  };
  return { device: made as unknown as GpuDeviceLike, living: () => living };
}

describe("BufferPool", () => {
  it("rounds sizes up by at most a quarter, from 256 bytes", () => {
    expect([1, 256, 257, 512, 513, 1000, 1025].map(sizeClass)).toEqual([256, 256, 320, 512, 640, 1024, 1280]);
    for (let bytes = 1024; bytes < 1e9; bytes = Math.floor(bytes * 1.37)) {
      expect(sizeClass(bytes)).toBeGreaterThanOrEqual(bytes);
      expect(sizeClass(bytes)).toBeLessThanOrEqual(1.25 * bytes);
    }
  });

  it("gives a buffer out again when its last user is gone", () => {
    const { device: gpu, living } = device();
    const pool = new BufferPool(gpu, 128, 4096);
    const a = pool.take("here", 1000);
    a.users++;
    pool.give(a);
    expect(pool.take("here", 1000)).not.toBe(a);
    pool.give(a);
    expect([pool.idle, pool.buffers, living()]).toEqual([1024, 2, 2]);
    expect(pool.take("here", 700).buffer).not.toBe(a.buffer);
    expect(pool.take("here", 1010)).toBe(a);
  });

  it("destroys what it has no room for, and everything that waits on request", () => {
    const { device: gpu, living } = device();
    const pool = new BufferPool(gpu, 128, 2048);
    const slots = Array.from({ length: 5 }, () => pool.take("here", 1024));
    for (const slot of slots) pool.give(slot);
    expect([living(), pool.buffers, pool.bytes, pool.idle]).toEqual([2, 2, 2048, 2048]);
    pool.clear();
    expect([living(), pool.buffers, pool.bytes, pool.idle]).toEqual([0, 0, 0, 0]);
  });

  it("does not give out a buffer that the device refused", async () => {
    const { device: gpu, living } = device(true);
    const pool = new BufferPool(gpu, 128, 4096);
    const bad = pool.take("softmax", 512);
    const { doubt } = bad;
    pool.give(bad);
    await expect(doubt).resolves.toMatchInlineSnapshot(`[RangeError: softmax: expected \`result\` of a size that the GPU has room for, got 512 bytes: out of memory. Dispose of tensors, or work on fewer rows at a time]`);
    expect(pool.take("here", 512)).not.toBe(bad);
    expect([living(), pool.buffers]).toEqual([1, 1]);
  });

  it("refuses what no buffer of the device holds", () => {
    expect(() => new BufferPool(device().device, 128, 0).take("softmax", (1 << 20) + 4)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`result\` of at most 1048576 bytes (maxBufferSize of the device), got 1048580. Work on fewer rows at a time]`);
  });
});
