import { dirname } from "node:path";
import { RULES, listFiles } from "./rules.ts";

const root = dirname(dirname(import.meta.dirname));
const files = listFiles(root);
let failed = 0;
for (const [sentence, rule] of Object.entries(RULES)) {
  const problems = rule(root, files);
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${sentence}`);
  for (const problem of problems) console.error(`     ${problem}`);
  if (problems.length > 0) failed++;
}
process.exitCode = failed > 0 ? 1 : 0;
