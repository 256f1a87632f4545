import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

// The build runs in docs/; the folder of this module is another one once it is bundled.
const root = join(process.cwd(), "..");

/** A row of the catalogue, with the page that has its id. */
export interface PaperRow {
  readonly id: string;
  readonly title: string;
  readonly year: number | null;
  readonly status: string;
  readonly package: string | null;
  readonly exports?: readonly string[];
  readonly page?: string;
}

/** The catalogue of papers. `npx -y pnpm@12 papers` has checked its claims. */
export function papers(): PaperRow[] {
  const pages = new Map<string, string>();
  for (const file of readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".md") || /^(node_modules|dist|src)\//.test(file)) continue;
    for (const [, id] of readFileSync(join(root, "docs", file), "utf8").matchAll(/^Paper: (\S+)\s*$/gm)) pages.set(id, file.replace(/\.md$/, "").toLowerCase());
  }
  const rows = JSON.parse(readFileSync(join(root, "papers/papers.json"), "utf8")) as PaperRow[];
  return rows.map((row) => ({ ...row, page: pages.get(row.id) }));
}
