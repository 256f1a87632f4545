import { describe, expect, it } from "vitest";
import { guarded, guardedInput } from "./guard.ts";

const memory = (): WebAssembly.Memory => new WebAssembly.Memory({ initial: 1, maximum: 2 });

describe("guarded", () => {
  it("passes when exactly the range was written", () => {
    const m = memory();
    const output = guarded(m, 1024, 5);
    new Float32Array(m.buffer, 1024, 5).set([0, NaN, -Infinity, 1, 2]);
    output.check();
  });

  it("follows a memory that has grown", () => {
    const m = memory();
    const output = guarded(m, 1024, 1);
    m.grow(1);
    new Float32Array(m.buffer, 1024, 1)[0] = 1;
    output.check();
  });

  it("poisons with NaN", () => {
    const m = memory();
    guarded(m, 1024, 3);
    expect([...new Float32Array(m.buffer, 1024, 3)]).toEqual([NaN, NaN, NaN]);
    expect(new Float32Array(m.buffer, 1020, 1)[0]).toBeNaN();
    expect(new Float32Array(m.buffer, 1036, 1)[0]).toBeNaN();
  });

  it.each([
    [1020, 0], [960, 0], [1044, 0], [1104, NaN], [1044, -1],
  ])("sees a write at byte %i", (at, value) => {
    const m = memory();
    const output = guarded(m, 1024, 5);
    new Float32Array(m.buffer, 1024, 5).fill(1);
    new Float32Array(m.buffer, at, 1)[0] = value;
    expect(() => output.check()).toThrow("guard word");
  });

  it("sees a single byte beyond a range of bytes", () => {
    const m = memory();
    const output = guarded(m, 1024, 5, { elementBytes: 1 });
    new Uint8Array(m.buffer, 1024, 5).fill(1);
    output.check();
    new Uint8Array(m.buffer, 1024, 6).fill(1);
    expect(() => output.check()).toThrow("guard word 0 after");
  });

  it.each([0, 3, 4])("sees that element %i was not written", (missing) => {
    const m = memory();
    const output = guarded(m, 1024, 5);
    for (let i = 0; i < 5; i++) if (i !== missing) new Float32Array(m.buffer, 1024, 5)[i] = i;
    expect(() => output.check()).toThrow(`element ${missing} of 5 was never written`);
  });

  it("sees unwritten elements of 1, 2 and 8 bytes", () => {
    for (const elementBytes of [1, 2, 8]) {
      const m = memory();
      const output = guarded(m, 1024, 3, { elementBytes });
      new Uint8Array(m.buffer, 1024, 2 * elementBytes).fill(1);
      expect(() => output.check()).toThrow("element 2 of 3 was never written");
    }
  });

  it("says what is wrong", () => {
    const m = memory();
    const output = guarded(m, 1024, 2, { label: "softmax output" });
    expect(() => output.check()).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax output: element 0 of 2 was never written]`);
    new Float32Array(m.buffer, 1020, 3).fill(1);
    expect(() => output.check()).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax output: guard word 15 before the range (4 bytes before the range) was changed to 0x3f800000]`);
    new Uint32Array(m.buffer, 1020, 1)[0] = 0x7fa0cafe;
    new Uint32Array(m.buffer, 1036, 1)[0] = 1;
    expect(() => output.check()).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax output: guard word 1 after the range (4 bytes after its end) was changed to 0x00000001]`);
    expect(() => guarded(m, 32, 2)).toThrowErrorMatchingInlineSnapshot(`[AssertionError: guarded: no room for 64 guard bytes on both sides of [32, 40) in 65536 bytes]`);
    expect(() => guarded(m, 65500, 9)).toThrow("no room");
  });
});

describe("guardedInput", () => {
  it("passes when the input was only read", () => {
    const m = memory();
    const input = guardedInput(m, 1024, new Float32Array([1, 2, NaN]));
    expect([...new Float32Array(m.buffer, 1024, 3)]).toEqual([1, 2, NaN]);
    input.check();
  });

  it("sees a write into the input, next to it, and a read beyond it", () => {
    const m = memory();
    const input = guardedInput(m, 1024, new Float32Array([1, 2, 3]), { label: "softmax input" });
    expect(new Float32Array(m.buffer, 1024, 4).reduce((a, b) => a + b)).toBeNaN();
    new Float32Array(m.buffer, 1024, 3)[1] = -2;
    expect(() => input.check()).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax input: the input was changed at byte 7 of 12]`);
    new Float32Array(m.buffer, 1024, 4).set([1, 2, 3, 4]);
    expect(() => input.check()).toThrowErrorMatchingInlineSnapshot(`[AssertionError: softmax input: guard word 0 after the range (0 bytes after its end) was changed to 0x40800000]`);
  });

  it("keeps its own copy of the values", () => {
    const m = memory();
    const values = new Float32Array(m.buffer, 1024, 2);
    const input = guardedInput(m, 1024, values);
    values[0] = 5;
    expect(() => input.check()).toThrow("the input was changed");
  });
});
