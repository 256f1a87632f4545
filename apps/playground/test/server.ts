import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import type { AddressInfo } from "node:net";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    readonly origin: string;
  }
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
const root = join(import.meta.dirname, "..", "dist");

/** Serves the built page under a folder, as the site does. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://localhost").pathname);
    if (!path.startsWith("/playground/")) {
      response.writeHead(404).end();
      return;
    }
    const name = normalize(path.slice("/playground/".length)) === "." ? "index.html" : normalize(path.slice("/playground/".length));
    readFile(join(root, name)).then(
      (bytes) => response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", "content-length": bytes.length }).end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resume) => server.listen(0, "127.0.0.1", resume));
  project.provide("origin", `http://127.0.0.1:${(server.address() as AddressInfo).port}/playground/`);
  return async () => {
    server.closeAllConnections();
    await new Promise((resume) => server.close(resume));
  };
}
