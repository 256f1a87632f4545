import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The index of all pages for language models (llmstxt.org): the README's first words, then the list of pages with what each is about. */
export function GET(): Response {
  const docs = process.cwd();
  const introduction = readFileSync(join(docs, "../README.md"), "utf8").split("\n\n")[1].replaceAll("\n", " ");
  const index = readFileSync(join(docs, "README.md"), "utf8").split(/^(?=## )/m).slice(1).join("");
  const linked = index.replaceAll(/\]\(([^):]+)\.md(#[^)]*)?\)/g, (_, path: string, hash = "") => `](${import.meta.env.BASE_URL}${path.toLowerCase()}/${hash})`);
  return new Response(`# Logits\n\n> ${introduction}\n\n${linked}`);
}
