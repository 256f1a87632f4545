/** The main job on real data: a DenseNet's outputs become a report and a head; queries to an assistant train a classifier that knows when it does not know. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const folder = join("data", "densenet-bc-100-cifar-100");
const file = join(folder, "outputs.npz");

function logits(stdout: "inherit" | 2, ...args: string[]): void {
  const { status } = spawnSync(process.execPath, [join("packages", "logits", "dist", "cli.js"), ...args], { cwd: root, stdio: ["inherit", stdout, "inherit"] });
  if (status !== 0) process.exit(status ?? 1);
}

logits(
  "inherit", "report",
  "--logits", `${file}:logits[0:5000]`, "--labels", `${file}:labels[0:5000]`,
  "--calibration-logits", `${file}:logits[5000:7500]`, "--calibration-labels", `${file}:labels[5000:7500]`,
  "--test-logits", `${file}:logits[7500:10000]`, "--test-labels", `${file}:labels[7500:10000]`,
  "--classes", join(folder, "class-names.json"),
  "--title", "DenseNet-BC-100 on CIFAR-100", "--alpha", "0.1", "--out", join("out", "demo"),
  ...process.argv.slice(2),
);
// --json promises one object on stdout: that of the report.
logits(process.argv.includes("--json") ? 2 : "inherit", "demo");
