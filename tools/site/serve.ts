import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2", ".wasm": "application/wasm", ".xml": "application/xml",
};

/** A built site on the loopback, texts compressed by gzip as a host does; `sent` counts the bytes of each path. */
export interface Site {
  readonly origin: string;
  readonly sent: Map<string, number>;
  close(): Promise<void>;
}

export async function serve(folder: string): Promise<Site> {
  const sent = new Map<string, number>();
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://localhost").pathname);
    let file = join(folder, path);
    if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
    const found = file.startsWith(folder) && existsSync(file);
    if (!found) file = join(folder, "404.html");
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const packed = /text|javascript|json|svg|xml/.test(type);
    const body = packed ? gzipSync(readFileSync(file), { level: 9 }) : readFileSync(file);
    sent.set(path, body.length);
    response.writeHead(found ? 200 : 404, { "content-type": type, "content-length": body.length, ...(packed && { "content-encoding": "gzip" }) });
    response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    origin: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    sent,
    close: () => new Promise((done) => (server.closeAllConnections(), server.close(() => done()))),
  };
}
