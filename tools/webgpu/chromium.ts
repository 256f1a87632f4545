import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { expect } from "vitest";
import { CHROMIUM_FLAGS, pageAnswer } from "../pageAnswer.ts";
import { expected } from "./adapter.ts";

// Pages in Chromium, on its software adapter unless CHROMIUM_FLAGS says another, with the built packages.

/** What every page may answer. */
export interface PageAnswer {
  /** Why it did not run. */
  readonly missing?: string;
  readonly faults?: readonly string[];
  /** Errors of the device that nobody caught. */
  readonly uncaught?: readonly string[];
}

/** A page's source that runs a battery of the testkit. */
export function batteryPage(battery: "backendChecks" | "featureChecks"): string {
  return `
import { ${battery} } from "@logits/testkit";
import { webgpu } from "@logits/webgpu";
import { asBackend } from "./backend.ts";

async function run() {
  let gpu;
  try {
    gpu = await webgpu();
  } catch (error) {
    return { missing: error.message };
  }
  const faults = [], uncaught = [];
  gpu.device.onuncapturederror = ({ error }) => uncaught.push(error.message);
  const checks = ${battery}(asBackend(gpu, "Chromium"));
  for (const { name, run } of checks) await run().catch((error) => faults.push(name + ": " + error.message));
  return { checks: checks.length, faults, uncaught, adapter: gpu.adapter, subgroups: gpu.subgroups };
}
`;
}

/** Whether a page ran, and then without a fault; says so where it did not, which is a failure where an adapter is expected. */
export function ran(label: string, { missing, faults, uncaught }: PageAnswer): boolean {
  if (missing) {
    console.log(`${label}: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
    return false;
  }
  expect([faults, uncaught]).toEqual([[], []]);
  return true;
}

/** Its answer goes to the server. */
const LAST = `run().catch((error) => ({ faults: [String(error?.stack ?? error)] })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));`;
const SOFTWARE = "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan";

const require = createRequire(import.meta.url);
/** Folders behind the first name of a path. */
const MOUNTS: Readonly<Record<string, string>> = {
  ort: dirname(require.resolve("onnxruntime-web")),
  "transformers-ort": dirname(createRequire(require.resolve("@huggingface/transformers")).resolve("onnxruntime-web")),
};

/** What the page's `run()` answers. Files beside it are in `folder`. */
export async function inChromium<Answer extends PageAnswer>(folder: string, name: string, source: string, seconds = 280): Promise<Answer | PageAnswer> {
  if (!chromium()) return { missing: "no Chromium" };
  writeFileSync(join(folder, "page.html"), '<!doctype html><meta charset="utf-8"><title>WebGPU</title><script type="module" src="/page.js"></script>');
  await build({ stdin: { contents: source + LAST, resolveDir: import.meta.dirname }, bundle: true, format: "esm", platform: "browser", outfile: join(folder, "page.js"), logLevel: "error" });
  const flags = [...CHROMIUM_FLAGS, "--remote-debugging-port=0", ...(process.env.CHROMIUM_FLAGS ?? SOFTWARE).split(" "), `--user-data-dir=${join(folder, `profile-${name}`)}`];
  return pageAnswer<Answer>({ folder, page: "page.html", mounts: MOUNTS, command: "chromium", flags, seconds });
}

function chromium(): boolean {
  try {
    execFileSync("chromium", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
