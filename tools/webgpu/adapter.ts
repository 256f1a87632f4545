import { createRequire } from "node:module";
import type { GpuEntryLike } from "@logits/webgpu";

// Dawn in Node, by the package webgpu. Without an adapter the checks say that they did not run; with EXPECT_WEBGPU=1 they fail.

let entry: GpuEntryLike | undefined;
let reason = "";
try {
  const { create } = createRequire(import.meta.url)("webgpu") as { create(flags: string[]): GpuEntryLike };
  entry = create([]);
  if (!(await entry.requestAdapter())) reason = "no adapter";
} catch (error) {
  reason = (error as Error).message;
}

/** Where Node's adapters come from. */
export const dawn: GpuEntryLike | undefined = entry;
/** Why there is no adapter; empty where there is one. */
export const missing: string = reason;
/** Whether a missing adapter is a failure. */
export const expected: boolean = process.env.EXPECT_WEBGPU === "1";
