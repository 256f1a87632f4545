import { spawnSync } from "node:child_process";

/** What a program printed; a failure carries both streams. */
export function run(command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: Record<string, string>; readonly timeoutMs?: number } = {}): string {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, encoding: "utf8", maxBuffer: 1 << 28, timeout: options.timeoutMs ?? 300_000 });
  if (error || status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `ended with ${status ?? signal}`}\n${stdout}\n${stderr}`);
  return stdout;
}
