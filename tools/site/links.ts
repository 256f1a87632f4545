import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, posix } from "node:path";

const attributes = (html: string, name: string): string[] =>
  [...html.matchAll(new RegExp(`<[a-zA-Z][^>]*?\\s${name}=(?:"([^"]*)"|'([^']*)')`, "g"))].map((match) => (match[1] ?? match[2]).replaceAll("&amp;", "&").replaceAll("&#38;", "&"));

/** Links and anchors of a built site that lead nowhere in it, as `page: link`; and how many were followed. */
export function brokenLinks(folder: string): { checked: number; pages: number; broken: string[] } {
  const pages = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".html") && !file.startsWith("pagefind/"));
  const html = new Map(pages.map((file) => [file, readFileSync(join(folder, file), "utf8")]));
  const ids = new Map([...html].map(([file, text]) => [file, new Set([...attributes(text, "id"), ...attributes(text, "name")])]));
  const broken: string[] = [];
  let checked = 0;
  for (const [file, text] of html) {
    const links = [...attributes(text, "href"), ...attributes(text, "src")].filter((link) => !/^(?:[a-z][a-z+.-]*:|\/\/)/i.test(link));
    for (const link of new Set(links)) {
      checked++;
      const [path, hash] = link.split("#");
      const place = decodeURIComponent(path.split("?")[0]);
      const target = place === "" ? file : posix.normalize(place.startsWith("/") ? place.slice(1) : join(dirname(file), place)) || ".";
      const resolved = existsSync(join(folder, target)) && statSync(join(folder, target)).isDirectory() ? posix.join(target, "index.html") : target;
      if (!existsSync(join(folder, resolved))) broken.push(`${file}: ${link}`);
      else if (hash && resolved.endsWith(".html") && hash !== "_top" && !ids.get(resolved)!.has(decodeURIComponent(hash))) broken.push(`${file}: ${link} (no such place on the page)`);
    }
  }
  return { checked, pages: pages.length, broken };
}
