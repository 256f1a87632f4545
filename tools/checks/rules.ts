import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { codeOnly, exportsOf, hasDocComment, lineOf } from "./source.ts";

/** A rule looks at committed (or about to be committed) files and says what is wrong, one line each. */
export type Rule = (root: string, files: readonly string[]) => string[];

/** Files of the tree: tracked, and untracked ones that git does not ignore. */
export function listFiles(root: string): string[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  return [...new Set(listed.split("\0"))].filter((file) => file !== "" && existsSync(join(root, file))).sort();
}

/** Math members that give the same bits in every engine. */
const SAME_EVERYWHERE = ["sqrt", "abs", "floor", "ceil", "round", "trunc", "min", "max", "fround", "imul", "clz32", "sign", "PI", "E", "LN2", "LN10", "LOG2E", "LOG10E", "SQRT2", "SQRT1_2"];

/** `Math.exp` and friends, `Math.random`, and `**` with an exponent that is no integer literal, in one file's source. */
export function engineDependentMath(source: string): { line: number; found: string }[] {
  const code = codeOnly(source);
  const found: { line: number; found: string }[] = [];
  // Any other use of Math (an alias, a destructuring, a computed member) could hide one.
  for (const match of code.matchAll(/(?<![\w$.])(?:globalThis\s*\.\s*)?Math\b(\s*(?:\?\.|\.)\s*([\w$]+))?/g)) {
    if (!match[2] || !SAME_EVERYWHERE.includes(match[2])) found.push({ line: lineOf(source, match.index), found: match[2] ? `Math.${match[2]}` : "Math without a plain member" });
  }
  for (const match of code.matchAll(/\*\*(=?)\s*(\(\s*-?\d+\s*\)|-?\d+)?(?![\w.])/g)) {
    if (!match[2]) found.push({ line: lineOf(source, match.index), found: `**${match[1]} with an exponent that is no integer literal` });
  }
  return found.sort((a, b) => a.line - b.line);
}

/** Published sources: not tests, benches, references, testkit, or the parts of the umbrella that only run in Node. */
function isPublishedSource(file: string): boolean {
  return /^packages\/[^/]+\/src\/.*\.ts$/.test(file) && !/\.(test|bench|ref)\.ts$/.test(file) && !/^packages\/(testkit\/|logits\/src\/(cli|report)(\/|\.ts))/.test(file);
}

export const noEngineDependentMath: Rule = (root, files) =>
  files.filter(isPublishedSource).flatMap((file) =>
    engineDependentMath(readFileSync(join(root, file), "utf8")).map(({ line, found }) => `${file}:${line}: ${found} differs between engines; use @logits/statistics or a kernel`),
  );

