import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** `@logits/x/sub` resolves to the source behind the package's `exports`, as in the root's tests; the pages' programs and Chromium take the built packages. */
const packages = join(import.meta.dirname, "../../packages");
const alias = readdirSync(packages).flatMap((folder) => {
  const { name, exports } = JSON.parse(readFileSync(join(packages, folder, "package.json"), "utf8")) as { name: string; exports: Record<string, { default?: string } | string> };
  return Object.entries(exports).flatMap(([subpath, target]) => {
    const file = typeof target === "object" ? target.default : undefined;
    return file?.startsWith("./dist/") ? [{ find: new RegExp(`^${name}${subpath.slice(1)}$`), replacement: join(packages, folder, file.replace("./dist/", "src/").replace(/\.js$/, ".ts")) }] : [];
  });
});

export default defineConfig({ resolve: { alias }, test: { include: ["*.test.ts"], testTimeout: 300_000, fileParallelism: false, server: { deps: { external: [/node_modules/] } } } });
