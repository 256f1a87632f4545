/**
 * Cuts a release: versions and changelogs from the changesets, tarballs with a bill of materials, their checks, and the consumer tests from those tarballs.
 *
 * `--dry-run`: in a clone of the last commit, under out/release; the repository stays as it is. Without it: in the repository, which must have nothing uncommitted; ends with a
 * commit and a tag for each package. Publishing is the workflow's part (docs/releasing.md).
 */
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { consumers } from "./consumers.ts";
import { compatibilityPage } from "./compatibility.ts";
import { lintersOf, packAll, problemsOf } from "./pack.ts";
import { run } from "./run.ts";

const { values: options } = parseArgs({ options: { "dry-run": { type: "boolean", default: false }, "no-consumers": { type: "boolean", default: false } } });
const root = join(import.meta.dirname, "..", "..");
const out = join(root, "out", "release");
const dry = options["dry-run"];
const say = (text: string): void => console.error(text);

/** The tree that is released. */
function prepared(): string {
  const changes = run("git", ["status", "--porcelain"], { cwd: root }).trim();
  if (!dry) {
    if (changes !== "") throw new Error(`release: expected nothing uncommitted, got\n${changes}\nCommit first, or try --dry-run`);
    return root;
  }
  if (changes !== "") say(`release: what is not committed is not in this release:\n${changes}`);
  const tree = join(out, "tree");
  rmSync(tree, { recursive: true, force: true });
  run("git", ["clone", "--quiet", root, tree]);
  run("pnpm", ["install", "--frozen-lockfile"], { cwd: tree });
  return tree;
}

const tree = prepared();
const pending = readdirSync(join(tree, ".changeset")).filter((file) => file.endsWith(".md") && file !== "README.md");
for (const file of pending) {
  const [, header, body] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(readFileSync(join(tree, ".changeset", file), "utf8")) ?? [];
  if (header === undefined) throw new Error(`release: expected .changeset/${file} to have a header, got none`);
  if (/\bbreaking\b/i.test(body) && /: patch/.test(header)) throw new Error(`release: expected a breaking change to be minor or major, got a patch in .changeset/${file}`);
}
if (pending.length > 0) run("pnpm", ["exec", "changeset", "version"], { cwd: tree });
else say("release: no changesets, the versions stay");
run("pnpm", ["run", "build"], { cwd: tree, timeoutMs: 600_000 });

const packed = packAll(tree, join(out, "tarballs"));
say(packed.map(({ name, version }) => `${name} ${version}`).join("\n"));
const problems = [...packed.flatMap(problemsOf), ...packed.flatMap(lintersOf)];
if (new Set(packed.map(({ version }) => version)).size !== 1) problems.push("the packages do not have one version");
if (problems.length > 0) throw new Error(`release: expected tarballs without a fault, got\n${problems.join("\n")}`);
say("tarballs: complete; publint and attw have nothing to say");

if (!options["no-consumers"]) {
  const outcomes = await consumers(packed);
  const page = compatibilityPage(packed[0].version, outcomes);
  writeFileSync(join(out, "compatibility.md"), page);
  if (!dry) writeFileSync(join(root, "docs", "compatibility.md"), page);
  const failed = outcomes.filter(({ ok }) => !ok);
  console.log(`${outcomes.length - failed.length} of ${outcomes.length} consumers pass`);
  if (failed.length > 0) process.exit(1);
}
if (!dry && pending.length > 0) {
  const { version } = packed[0];
  run("git", ["add", "-A"], { cwd: root });
  run("git", ["commit", "--quiet", "-m", `Release ${version}`], { cwd: root });
  for (const { name } of packed) run("git", ["tag", `${name}@${version}`], { cwd: root });
  say(`release: committed and tagged ${version}; push with the tags to publish`);
}
if (existsSync(join(out, "tree"))) rmSync(join(out, "tree"), { recursive: true, force: true });