interface Manifest {
  readonly name?: string;
  readonly private?: boolean;
  readonly license?: string;
  readonly type?: string;
  readonly sideEffects?: unknown;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function manifests(root: string, files: readonly string[]): [file: string, manifest: Manifest][] {
  return files.filter((file) => /^(packages\/[^/]+|data)\/package\.json$/.test(file)).map((file) => [file, JSON.parse(readFileSync(join(root, file), "utf8")) as Manifest]);
}

/** Source files behind a package's exports. */
function entryPoints(root: string, file: string, manifest: Manifest): string[] {
  return Object.values(manifest.exports ?? {}).flatMap((target) => {
    const path = typeof target === "object" && target !== null ? (target as { default?: unknown }).default : undefined;
    const source = typeof path === "string" && path.startsWith("./dist/") ? join(dirname(file), path.replace("./dist/", "src/").replace(/\.js$/, ".ts")) : "";
    return source && existsSync(join(root, source)) ? [source] : [];
  });
}

export const everyExportIsDocumented: Rule = (root, files) => {
  const packages = manifests(root, files);
  const problems: string[] = [];
  const check = (origin: string, file: string, name: string, depth: number): void => {
    const source = readFileSync(join(root, file), "utf8");
    const entry = exportsOf(source).find((candidate) => candidate.name === name);
    if (!entry || depth > 8) {
      problems.push(`${origin}: ${name} is not found in ${file}`);
      return;
    }
    if (entry.from === undefined) {
      if (hasDocComment(source, entry.local) === false) problems.push(`${file}: ${entry.local} is public and has no documentation comment`);
      else if (hasDocComment(source, entry.local) === undefined) problems.push(`${file}: ${entry.local} is exported and not declared here`);
      return;
    }
    const next = entry.from.startsWith(".")
      ? relative(root, join(root, dirname(file), entry.from))
      : packages.flatMap(([path, manifest]) => (entry.from === manifest.name ? entryPoints(root, path, { ...manifest, exports: { ".": manifest.exports?.["."] } }) : []))[0];
    // A subpath of another package is checked where that package is.
    if (next === undefined && /^@logits\/[^/]+\//.test(entry.from)) return;
    if (next === undefined || !existsSync(join(root, next))) problems.push(`${origin}: ${name} comes from ${entry.from}, which is not found`);
    else check(origin, next, entry.local, depth + 1);
  };
  for (const [file, manifest] of packages) {
    for (const entry of entryPoints(root, file, manifest)) {
      const source = readFileSync(join(root, entry), "utf8");
      if (/\bexport\s*\*/.test(codeOnly(source))) problems.push(`${entry}: export * hides the list of public names`);
      for (const { name } of exportsOf(source)) check(entry, entry, name, 0);
    }
  }
  return [...new Set(problems)];
};

interface Page {
  readonly file: string;
  readonly title: string;
  /** The blocks of the section Signature. */
  readonly signature: string;
  /** The `ts` blocks, which the tests run. */
  readonly code: string;
}

const PROGRAM = /^```ts\b.*\n([\s\S]*?)^```/gm;

/** The pages of docs/ that are written by hand. */
function pagesOf(root: string, files: readonly string[]): Page[] {
  return files.filter((file) => /^docs\/.*\.md$/.test(file)).map((file) => {
    const text = readFileSync(join(root, file), "utf8");
    const prose = text.replace(PROGRAM, "");
    const blocks = (sectionOf(prose, "Signature") ?? "").matchAll(/^```text\n([\s\S]*?)^```/gm);
    const codeOf = (matches: Iterable<RegExpMatchArray>): string => [...matches].map((match) => match[1]).join("\n");
    return { file, title: /^# .*$/m.exec(prose)?.[0] ?? "", signature: codeOf(blocks), code: codeOf(text.matchAll(PROGRAM)) };
  });
}

/** What stands under a heading of the second level. */
function sectionOf(page: string, heading: string): string | undefined {
  const [, ...sections] = page.split(/^## /m);
  return sections.find((section) => section.startsWith(`${heading}\n`))?.slice(heading.length);
}

function names(text: string, name: string): boolean {
  return new RegExp(`(?<![\\w$])${name.replaceAll("$", "\\$")}(?![\\w$])`).test(text);
}

/** Whether a program imports the name from one of the specifiers. */
function imports(code: string, name: string, specifiers: readonly string[]): boolean {
  return [...code.matchAll(/\bimport\s*\{([^}]*)\}\s*from\s*"([^"]+)"/g)].some(([, list, from]) => specifiers.includes(from) && names(list, name));
}

/**
 * One page has the value in its title, or in its signature where it lies in the folder of the package, and imports it in a program. A mention elsewhere is no
 * page: it would hide that the page is gone.
 */
export const everyExportHasAPage: Rule = (root, files) => {
  const pages = pagesOf(root, files);
  return manifests(root, files).filter(([, manifest]) => !manifest.private).flatMap(([file, manifest]) => {
    const folder = `docs/${dirname(file).replace("packages/", "")}/`;
    const values = Object.entries(manifest.exports ?? {}).flatMap(([subpath, target]) =>
      entryPoints(root, file, { ...manifest, exports: { [subpath]: target } }).flatMap((entry) =>
        // What comes from another package has its page there.
        exportsOf(readFileSync(join(root, entry), "utf8")).filter(({ type, from }) => !type && !/^(@logits\/|logits$)/.test(from ?? "")).map(({ name }) => ({ entry, name, specifier: `${manifest.name}${subpath.slice(1)}` })),
      ),
    );
    return values.flatMap(({ entry, name, specifier }) => {
      // A subpath that offers what the package's index offers too needs no page of its own.
      const specifiers = values.some((other) => other.name === name && other.specifier === manifest.name) ? [...new Set([manifest.name!, specifier])] : [specifier];
      const about = pages.filter((page) => names(page.title, name) || (page.file.startsWith(folder) && names(page.signature, name)));
      if (about.length === 0) return [`${entry}: no page has ${name} in its title or signature`];
      if (!about.some((page) => imports(page.code, name, specifiers))) return [`${entry}: no program of ${about.map((page) => page.file).join(", ")} imports ${name} from ${specifiers.join(" or ")}`];
      return [];
    });
  });
};

/** Sections of a page of a function, in this order; others may stand between them. */
const SECTIONS = ["Definition", "Signature", "Shapes", "Example", "Special values", "Accuracy", "Cost", "Gradient", "Source", "Prior work", "See also"];

export const pagesHaveTheSameOrder: Rule = (root, files) =>
  files.filter((file) => /^docs\/.*\.md$/.test(file)).flatMap((file) => {
    const page = readFileSync(join(root, file), "utf8").replace(/^```[\s\S]*?^```/gm, "");
    const headings = [...page.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
    // A recipe has code in the place of a signature: it is no function.
    if (!headings.includes("Signature")) return [];
    const known = headings.filter((heading) => SECTIONS.includes(heading));
    const sorted = [...known].sort((a, b) => SECTIONS.indexOf(a) - SECTIONS.indexOf(b));
    const at = known.findIndex((heading, i) => heading !== sorted[i]);
    const twice = known.find((heading, i) => known.indexOf(heading) < i);
    return [
      ...SECTIONS.filter((heading) => !headings.includes(heading)).map((heading) => `${file}: no section ${heading}`),
      ...(twice !== undefined ? [`${file}: section ${twice} stands twice`] : []),
      ...(at >= 0 ? [`${file}: section ${known[at]} stands where ${sorted[at]} belongs`] : []),
    ];
  });

const LARGEST = 5_000_000;

/** Folders that stand in texts for their own sake, also where the checkout happens to lie in one. */
const ORDINARY = ["/", "/tmp", "/home", "/usr", "/var", "/opt", "/mnt", "/srv", "/dev", "/etc", "/src", "/app", "/data", "/docs"];

export const nothingForeign: Rule = (root, files) => {
  const problems: string[] = [];
  const machine = [root, dirname(root), homedir()].filter((path) => !ORDINARY.includes(path)).map((path) => `${path}/`);
  for (const file of files) {
    if (/(^|\/)(node_modules|dist|\.turbo|coverage|__pycache__)\/|^packages\/[^/]+\/wasm\/|^packages\/[^/]+\/src\/.*\.d\.ts$|^out\/|\.(tgz|tsbuildinfo|wasm|pyc)$/.test(file)) problems.push(`${file}: build output`);
    const { size } = statSync(join(root, file));
    if (size > LARGEST) problems.push(`${file}: ${size} bytes, more than ${LARGEST}`);
    if (size > LARGEST) continue;
    const bytes = readFileSync(join(root, file));
    if (bytes.includes(0)) continue;
    const text = bytes.toString("utf8");
    for (const [, path] of text.matchAll(/(?<![\w.~-])(\/(?:[\w.-]+\/)+)/g)) {
      if (machine.some((prefix) => path.startsWith(prefix)) || /^\/(?:home|Users)\/[\w.-]+\//.test(path)) {
        problems.push(`${file}: a path of a machine (${path})`);
        break;
      }
    }
    const host = /https?:\/\/[\w.-]*(?:registry|artifactory|verdaccio|nexus|pypi)[\w.-]*/.exec(text);
    if (host) problems.push(`${file}: a registry (${host[0]})`);
  }
  return problems;
};

/** Conditions are tried in order: `types` behind another one is never seen. */
function typesNotFirst(target: unknown): boolean {
  if (typeof target !== "object" || target === null) return false;
  const conditions = Object.keys(target);
  const code = Object.values(target).some((value) => typeof value === "string" && /\.[cm]?js$/.test(value));
  return (code && conditions[0] !== "types") || Object.values(target).some(typesNotFirst);
}

export const manifestsAreComplete: Rule = (root, files) =>
  manifests(root, files).flatMap(([file, manifest]) => {
    const problems: string[] = [];
    if (!manifest.license) problems.push("no license");
    if (manifest.type !== "module") problems.push('no "type": "module"');
    if (!manifest.exports || Object.keys(manifest.exports).length === 0) problems.push("no exports");
    for (const [subpath, target] of Object.entries(manifest.exports ?? {})) if (typesNotFirst(target)) problems.push(`exports["${subpath}"]: types is not first`);
    if (file.startsWith("packages/")) {
      if (manifest.sideEffects !== false) problems.push("sideEffects is not false");
      if (manifest.license && !manifest.private && manifest.license !== "MIT") problems.push(`license ${manifest.license}, not MIT`);
    }
    for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"] as const) {
      for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
        if (!name.startsWith("@logits/")) problems.push(`${kind}: ${name} is not of this house`);
        else if (version !== "workspace:^") problems.push(`${kind}: ${name} is ${version}, not workspace:^`);
      }
    }
    return problems.map((problem) => `${file}: ${problem}`);
  });

export const pagesNamePapers: Rule = (root, files) => {
  const catalogue = join(root, "papers", "papers.json");
  const ids = new Set((JSON.parse(readFileSync(catalogue, "utf8")) as { id: string }[]).map(({ id }) => id));
  return files
    .filter((file) => /^docs\/.*\.mdx?$/.test(file))
    .flatMap((file) => [...readFileSync(join(root, file), "utf8").matchAll(/^Paper:[ \t]*(.*?)[ \t]*$/gm)].filter(([, id]) => !ids.has(id)).map(([, id]) => `${file}: the catalogue has no paper ${JSON.stringify(id)}`));
};

/** Every rule under the sentence that it makes true. */
export const RULES: Readonly<Record<string, Rule>> = {
  "published sources give the same bits in every engine": noEngineDependentMath,
  "every export has a documentation comment": everyExportIsDocumented,
  "every value that a package exports has a page with a program": everyExportHasAPage,
  "pages of functions have the same sections in the same order": pagesHaveTheSameOrder,
  "nothing foreign is committed": nothingForeign,
  "manifests are complete and have no outside dependencies": manifestsAreComplete,
  "pages name papers of the catalogue": pagesNamePapers,
};
