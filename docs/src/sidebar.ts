import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { GENERATED, hasPlayground, linkedSlug } from "./places.ts";

type Entry = { label: string; slug: string } | { label: string; link: string };
/** A group of the side bar. */
export interface Group {
  label: string;
  collapsed: boolean;
  items: (Entry | Group)[];
}

/** Pages that are no Markdown files, by the group that they stand in. */
const EXTRA: Readonly<Record<string, readonly Entry[]>> = {
  Start: hasPlayground() ? [{ label: "Playground", link: "/playground/" }] : [],
  Recipes: [{ label: "Methods of the literature", link: "/papers/" }],
  Measured: [{ label: "A report, whole", link: "/report/" }],
  Contributing: [{ label: "All pages", slug: "pages" }],
};

/** The API pages of a package: `head` has api/head, `interop` has api/interop and api/interop-onnx. */
function apiOf(label: string): Entry[] {
  const folder = join(import.meta.dirname, "../..", GENERATED, "api"), name = label.replace("@logits/", "");
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).map((file) => file.replace(/\.md$/, "")).filter((file) => file === name || file.startsWith(`${name}-`));
  return files.map((file) => ({ label: file === name ? "API" : `API of /${file.slice(name.length + 1)}`, slug: `api/${file}` }));
}

/** The pages that the list items of a section link to, in their order, under the words of the link. */
function entries(section: string): Entry[] {
  const links = [...section.matchAll(/^- .*$/gm)].flatMap(([line]) => [...line.matchAll(/\[([^\]]+)\]\(([^)#:]+\.md)[^)]*\)/g)]);
  const slugs = new Map<string, string>();
  for (const [, words, file] of links) {
    const slug = linkedSlug("docs/README.md", file)!;
    if (!slugs.has(slug)) slugs.set(slug, words.replaceAll("`", ""));
  }
  return [...slugs].map(([slug, label]) => ({ label, slug }));
}

const titled = (section: string): string => section.slice(0, section.indexOf("\n"));

/** The side bar is the index of all pages, docs/README.md: a group for each heading, groups in it for the headings below, an entry for each page that a list links to. */
export function sidebar(): Group[] {
  const index = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  return index.split(/^## /m).slice(1).map((part, i) => {
    const [own, ...inner] = part.split(/^### /m);
    const groups = inner.map((section) => ({ label: titled(section), collapsed: true, items: [...entries(section), ...apiOf(titled(section))] }));
    return { label: titled(own), collapsed: i > 1, items: [...entries(own), ...(EXTRA[titled(own)] ?? []), ...groups] };
  });
}
