import { readFileSync } from "node:fs";
import { glob, type Loader } from "astro/loaders";
import { ELSEWHERE, GENERATED, slugOf } from "./places.ts";

/** The first heading of a page is its title, the first paragraph its description: pages stay plain Markdown that reads well in a repository too. */
function frontmatterOf(file: string): { title: string; description?: string } {
  const text = readFileSync(file, "utf8").replace(/^---\n[\s\S]*?\n---\n/, "");
  const title = /^# (.+)$/m.exec(text)?.[1];
  if (title === undefined) throw new Error(`${file}: expected a first line "# Title", got none`);
  const paragraph = text.slice(text.indexOf(title) + title.length).trim().split(/\n\s*\n/)[0].replaceAll(/\s+/g, " ").replaceAll(/[`*]|\[([^\]]*)\]\([^)]*\)/g, "$1");
  return { title: title.replaceAll("`", ""), description: /^[#|<]/.test(paragraph) ? undefined : paragraph.slice(0, 300) };
}

/** Every Markdown page: this folder, the few of the repository's root that readers need, the API reference; `README.md` is the index of all pages. */
export function pages(): Loader {
  const files = glob({
    base: "..",
    pattern: ["docs/**/*.md", `${GENERATED}/api/**/*.md`, ...Object.keys(ELSEWHERE), "!docs/node_modules/**", "!docs/dist/**", "!docs/src/**"],
    generateId: ({ entry }) => slugOf(entry)!,
  });
  return {
    ...files,
    load: (context) => files.load({ ...context, parseData: (entry) => context.parseData({ ...entry, data: { ...frontmatterOf(`${entry.filePath!}`), ...entry.data } as never }) }),
  };
}
