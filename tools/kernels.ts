/**
 * Times every case of every package's `*.bench.ts` by itself, typed array in and out: `npx -y pnpm@12 bench:kernels [substring]`.
 * For a look at one kernel while working on it; figures that are quoted come from `bench`, beside peers and behind a check.
 */
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

interface Case {
  readonly name: string;
  readonly rows?: number;
  readonly cols?: number;
  readonly m?: number;
  readonly k?: number;
  readonly n?: number;
  run(...inputs: unknown[]): unknown;
}

const root = join(import.meta.dirname, "..");
const { tensor, randomSource } = (await import(pathToFileURL(join(root, "packages/tensor/dist/index.js")).href)) as typeof import("@logits/tensor");
const random = randomSource(1);
const scores = (shape: number[]): unknown => tensor(Float32Array.from({ length: shape[0] * shape[1] }, () => 20 * random.uniform() - 10), shape);

for (const file of globSync("packages/*/src/*.bench.ts", { cwd: root }).toSorted()) {
  const { cases } = (await import(pathToFileURL(join(root, file)).href)) as { cases: readonly Case[] };
  for (const one of cases) {
    const name = `${basename(file, ".bench.ts")}: ${one.name}`;
    if (!name.includes(process.argv[2] ?? "")) continue;
    const matrix = one.m !== undefined;
    const inputs = matrix ? [scores([one.m!, one.k!]), scores([one.k!, one.n!])] : [scores([one.rows!, one.cols!])];
    const once = (count: number): number => {
      const start = performance.now();
      for (let i = 0; i < count; i++) one.run(...inputs);
      return (performance.now() - start) / count;
    };
    const count = Math.max(1, Math.ceil(20 / Math.max(once(1), 1e-4)));
    for (const end = performance.now() + 300; performance.now() < end; ) once(count);
    const median = Array.from({ length: 9 }, () => once(count)).toSorted((a, b) => a - b)[4];
    const rate = matrix ? `${((2 * one.m! * one.k! * one.n!) / median / 1e6).toFixed(1)} GFLOP/s` : `${((median * 1e6) / (one.rows! * one.cols!)).toFixed(2)} ns per element`;
    console.log(`${name.padEnd(44)} ${median < 1 ? `${(median * 1000).toFixed(2)} us` : `${median.toFixed(2)} ms`}`.padEnd(60), rate);
  }
}
