import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** `@logits/x/sub` resolves to the source behind the package's `exports`, so that tests see one module graph and need no build. */
function sources(): { find: RegExp; replacement: string }[] {
  const root = join(import.meta.dirname, "packages");
  return readdirSync(root).flatMap((folder) => {
    const manifest = join(root, folder, "package.json");
    if (!existsSync(manifest)) return [];
    const { name, exports = {} } = JSON.parse(readFileSync(manifest, "utf8")) as { name: string; exports?: Record<string, unknown> };
    return Object.entries(exports).flatMap(([subpath, target]) => {
      const file = typeof target === "object" ? (target as { default: string }).default : "";
      if (!file.startsWith("./dist/")) return [];
      const source = file.replace("./dist/", "src/").replace(/\.js$/, ".ts");
      return [{ find: new RegExp(`^${name}${subpath.slice(1)}$`), replacement: join(root, folder, source) }];
    });
  });
}

const alias = sources();
const setupFiles = ["tools/variant.setup.ts"];
const include = ["packages/*/src/**/*.test.ts", "tools/*.test.ts", "tools/checks/**/*.test.ts", "papers/**/*.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    maxWorkers: 2,
    projects: [
      { resolve: { alias }, test: { name: "relaxed", include, setupFiles, env: { LOGITS_VARIANT: "relaxed-simd" }, testTimeout: 60_000 } },
      { resolve: { alias }, test: { name: "baseline", include: ["packages/core-wasm/src/**/*.test.ts", "packages/losses/src/**/*.test.ts", "packages/attention/src/**/*.test.ts"], setupFiles, env: { LOGITS_VARIANT: "simd" }, testTimeout: 60_000 } },
    ],
  },
});
