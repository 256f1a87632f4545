import { expect, it } from "vitest";

it("runs on Node 24, whose Float16Array the float16 tests rely on", () => {
  expect(process.version).toMatch(/^v24\./);
});
