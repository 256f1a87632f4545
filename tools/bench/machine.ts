import { execFileSync } from "node:child_process";
import { cpus, loadavg } from "node:os";
import type { Clock } from "./harness.ts";
import type { Meta } from "./types.ts";

/** What a reader needs to judge a figure; `load` is the average of the last minute when the run began. */
export function machine(seed: number, clock: Clock, versions: Record<string, string>): Meta {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() || "unknown",
    cores: cores.length,
    load: Math.round(loadavg()[0] * 100) / 100,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    v8: process.versions.v8,
    seed,
    clock,
    commit: commit(),
    date: new Date().toISOString(),
    versions,
  };
}

/** Of what is measured: the packages and this folder. Outside a git checkout there is no commit to name. */
function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--", ":/packages", ":/tools/bench") === "" ? "" : " with changes");
  } catch {
    return "unknown";
  }
}
