import { readFileSync } from "node:fs";
import { join } from "node:path";
import { linkedSlug } from "./places.ts";

type Entry = { slug: string } | { label: string; link: string };
/** A group of the side bar. */
export interface Group {
  label: string;
  collapsed: boolean;
  items: (Entry | Group)[];
}

const EXTRA: Readonly<Record<string, readonly Entry[]>> = {};

/** The pages that the list items of a section link to, in their order. */
function entries(section: string): Entry[] {
  const links = [...section.matchAll(/^- .*$/gm)].flatMap(([line]) => [...line.matchAll(/\]\(([^)#:]+\.md)[^)]*\)/g)].map((match) => linkedSlug("docs/README.md", match[1])!));
  return [...new Set(links)].map((slug) => ({ slug }));
}

const titled = (section: string): string => section.slice(0, section.indexOf("\n"));

/** The side bar is the index of all pages, docs/README.md: a group for each heading, groups in it for the headings below, an entry for each page that a list links to. */
export function sidebar(): Group[] {
  const index = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  return index.split(/^## /m).slice(1).map((part, i) => {
    const [own, ...inner] = part.split(/^### /m);
    const groups = inner.map((section) => ({ label: titled(section), collapsed: true, items: entries(section) }));
    return { label: titled(own), collapsed: i > 1, items: [...entries(own), ...(EXTRA[titled(own)] ?? []), ...groups] };
  });
}
