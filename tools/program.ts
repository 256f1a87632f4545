import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "..");

/** The programs of a page: its blocks marked ts, and nothing else. */
export function blocksOf(page: string): string[] {
  return [...page.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => match[1]);
}

/** Compiler options that a stranger has, with the packages where their built declarations are. */
export function typeScript(): object {
  const packages = join(root, "packages"), paths: Record<string, string[]> = {};
  for (const folder of readdirSync(packages)) {
    if (!existsSync(join(packages, folder, "package.json"))) continue;
    const { name, exports = {} } = JSON.parse(readFileSync(join(packages, folder, "package.json"), "utf8")) as { name: string; exports?: Record<string, string | { types?: string; default: string }> };
    for (const [subpath, entry] of Object.entries(exports)) {
      if (typeof entry === "object") paths[name + subpath.slice(1)] = [join(packages, folder, entry.types ?? entry.default)];
    }
  }
  const compilerOptions = { strict: true, noEmit: true, target: "es2023", lib: ["es2023", "dom"], module: "nodenext", moduleResolution: "nodenext", skipLibCheck: true, types: ["node"], typeRoots: [join(root, "node_modules", "@types")], paths };
  return { compilerOptions, include: ["*.ts"] };
}

/** The built file behind `@logits/x/sub`. */
function resolve(specifier: string): string {
  const [, name, subpath] = /^(@logits\/[^/]+|logits)(\/.+)?$/.exec(specifier)!;
  const directory = join(root, "packages", name.replace("@logits/", ""));
  const { exports } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { exports: Record<string, { default: string }> };
  const entry = exports[`.${subpath ?? ""}`];
  if (!entry) throw new Error(`${specifier} is no export`);
  return pathToFileURL(join(directory, entry.default)).href;
}

/** A block of a page as a program that runs against the built packages: where `console.log(x); // text` prints another text, it throws. */
export function program(block: string, prelude: string): string {
  const checked = block.split("\n").map((line) => line.replace(/^(\s*)console\.log\((.*)\);\s*\/\/ (.*)$/, (_, indent: string, args: string, want: string) => `${indent}__expect(${JSON.stringify(want)}, ${args});`));
  const text = `import { format as __format } from "node:util";
const __numbers = /-?\\d+(?:\\.\\d+)?(?:e[-+]?\\d+)?/g;
function __expect(want: string, ...args: unknown[]): void {
  const got = __format(...args).replace(/\\s+/g, " ");
  const a = want.match(__numbers) ?? [], b = got.match(__numbers) ?? [];
  const words = (text: string) => text.replace(__numbers, "#").replace(/\\s+/g, "").replace(/\\.\\.\\.$/, "");
  const close = a.length <= b.length && a.every((x, i) => Math.abs(Number(x) - Number(b[i])) <= 0.51 * 10 ** -(x.split("e")[0].split(".")[1]?.length ?? 0) * 10 ** Number(x.split("e")[1] ?? 0));
  const same = /\\.\\.\\.$/.test(want.trim()) ? words(got).startsWith(words(want)) : words(got) === words(want) && a.length === b.length;
  if (!close || !same) throw new Error("the page says " + want + ", the program prints " + got);
}
${prelude}
${checked.join("\n")}
`;
  return text.replace(/(from\s+|import\(|import\.meta\.resolve\()"((?:@logits\/|logits)[^"]*)"/g, (_, before: string, specifier: string) => `${before}"${resolve(specifier)}"`);
}
