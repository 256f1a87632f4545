import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** Pages that are files elsewhere in the repository. */
export const ELSEWHERE: Readonly<Record<string, string>> = { "GLOSSARY.md": "glossary", "ARCHITECTURE.md": "architecture", "CONTRIBUTING.md": "contributing" };

/** Where `npm run generate` puts what the build draws and derives. */
export const GENERATED = "out/site";

/** The place of a Markdown file (a path from the repository's root) on the site; undefined where it is no page. */
export function slugOf(file: string): string | undefined {
  if (file in ELSEWHERE) return ELSEWHERE[file];
  if (file === "docs/README.md") return "pages";
  const [, page] = new RegExp(`^(?:docs|${GENERATED})/(.+)\\.md$`).exec(file) ?? [];
  return page?.toLowerCase();
}

/** The page that a link in a file leads to. */
export function linkedSlug(from: string, link: string): string | undefined {
  return slugOf(relative(".", join(dirname(from), link)));
}

/** Whether the site carries the playground; the build runs in docs/. */
export const hasPlayground = (): boolean => existsSync("public/playground/index.html");
