import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { visit } from "unist-util-visit";

interface Node {
  type: string;
  depth?: number;
  url?: string;
  children?: Node[];
}
interface File {
  readonly path: string;
}

const docs = join(import.meta.dirname, "..");

/** Starlight prints the title, so the first heading goes. */
export function withoutTitle() {
  return (tree: Node): void => {
    const at = tree.children!.findIndex((node) => node.type === "heading" && node.depth === 1);
    if (at >= 0) tree.children!.splice(at, 1);
  };
}

/** Links between files become links between pages; a link to a file that is no page of the site shows the file's name only. */
export function linksBetweenPages({ base }: { base: string }) {
  return (tree: Node, file: File): void => {
    visit(tree as never, "link", (link: Node) => {
      const [, path, hash = ""] = /^([^#]*)(#.*)?$/.exec(link.url!)!;
      if (path === "" || /^[a-z]+:/.test(path) || path.startsWith("/")) return;
      const target = join(dirname(file.path), path);
      const inside = relative(docs, target);
      if (!existsSync(target)) throw new Error(`${relative(docs, file.path)}: expected the link ${link.url} to lead to a file, got none`);
      if (inside.startsWith("..") || !inside.endsWith(".md")) {
        link.type = "emphasis";
        delete link.url;
        return;
      }
      link.url = `${base}${inside === "README.md" ? "pages" : inside.replace(/\.md$/, "").toLowerCase()}/${hash}`;
    });
  };
}
