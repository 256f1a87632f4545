import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A group of the side bar. */
export interface Group {
  label: string;
  collapsed: boolean;
  items: { slug: string }[];
}

/** The side bar is the index of all pages, docs/README.md: one group for each heading, one entry for each page it links to, in its order. */
export function sidebar(): Group[] {
  const index = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  return index.split(/^## /m).slice(1).map((section) => {
    const label = section.slice(0, section.indexOf("\n"));
    const files = [...section.matchAll(/^- .*$/gm)].flatMap(([line]) => [...line.matchAll(/\]\(([^)#]+)\.md[^)]*\)/g)].map((match) => match[1]));
    return { label, collapsed: true, items: [...new Set(files)].map((file) => ({ slug: file.toLowerCase() })) };
  });
}
