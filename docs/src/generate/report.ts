import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Bin {
  readonly count: number;
  readonly confidence: number;
  readonly accuracy: number;
  readonly lower: number;
  readonly upper: number;
  readonly interval: readonly [number, number];
}
interface Measures {
  readonly accuracy: number;
  readonly meanConfidence: number;
  readonly nll: number;
  readonly ece: number;
  readonly eceNull: { readonly mean: number; readonly quantile95: number };
  readonly reliability: readonly Bin[];
}
/** What the pages take from the `metrics.json` of `logits report`. */
export interface Metrics {
  readonly temperature: number;
  readonly before: Measures;
  readonly after: Measures;
  readonly rows: { readonly fit: number; readonly calibration: number; readonly test: number; readonly shown: number };
  readonly sets: readonly { readonly method: string; readonly coverage: { readonly rows: number; readonly share: number; readonly interval: readonly [number, number] }; readonly meanSize: number }[];
}

/** The report on the outputs of a DenseNet on CIFAR-100 that the repository carries, by the built command line. */
export function writeReport(root: string, out: string): Metrics {
  const file = "data/densenet-bc-100-cifar-100/outputs.npz";
  const rows = (option: string, range: string): string[] => [`--${option}logits`, `${file}:logits[${range}]`, `--${option}labels`, `${file}:labels[${range}]`];
  execFileSync(process.execPath, [
    "packages/logits/dist/cli.js", "report", ...rows("", "0:5000"), ...rows("calibration-", "5000:7500"), ...rows("test-", "7500:10000"),
    "--classes", "data/densenet-bc-100-cifar-100/class-names.json", "--title", "DenseNet-BC-100 on CIFAR-100", "--alpha", "0.1", "--out", join(out, "report"),
  ], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  return JSON.parse(readFileSync(join(out, "report", "metrics.json"), "utf8")) as Metrics;
}
