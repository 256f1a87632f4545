import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Paper, checkCatalogue } from "./catalogue.ts";

const root = dirname(import.meta.dirname);
const { counts, problems } = checkCatalogue(root, JSON.parse(readFileSync(join(root, "papers", "papers.json"), "utf8")) as Paper[]);
console.log(JSON.stringify(counts));
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
