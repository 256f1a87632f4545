import { readFileSync } from "node:fs";
import { join } from "node:path";
import { linkedSlug } from "../places.ts";

/** Every page of the index in its order as one text (llmstxt.org); the API reference is left out. */
export function GET(): Response {
  const docs = process.cwd();
  const index = readFileSync(join(docs, "README.md"), "utf8");
  const files = new Set([...index.matchAll(/^- .*$/gm)].flatMap(([line]) => [...line.matchAll(/\]\(([^)#:]+\.md)[^)]*\)/g)].map((match) => match[1])));
  const pages = [...files].map((file) => `<!-- ${import.meta.env.BASE_URL}${linkedSlug("docs/README.md", file)}/ -->\n${readFileSync(join(docs, file), "utf8").trim()}`);
  return new Response(pages.join("\n\n\n"));
}
