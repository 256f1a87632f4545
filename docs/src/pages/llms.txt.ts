import { readFileSync } from "node:fs";
import { join } from "node:path";
import { linkedSlug } from "../places.ts";

/** The index of all pages for language models (llmstxt.org): the README's first words, then the list of pages with what each is about. */
export function GET(): Response {
  const docs = process.cwd();
  const introduction = readFileSync(join(docs, "../README.md"), "utf8").split("\n\n")[1].replaceAll("\n", " ");
  const index = readFileSync(join(docs, "README.md"), "utf8").split(/^(?=## )/m).slice(1).join("");
  const linked = index.replaceAll(/\]\(([^):#]+\.md)(#[^)]*)?\)/g, (_, path: string, hash = "") => `](${import.meta.env.BASE_URL}${linkedSlug("docs/README.md", path)}/${hash})`);
  return new Response(`# Logits\n\n> ${introduction}\n\nAll pages as one text: [llms-full.txt](${import.meta.env.BASE_URL}llms-full.txt)\n\n${linked}`);
}
