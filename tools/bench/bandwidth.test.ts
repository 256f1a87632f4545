import { expect, it } from "vitest";
import { reader } from "./bandwidth.ts";

it("adds the first word of every vector of the block, and none beside it", () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65535 }), words = new Int32Array(memory.buffer).fill(1000), read = reader(memory, 256, 256);
  // Different numbers: a vector that is left out or read twice shows.
  for (let i = 64; i < 128; i++) words[i] = i % 4 === 0 ? 3 ** ((i - 64) / 4) : 0;
  expect(read()).toBe((3 ** 16 - 1) / 2);
});
