/** The main job on real model outputs: a DenseNet on CIFAR-100, from log-probabilities to a report and a decision head. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const folder = join("data", "densenet-bc-100-cifar-100");
const file = join(folder, "outputs.npz");
const { status } = spawnSync(
  process.execPath,
  [
    join("packages", "logits", "dist", "cli.js"), "report",
    "--logits", `${file}:logits[0:5000]`, "--labels", `${file}:labels[0:5000]`,
    "--calibration-logits", `${file}:logits[5000:7500]`, "--calibration-labels", `${file}:labels[5000:7500]`,
    "--test-logits", `${file}:logits[7500:10000]`, "--test-labels", `${file}:labels[7500:10000]`,
    "--classes", join(folder, "class-names.json"),
    "--title", "DenseNet-BC-100 on CIFAR-100", "--alpha", "0.1", "--out", join("out", "demo"),
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
process.exitCode = status ?? 1;
