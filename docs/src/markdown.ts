import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { visit } from "unist-util-visit";
import { GENERATED, slugOf } from "./places.ts";

interface Node {
  type: string;
  depth?: number;
  url?: string;
  value?: string;
  tagName?: string;
  properties?: Record<string, unknown>;
  children?: Node[];
}
interface File {
  readonly path: string;
}

const root = join(import.meta.dirname, "../..");

/** Starlight prints the title, so the first heading goes. */
export function withoutTitle() {
  return (tree: Node): void => {
    const at = tree.children!.findIndex((node) => node.type === "heading" && node.depth === 1);
    if (at >= 0) tree.children!.splice(at, 1);
  };
}

/** Links between files become links between pages; a link to a file that is no page of the site shows its text only. */
export function linksBetweenPages({ base }: { base: string }) {
  return (tree: Node, file: File): void => {
    visit(tree as never, "link", (link: Node) => {
      const [, path, hash = ""] = /^([^#]*)(#.*)?$/.exec(link.url!)!;
      if (path === "" || /^[a-z]+:/.test(path) || path.startsWith("/")) return;
      const target = join(dirname(file.path), path);
      const inside = relative(root, target);
      if (!existsSync(target)) throw new Error(`${relative(root, file.path)}: expected the link ${link.url} to lead to a file, got none`);
      const slug = slugOf(inside);
      if (slug === undefined) {
        link.type = "emphasis";
        delete link.url;
        return;
      }
      link.url = `${base}${slug}/${hash}`;
    });
  };
}

/** `<!-- figure: name -->` is where the drawing of that name goes; in the repository nothing shows. */
export function figures() {
  return (tree: Node): void => {
    visit(tree as never, "html", (node: Node) => {
      const [, name] = /^<!-- figure: ([\w-]+) -->$/.exec(node.value!.trim()) ?? [];
      if (name !== undefined) node.value = `<div class="figure">${readFileSync(join(root, GENERATED, "figures", `${name}.svg`), "utf8")}</div>`;
    });
  };
}

/** Tables and formulas that are wider than the screen scroll in a box of their own, which the keyboard reaches. A header cell without words is no header. */
export function scrollingBoxes() {
  return (tree: Node): void => {
    visit(tree as never, "element", (node: Node, index: number | undefined, parent: Node | undefined) => {
      if (node.tagName === "span" && String(node.properties?.["className"] ?? node.properties?.["class"]).includes("katex-display")) node.properties!["tabindex"] = "0";
      if (node.tagName === "th" && node.children!.length === 0) node.tagName = "td";
      if (node.tagName !== "table" || parent === undefined || parent.properties?.["class"] === "table") return;
      parent.children![index!] = { type: "element", tagName: "div", properties: { class: "table", tabindex: "0" }, children: [node] };
    });
  };
}
