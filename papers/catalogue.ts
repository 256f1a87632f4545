import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { exportedNames } from "../tools/checks/source.ts";

/** One row of `papers.json`. */
export interface Paper {
  readonly id: string;
  readonly title: string;
  readonly year: number | null;
  /** A: central primitive. B: reusable component. C: nothing of it belongs here. */
  readonly tier: "A" | "B" | "C";
  readonly package: string | null;
  readonly area: string | null;
  readonly component: string;
  readonly verifyBy: string;
  /** Part of the formula in `component` was written from memory. */
  readonly formulaUncertain: boolean;
  /** Where the uncertain part was confirmed: the paper's section, or public code with its commit. */
  readonly confirmed?: string;
  readonly whyNone?: string;
  /** For a planned row: what was looked for and not found. */
  readonly note?: string;
  readonly status: "working" | "recipe" | "planned" | "none";
  /** `@logits/core-wasm#softmax`, for status "working". */
  readonly exports?: readonly string[];
  /** `docs/recipes/x.md`, for status "recipe". */
  readonly recipe?: string;
}

/** How many rows stand where. */
export interface Counts {
  total: number;
  working: number;
  recipes: number;
  planned: number;
  none: number;
}

/** Counts the rows and lists every claim that the tree does not bear out. */
export function checkCatalogue(root: string, papers: readonly Paper[]): { counts: Counts; problems: string[] } {
  const counts: Counts = { total: papers.length, working: 0, recipes: 0, planned: 0, none: 0 };
  const problems: string[] = [];
  const ids = new Set<string>();
  const pages = papersOfPages(root);
  const tests = papersOfTests(root);
  for (const paper of papers) {
    const problem = (text: string): number => problems.push(`${paper.id}: ${text}`);
    if (ids.has(paper.id)) problem("the id occurs twice");
    ids.add(paper.id);
    const counter = ({ working: "working", recipe: "recipes", planned: "planned", none: "none" } as const)[paper.status];
    if (!counter) {
      problem(`expected status working, recipe, planned or none, got ${String(paper.status)}`);
      continue;
    }
    counts[counter]++;
    if ((paper.tier === "C") !== (paper.status === "none")) problem(`tier ${paper.tier} with status ${paper.status}`);
    if (paper.tier === "C" && !paper.whyNone) problem("whyNone is missing");
    if (paper.status !== "working" && paper.status !== "recipe") {
      if (paper.exports || paper.recipe) problem(`status ${paper.status} names exports or a recipe`);
      continue;
    }
    if (paper.formulaUncertain && !paper.confirmed) problem("the formula is uncertain: say in `confirmed` where it was confirmed");
    if (paper.status === "working") {
      if (!paper.exports?.length) problem("status working needs exports");
      for (const name of paper.exports ?? []) {
        const reason = missingExport(root, name);
        if (reason) problem(reason);
      }
    } else if (!paper.recipe || !existsSync(join(root, paper.recipe))) {
      problem(`the recipe ${paper.recipe ?? "(none)"} does not exist`);
    }
    if (!pages.has(paper.id)) problem(`no page under docs/ has the line "Paper: ${paper.id}"`);
    if (!tests.has(paper.id)) problem(`no test has [paper:${paper.id}] in its name`);
  }
  for (const [kind, found] of [["page", pages], ["test", tests]] as const) {
    for (const [id, file] of found) if (!ids.has(id)) problems.push(`${id}: the ${kind} ${file} names a paper that the catalogue lacks`);
  }
  return { counts, problems };
}

/** Why `@logits/x/sub#name` is no export, `undefined` if it is one. */
function missingExport(root: string, reference: string): string | undefined {
  const match = /^(@logits\/[a-z-]+|logits)(\/[\w/-]+)?#([A-Za-z_$][\w$]*)$/.exec(reference);
  if (!match) return `expected exports of the form @logits/package#name, got ${reference}`;
  const folder = join(root, "packages", match[1].replace("@logits/", ""));
  const manifest = join(folder, "package.json");
  if (!existsSync(manifest)) return `${reference}: no such package`;
  const { exports } = JSON.parse(readFileSync(manifest, "utf8")) as { exports: Record<string, { default?: string } | string> };
  const target = exports[match[2] ? `.${match[2]}` : "."];
  const file = typeof target === "object" && target.default ? join(folder, target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")) : "";
  if (!file || !existsSync(file)) return `${reference}: the package has no such subpath`;
  return exportedNames(readFileSync(file, "utf8")).has(match[3]) ? undefined : `${reference} is not exported by ${relative(root, file)}`;
}

function papersOfPages(root: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of filesUnder(root, "docs", /\.mdx?$/)) {
    for (const [, id] of readFileSync(join(root, file), "utf8").matchAll(/^Paper: (\S+)\s*$/gm)) found.set(id, file);
  }
  return found;
}

/** Ids in names of tests: in a string behind `it(`, `test(`, `describe(` or the second call of an `.each`; not in skipped ones, not in comments. */
function papersOfTests(root: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of ["packages", "docs", "tools"]) {
    for (const file of filesUnder(root, folder, /\.test\.ts$/)) {
      if (file.startsWith("tools/checks")) continue;
      for (const line of readFileSync(join(root, file), "utf8").split("\n")) {
        if (!/^\s*(?:(?:it|test|describe)\b(?!\.(?:skip|todo))|.*\]?\)\(["'`])/.test(line) || /^\s*\/\//.test(line)) continue;
        for (const [, id] of line.matchAll(/\[paper:([^\]\s]+)\]/g)) found.set(id, file);
      }
    }
  }
  return found;
}

function filesUnder(root: string, folder: string, pattern: RegExp): string[] {
  const start = join(root, folder);
  if (!existsSync(start)) return [];
  return readdirSync(start, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ["node_modules", "dist", "wasm"].includes(entry.name) ? [] : filesUnder(root, path, pattern);
    return pattern.test(entry.name) ? [path] : [];
  });
}
