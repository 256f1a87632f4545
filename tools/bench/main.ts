import { fork } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Clock } from "./harness.ts";
import { machine } from "./machine.ts";
import { oldestFirst, store, stored } from "./store.ts";
import { SUITES } from "./suites/index.ts";
import { casesOf } from "./suites/suite.ts";
import { summary, table } from "./table.ts";
import type { BenchRecord, Variant } from "./types.ts";
import type { Job, Message } from "./worker.ts";

const USAGE = `bench <suite>... [--case <substring>] [--variant simd|relaxed-simd] [--seed <n>] [--clock wall|cpu] [--json] [--out <file.json> [--minutes <n>]] [--list]
       --out writes each case as it is measured: it replaces that case's record and leaves the others as they are
       --minutes begins with what the file lacks, then with what was measured longest ago, and begins no case later than that; the same command again goes on
       bench webgpu [--case <substring>] [--json] [--out <file.json>]: in Chromium, on the adapter that CHROMIUM_FLAGS chooses, by default its software one
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
  minutes: number | undefined;
}

function options(args: string[]): Options | "list" {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { case: { type: "string" }, variant: { type: "string" }, seed: { type: "string" }, clock: { type: "string" }, json: { type: "boolean" }, out: { type: "string" }, minutes: { type: "string" }, list: { type: "boolean" } },
  });
  if (values.list) return "list";
  const known = SUITES.map(({ name }) => name);
  const suites = positionals.includes("all") ? known : positionals;
  if (suites.length === 0) throw new UsageError("expected a suite, got none");
  for (const name of suites) if (!known.includes(name)) throw new UsageError(`expected a suite, got ${name}`);
  const { case: filter = "", variant, seed = "1", clock = "wall", json = false, out, minutes } = values;
  if (variant !== undefined && variant !== "simd" && variant !== "relaxed-simd") throw new UsageError(`expected --variant simd or relaxed-simd, got ${variant}`);
  if (clock !== "wall" && clock !== "cpu") throw new UsageError(`expected --clock wall or cpu, got ${clock}`);
  if (!/^\d{1,9}$/.test(seed)) throw new UsageError(`expected --seed as an integer from 0 up, got ${seed}`);
  if (minutes !== undefined && !/^\d{1,4}$/.test(minutes)) throw new UsageError(`expected --minutes as an integer from 0 up, got ${minutes}`);
  if (minutes !== undefined && out === undefined) throw new UsageError("expected --out with --minutes, got none");
  if (!SUITES.some((suite) => suites.includes(suite.name) && casesOf(suite, filter).length > 0)) throw new UsageError(`no case of ${suites.join(", ")} contains ${filter}`);
  return { suites, variants: variant === undefined ? ["relaxed-simd", "simd"] : [variant], filter, seed: Number(seed), clock, json, out, minutes: minutes === undefined ? undefined : Number(minutes) };
}

/** Runs one worker to its end. Its stdout is our stderr, so that stdout holds the result alone. */
function measure(job: Job, out: string | undefined): Promise<{ records: BenchRecord[]; left: string[] }> {
  return new Promise((resolve, reject) => {
    const records: BenchRecord[] = [], left: string[] = [];
    let red: string | undefined;
    const child = fork(join(import.meta.dirname, "worker.ts"), [JSON.stringify(job)], { execArgv: ["--expose-gc"], stdio: ["ignore", 2, 2, "ipc"] });
    child.on("message", (message: Message) => {
      if ("record" in message) {
        records.push(message.record);
        if (out !== undefined) store(out, [message.record]);
      } else if ("left" in message) left.push(message.left);
      else if ("red" in message) red = message.red;
      else process.stderr.write(`${message.progress}\n`);
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve({ records, left }) : reject(new Error(red ?? `the ${job.variant} process ended with ${code}`))));
  });
}

/** The WebGPU backend beside its peers; results are checked before times are taken. On a software adapter the figures are records, no comparison. */
async function webgpu(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { case: { type: "string" }, json: { type: "boolean" }, out: { type: "string" } } });
  const { benchWebGpu } = await import("../webgpu/bench.ts");
  const figures = await benchWebGpu(values.case ?? "");
  const { dependencies } = JSON.parse(readFileSync(join(import.meta.dirname, "../webgpu/package.json"), "utf8")) as { dependencies: Record<string, string> };
  const versions = Object.fromEntries(Object.entries(dependencies).filter(([name]) => /tfjs|jax|onnxruntime/.test(name)));
  const text = `${JSON.stringify({ meta: machine(1, "wall", versions), ...figures }, null, 1)}\n`;
  if (values.out !== undefined) writeFileSync(values.out, text);
  if (values.json) {
    process.stdout.write(text);
    return 0;
  }
  const { adapter, software, copyBandwidth, records, ahead, softmaxOfCopy } = figures, shown = ({ ms, refused }: { ms?: number; refused?: string }): string => (ms === undefined ? `refused: ${refused}` : `${ms.toFixed(3)} ms`);
  process.stdout.write(`${adapter}${software ? " (software: the figures say nothing of a GPU)" : ""}, copies ${copyBandwidth.toFixed(1)} GB/s\n\n`);
  for (const { case: name, ours: own, peers, rate } of records) process.stdout.write(`${name}: ours ${shown(own)}, ${rate.toFixed(2)} ${name.startsWith("matmul") ? "Gflop/s" : "GB/s"}; ${Object.entries(peers).map(([peer, figure]) => `${peer} ${shown(figure)}`).join("; ")}\n`);
  process.stdout.write(`\nTime over ours, geometric mean: ${Object.entries(ahead).map(([peer, ratio]) => `${peer} ${ratio.toFixed(2)}`).join(", ")}. The largest softmax at ${(100 * softmaxOfCopy).toFixed(0)} % of the copies' bandwidth.\n`);
  return 0;
}

async function main(): Promise<number> {
  if (process.argv[2] === "webgpu") return webgpu(process.argv.slice(3));
  const chosen = options(process.argv.slice(2));
  if (chosen === "list") {
    for (const { name, about, cases } of SUITES) process.stdout.write(`${name}: ${about}\n${cases.map((one) => `  ${one.name}\n`).join("")}`);
    return 0;
  }
  const { suites, variants, filter, seed, clock, json, out, minutes } = chosen, records: BenchRecord[] = [], left: string[] = [];
  const given = { filter, seed, clock, ...(minutes !== undefined && { until: Date.now() + 60_000 * minutes }) };
  const named = SUITES.filter(({ name }) => suites.includes(name)).map((suite) => ({ name: suite.name, cases: casesOf(suite, filter).map(({ name }) => name) }));
  // A process for each variant; with a limit one for each suite and variant, so that the order is free.
  const jobs: Job[] = minutes === undefined ? variants.map((variant) => ({ ...given, suites, variant })) : oldestFirst(named, variants, stored(out!)).map(({ suite, variant }) => ({ ...given, suites: [suite], variant }));
  for (const job of jobs) {
    if (Date.now() > (job.until ?? Infinity)) {
      left.push(...named.filter(({ name }) => job.suites.includes(name)).flatMap(({ name, cases }) => cases.map((one) => `${name} ${one} ${job.variant}`)));
      continue;
    }
    const measured = await measure(job, out);
    records.push(...measured.records);
    left.push(...measured.left);
  }
  if (left.length > 0) process.stderr.write(`${left.length} cases are left, the next one: ${left[0]}\n`);
  if (json) {
    process.stdout.write(`${JSON.stringify(records, null, 1)}\n`);
    return 0;
  }
  if (records.length === 0) return 0;
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
