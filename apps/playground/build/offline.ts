import { createHash } from "node:crypto";
import type { Plugin } from "vite";

/**
 * Writes `sw.js`: a service worker that keeps the page's own files when it is installed and the data sets when they are first read, so that the
 * playground works without a network.
 */
export function offline(): Plugin {
  return {
    name: "playground-offline",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const names = Object.keys(bundle).filter((name) => !name.endsWith(".map"));
        const pages = names.filter((name) => /\.(?:js|css|html)$/.test(name));
        const hash = createHash("sha256");
        for (const name of names.sort()) {
          const item = bundle[name];
          hash.update(name).update(item.type === "chunk" ? item.code : item.source);
        }
        this.emitFile({ type: "asset", fileName: "sw.js", source: worker(hash.digest("hex").slice(0, 16), ["./", "./icon.svg", ...pages.filter((name) => name !== "index.html").map((name) => `./${name}`)]) });
      },
    },
  };
}

function worker(version: string, files: readonly string[]): string {
  return `const NAME = "logits-playground-${version}";
const FILES = ${JSON.stringify(files)};
self.addEventListener("install", (event) => event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(caches.keys()
  .then((names) => Promise.all(names.filter((name) => name.startsWith("logits-playground-") && name !== NAME).map((name) => caches.delete(name))))
  .then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith(caches.open(NAME).then(async (cache) => {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  }));
});
`;
}
