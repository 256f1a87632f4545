import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

// For the nested workspaces whose tests open pages in browsers: nothing but Node's own modules.

/** Flags of Chromium without a window and without a word to anybody outside. */
export const CHROMIUM_FLAGS: readonly string[] = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A page, and who opens it. */
export interface PageVisit {
  /** What is served from "/". */
  readonly folder: string;
  /** Name of the page in it: "page.html". */
  readonly page: string;
  /** Folders behind the first name of a path. */
  readonly mounts?: Readonly<Record<string, string>>;
  readonly command: string;
  readonly flags: readonly string[];
  readonly seconds: number;
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

/** The JSON that a page posts to its server, on the loopback. The browser is started for it and killed afterwards. */
export async function pageAnswer<Answer>({ folder, page, mounts = {}, command, flags, seconds }: PageVisit): Promise<Answer> {
  let answer: (result: Answer) => void;
  let late: ReturnType<typeof setTimeout> | undefined;
  const result = new Promise<Answer>((resolve, reject) => {
    answer = resolve;
    late = setTimeout(() => reject(new Error(`${page} in ${command}: expected an answer within ${seconds} s, got none`)), 1000 * seconds);
  });
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece as string;
      answer(JSON.parse(body) as Answer);
      response.end();
      return;
    }
    const path = new URL(request.url!, "http://localhost").pathname, [, mount] = path.split("/");
    const file = mount in mounts ? join(mounts[mount], path.slice(mount.length + 2)) : join(folder, path);
    if (!existsSync(file)) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(readFileSync(file));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  const browser = spawn(command, [...flags, `http://127.0.0.1:${port}/${page}`], { stdio: "ignore", detached: true });
  try {
    return await result;
  } finally {
    clearTimeout(late);
    process.kill(-browser.pid!, "SIGKILL");
    server.close();
    server.closeAllConnections();
  }
}
