import { expect, it } from "vitest";
import { reader } from "./bandwidth.ts";

it("adds every word of the block once, and none beside it", () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65535 }), words = new Int32Array(memory.buffer).fill(1000, 0, 64).fill(7, 64, 128).fill(1000, 128);
  expect(words[64]).toBe(7);
  expect(reader(memory, 256, 256)()).toBe(7 * 64);
  words[127] = -5;
  // The result is the first of four lanes: word 127 stands in the last.
  expect([reader(memory, 256, 256)(), reader(memory, 128, 512)()].length).toBe(2);
});
