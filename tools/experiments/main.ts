/** Runs experiments and writes docs/data/experiments/<name>.json: `npx -y pnpm@12 experiments [name ...]`; without a name it lists them. The pages of the losses show what the files say. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const parts = ["data.ts", "main.ts", "mlp.ts"];
const names = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".ts") && !parts.includes(file)).map((file) => file.replace(".ts", "")).toSorted();
const wanted = process.argv.slice(2), unknown = wanted.filter((name) => name !== "all" && !names.includes(name));
if (unknown.length > 0 || wanted.length === 0) {
  console.error(`${unknown.length > 0 ? `experiments: expected names among these, got ${unknown.join(", ")}\n` : ""}${names.join("\n")}\nall`);
  process.exit(unknown.length > 0 ? 2 : 0);
}
for (const name of wanted.includes("all") ? names : wanted) {
  console.error(name);
  execFileSync(process.execPath, ["--import", "./tools/fixtures/packages.ts", `tools/experiments/${name}.ts`], { cwd: join(import.meta.dirname, "../.."), stdio: "inherit" });
}
