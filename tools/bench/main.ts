import { fork } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Clock } from "./harness.ts";
import { store } from "./store.ts";
import { SUITES } from "./suites/index.ts";
import { casesOf } from "./suites/suite.ts";
import { summary, table } from "./table.ts";
import type { BenchRecord, Variant } from "./types.ts";
import type { Job, Message } from "./worker.ts";

const USAGE = `bench <suite>... [--case <substring>] [--variant simd|relaxed-simd] [--seed <n>] [--clock wall|cpu] [--json] [--out <file.json>] [--list]
Suites: ${SUITES.map(({ name }) => name).join(", ")}, all`;

class UsageError extends Error {}

interface Options {
  suites: string[];
  variants: Variant[];
  filter: string;
  seed: number;
  clock: Clock;
  json: boolean;
  out: string | undefined;
}

function options(args: string[]): Options | "list" {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { case: { type: "string" }, variant: { type: "string" }, seed: { type: "string" }, clock: { type: "string" }, json: { type: "boolean" }, out: { type: "string" }, list: { type: "boolean" } },
  });
  if (values.list) return "list";
  const known = SUITES.map(({ name }) => name);
  const suites = positionals.includes("all") ? known : positionals;
  if (suites.length === 0) throw new UsageError("expected a suite, got none");
  for (const name of suites) if (!known.includes(name)) throw new UsageError(`expected a suite, got ${name}`);
  const { case: filter = "", variant, seed = "1", clock = "wall", json = false, out } = values;
  if (variant !== undefined && variant !== "simd" && variant !== "relaxed-simd") throw new UsageError(`expected --variant simd or relaxed-simd, got ${variant}`);
  if (clock !== "wall" && clock !== "cpu") throw new UsageError(`expected --clock wall or cpu, got ${clock}`);
  if (!/^\d{1,9}$/.test(seed)) throw new UsageError(`expected --seed as an integer from 0 up, got ${seed}`);
  if (!SUITES.some((suite) => suites.includes(suite.name) && casesOf(suite, filter).length > 0)) throw new UsageError(`no case of ${suites.join(", ")} contains ${filter}`);
  return { suites, variants: variant === undefined ? ["relaxed-simd", "simd"] : [variant], filter, seed: Number(seed), clock, json, out };
}

/** Runs one worker to its end. Its stdout is our stderr, so that stdout holds the result alone. */
function measure(job: Job): Promise<BenchRecord[]> {
  return new Promise((resolve, reject) => {
    const records: BenchRecord[] = [];
    let red: string | undefined;
    const child = fork(join(import.meta.dirname, "worker.ts"), [JSON.stringify(job)], { execArgv: ["--expose-gc"], stdio: ["ignore", 2, 2, "ipc"] });
    child.on("message", (message: Message) => {
      if ("record" in message) records.push(message.record);
      else if ("red" in message) red = message.red;
      else process.stderr.write(`${message.progress}\n`);
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(records) : reject(new Error(red ?? `the ${job.variant} process ended with ${code}`))));
  });
}

async function main(): Promise<number> {
  const chosen = options(process.argv.slice(2));
  if (chosen === "list") {
    for (const { name, about, cases } of SUITES) process.stdout.write(`${name}: ${about}\n${cases.map((one) => `  ${one.name}\n`).join("")}`);
    return 0;
  }
  const { suites, variants, filter, seed, clock, json, out } = chosen;
  const records: BenchRecord[] = [];
  for (const variant of variants) records.push(...(await measure({ suites, variant, filter, seed, clock })));
  if (out !== undefined) store(out, records);
  if (json) {
    process.stdout.write(`${JSON.stringify(records, null, 1)}\n`);
    return 0;
  }
  const { cpu, cores, load, platform, node, v8, commit, versions } = records[0].meta;
  process.stdout.write(`${cpu}, ${cores} cores, load ${load}, ${platform}, Node ${node}, V8 ${v8}, commit ${commit}, seed ${seed}, ${clock} time\n`);
  process.stdout.write(`${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")}\n\n${table(records)}\n\n${summary(records)}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS");
  process.stderr.write(usage ? `bench: ${(error as Error).message}\n${USAGE}\n` : `bench: ${(error as Error).message}\n`);
  process.exitCode = usage ? 2 : 1;
}
