import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { build } from "esbuild";

// Pages in Chromium, on its software adapter unless CHROMIUM_FLAGS says another, with the built packages.

/** What every page may answer. */
export interface PageAnswer {
  /** Why it did not run. */
  readonly missing?: string;
  readonly faults?: readonly string[];
}

/** Its answer goes to the server. */
const LAST = `run().catch((error) => ({ faults: [String(error?.stack ?? error)] })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));`;
const SOFTWARE = "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan";

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
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
  let answer: (result: Answer) => void;
  let late: ReturnType<typeof setTimeout> | undefined;
  const result = new Promise<Answer>((resolve, reject) => {
    answer = resolve;
    late = setTimeout(() => reject(new Error("the page did not answer in time")), 1000 * seconds);
  });
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece;
      answer(JSON.parse(body) as Answer);
      response.end();
      return;
    }
    const path = new URL(request.url!, "http://localhost").pathname;
    const [, mount] = path.split("/"), file = mount in MOUNTS ? join(MOUNTS[mount], path.slice(mount.length + 2)) : join(folder, path);
    if (!existsSync(file)) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(readFileSync(file));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  const flags = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", ...(process.env.CHROMIUM_FLAGS ?? SOFTWARE).split(" ")];
  const browser = spawn("chromium", [...flags, `--user-data-dir=${join(folder, `profile-${name}`)}`, `http://127.0.0.1:${port}/page.html`], { stdio: "ignore", detached: true });
  try {
    return await result;
  } finally {
    clearTimeout(late);
    process.kill(-browser.pid!, "SIGKILL");
    server.close();
    server.closeAllConnections();
  }
}

function chromium(): boolean {
  try {
    execFileSync("chromium", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
