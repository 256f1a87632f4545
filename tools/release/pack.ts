import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.ts";

/** A package as it would be published. */
export interface Packed {
  readonly name: string;
  readonly version: string;
  readonly file: string;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly sideEffects?: unknown;
  readonly exports?: Record<string, unknown>;
  readonly dependencies?: Record<string, string>;
  readonly publishConfig?: { readonly provenance?: boolean };
}

/** Packs every public package of a built tree into `out`, with a software bill of materials. pnpm writes real versions where the workspace says `workspace:`. */
export function packAll(tree: string, out: string): Packed[] {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const packed = readdirSync(join(tree, "packages")).flatMap((folder): Packed[] => {
    const directory = join(tree, "packages", folder);
    if (!existsSync(join(directory, "package.json"))) return [];
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
    if (manifest.private) return [];
    const [result] = [JSON.parse(run("pnpm", ["pack", "--json", "--pack-destination", out], { cwd: directory }))].flat() as { filename: string }[];
    return [{ name: manifest.name, version: manifest.version, file: result.filename.startsWith("/") ? result.filename : join(out, result.filename) }];
  });
  writeFileSync(join(out, "sbom.cdx.json"), run("pnpm", ["sbom", "--sbom-format", "cyclonedx", "--prod"], { cwd: tree }));
  return packed;
}

/** What is wrong with a tarball; nothing if nothing. */
export function problemsOf({ name, file }: Packed): string[] {
  const files = run("tar", ["-tzf", file]).trimEnd().split("\n").map((path) => path.replace("package/", ""));
  const manifest = JSON.parse(run("tar", ["-xzOf", file, "package/package.json"])) as Manifest;
  const problems = ["LICENSE", "README.md", "CHANGELOG.md"].filter((needed) => !files.includes(needed)).map((needed) => `no ${needed}`);
  for (const [dependency, range] of Object.entries(manifest.dependencies ?? {})) {
    if (!dependency.startsWith("@logits/")) problems.push(`a runtime dependency from outside: ${dependency}`);
    if (range.startsWith("workspace:")) problems.push(`an unresolved range: ${dependency} ${range}`);
  }
  if (manifest.sideEffects !== false) problems.push("no `sideEffects: false`");
  if (manifest.publishConfig?.provenance !== true) problems.push("no provenance");
  for (const path of files) if (/\.(test|bench|ref)\.|fixtures\//.test(path)) problems.push(`a file of the tests: ${path}`);
  if (!files.some((path) => path.endsWith(".js.map"))) problems.push("no source maps");
  for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
    if (typeof target !== "object" || target === null) continue;
    if (Object.keys(target)[0] !== "types") problems.push(`exports ${subpath}: types do not come first`);
    for (const path of Object.values(target as Record<string, string>)) if (!path.includes("*") && !files.includes(path.replace("./", ""))) problems.push(`exports ${subpath}: ${path} is not in the tarball`);
  }
  return problems.map((problem) => `${name}: ${problem}`);
}

/** publint and attw on a tarball, as strict as they go for packages that are ESM only. */
export function lintersOf({ name, file }: Packed): string[] {
  const tools = join(import.meta.dirname, "node_modules", ".bin");
  const linters: [string, string[]][] = [[join(tools, "publint"), [file, "--strict"]], [join(tools, "attw"), [file, "--profile", "esm-only", "--no-emoji", "--no-color"]]];
  return linters.flatMap(([command, args]) => {
    try {
      run(command, args);
      return [];
    } catch (error) {
      return [`${name}: ${(error as Error).message}`];
    }
  });
}
