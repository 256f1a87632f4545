import { expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { core, logSumExp, softmax } from "./index.ts";
import { allocate, bytesInUse, release } from "./heap.ts";
import { byteView, floatView, intView, scratch, wasmMemory } from "./memory.ts";

describe("the heap", () => {
  it("hands out blocks on 64-byte boundaries that never overlap, and counts them, as a model does", () => {
    const random = testRandom(11);
    const before = bytesInUse();
    const live: { start: number; size: number; stamp: number }[] = [];
    let modelled = 0;
    const rounded = (size: number): number => Math.max(64, Math.ceil(size / 64) * 64);
    for (let step = 0; step < 4000; step++) {
      if (live.length === 0 || random.uniform() < 0.52) {
        const size = random.integer(4) === 0 ? random.integer(200_000) : random.integer(700);
        const start = allocate(size);
        expect(start % 64).toBe(0);
        expect(start).toBeGreaterThanOrEqual(65536);
        expect(start + rounded(size)).toBeLessThanOrEqual(wasmMemory().buffer.byteLength);
        for (const other of live) expect(start + rounded(size) <= other.start || other.start + rounded(other.size) <= start).toBe(true);
        const stamp = step & 255;
        byteView().fill(stamp, start, start + size);
        live.push({ start, size, stamp });
        modelled += rounded(size);
      } else {
        const [{ start, size, stamp }] = live.splice(random.integer(live.length), 1);
        expect(byteView().subarray(start, start + size).every((byte) => byte === stamp)).toBe(true);
        release(start, size);
        modelled -= rounded(size);
      }
      expect(bytesInUse() - before).toBe(modelled);
    }
    for (const { start, size } of live) release(start, size);
    expect(bytesInUse()).toBe(before);
    // Everything was joined again: a block as large as all that was freed fits without growth.
    const room = wasmMemory().buffer.byteLength;
    const half = room - 65536 - before - 2 ** 20;
    if (half > 0) release(allocate(half), half);
    expect(wasmMemory().buffer.byteLength).toBe(room);
  });

  it("uses a freed block again before it grows", () => {
    const a = allocate(640);
    const b = allocate(64);
    release(a, 640);
    expect(allocate(600)).toBe(a);
    release(a, 600);
    release(b, 64);
  });

  it("scratch is one block that grows with the largest request, and is counted", () => {
    const first = scratch(1000);
    expect(scratch(10)).toBe(first);
    const used = bytesInUse();
    scratch(3_000_000);
    const grown = bytesInUse();
    expect(grown).toBeGreaterThan(used);
    scratch(2_999_999);
    expect(bytesInUse()).toBe(grown);
  });
});

describe("growth", () => {
  it("makes views anew and keeps every value", () => {
    const kept = core.alloc([1000]);
    kept.data.set(Float32Array.from({ length: 1000 }, (_, i) => i / 7));
    const copy = kept.data.slice();
    const [view, floats, ints] = [kept.data, floatView(), intView()];
    const size = core.memory.buffer.byteLength;
    const large = core.alloc([size / 4]);
    expect(core.memory.buffer.byteLength).toBeGreaterThan(size);
    expect([view.length, floats.length, ints.length]).toEqual([0, 0, 0]);
    expect(floatView().length).toBe(core.memory.buffer.byteLength / 4);
    expect(intView().length).toBe(floatView().length);
    expect(byteView().length).toBe(core.memory.buffer.byteLength);
    expectExact(kept.data.slice(), copy);
    expect(large.data.every((v) => v === 0)).toBe(true);
    large.dispose();
    kept.dispose();
  });

  it("in the middle of a call never corrupts a result", () => {
    const random = testRandom(3);
    for (let cols = 70_000; cols < 12_000_000; cols *= 3) {
      const x = Float32Array.from({ length: cols }, (_, i) => (i % 1000) / 100);
      const small = core.alloc([3, 5]);
      small.data.set(Float32Array.from({ length: 15 }, () => random.normal()));
      const want = softmax(new Float32Array(small.data.slice(0, 5)));
      const out = core.alloc([cols]);
      expect(softmax(x, { out })).toBe(out); // scratch grows the memory after `out` was made
      const z = logSumExp(x).item();
      for (const i of [0, 1, 999, cols >> 1, cols - 1]) expect(Math.abs(out.data[i] - Math.exp(x[i] - z))).toBeLessThan(1e-5 * out.data[i]);
      expectExact(softmax(small).row(0).data, want.data);
      out.dispose();
      small.dispose();
    }
  });

  it("that is impossible is an error, and the memory still works", () => {
    const used = core.bytesInUse;
    expect(() => core.alloc([0x3fff0000])).toThrow(/^core-wasm: expected room for \d+ more bytes, got a memory that cannot grow beyond \d+\. Dispose of tensors$/);
    expect(core.bytesInUse).toBe(used);
    expectExact(softmax([0, 0]), [0.5, 0.5]);
  });

  it("a view that lost its buffer is refused, not read as empty", () => {
    const resident = core.alloc([4]);
    const view = { data: resident.data, shape: [4] };
    core.alloc([core.memory.buffer.byteLength / 4]).dispose();
    expect(() => softmax(view)).toThrowErrorMatchingInlineSnapshot(`[RangeError: softmax: expected \`x\` with 4 elements for shape [4], got 0]`);
    resident.dispose();
  });
});

describe("nothing leaks", () => {
  // A million calls take some seconds; the reduced form sees a leak of one block as well.
  const calls = process.env.LOGITS_SLOW ? 1_000_000 : 50_000;
  it(`in ${calls} calls of every kind`, () => {
    const random = testRandom(1);
    const x = Float32Array.from({ length: 64 }, () => random.normal());
    const resident = core.alloc([4, 16]);
    resident.data.set(x);
    const shaped = { data: x, shape: [4, 16] };
    const once = (i: number): void => {
      if (i % 5 === 0) softmax(shaped);
      else if (i % 5 === 1) logSumExp(shaped, { axis: 0 });
      else if (i % 5 === 2) softmax(resident, { out: resident });
      else if (i % 5 === 3) core.alloc([1 + (i % 977)]).dispose();
      else {
        try {
          softmax(shaped, { temperature: -1 });
        } catch {
          // a refused call holds nothing either
        }
      }
    };
    for (let i = 0; i < 5000; i++) once(i);
    const [used, size] = [core.bytesInUse, core.memory.buffer.byteLength];
    for (let i = 0; i < calls; i++) once(i);
    expect(core.bytesInUse).toBe(used);
    expect(core.memory.buffer.byteLength).toBe(size);
    resident.dispose();
  });
});
