/** `turbo boundaries` without its complaints about AssemblyScript, whose decorators its parser does not know: exit code 1 where a layer rule is broken. */
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";

/** The issues of a run, each as one line, without those about files in `assembly/`. */
export function brokenRules(output: string): string[] {
  const issues = output.split(/^ {2}x /m).slice(1).map((issue) => issue.split(/\n\s*\n|\n\s+,-\[|\nChecked /)[0].replace(/\n\s*\|\s*/g, " ").replace(/\s+/g, " ").trim());
  return issues.filter((issue) => !/^failed to parse file \S*\/assembly\//.test(issue.replaceAll("/ ", "/")));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { stdout, stderr } = spawnSync("turbo", ["boundaries"], { encoding: "utf8", env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", NO_COLOR: "1" } });
  const output = `${stdout}\n${stderr}`;
  if (!/Checked \d+ files/.test(output)) throw new Error(`boundaries: turbo did not finish:\n${output}`);
  const broken = brokenRules(output);
  for (const issue of broken) console.log(`FAIL ${issue}`);
  console.log(broken.length ? `${broken.length} layer rules broken` : "ok   packages import downwards only");
  process.exitCode = broken.length ? 1 : 0;
}
