import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { readTensor, toLabels, toMatrix } from "./readTensor.ts";

const data = join(import.meta.dirname, "../../../../data");
const bytes = (...path: string[]): Uint8Array => readFileSync(join(data, ...path));

describe("the data that the house carries", () => {
  it.each(["densenet-bc-100-cifar-100", "cifar10-vgg16", "clinc150", "detectors"])("%s: files are those that SOURCE.txt names", (folder) => {
    const source = bytes(folder, "SOURCE.txt").toString();
    const listed = [...source.slice(source.lastIndexOf("sha256:")).matchAll(/^ {2}([0-9a-f]{64}) {2}(\S+)$/gm)];
    expect(listed.length).toBeGreaterThanOrEqual(1);
    for (const [, sum, file] of listed) expect(createHash("sha256").update(bytes(folder, file)).digest("hex"), file).toBe(sum);
    expect(bytes(folder, "LICENSE.txt").length).toBeGreaterThan(1000);
  });

  it("DenseNet: read by our own reader, 100 rows of each class, and the NLL at T 2.120892 on the last 5,000 rows is 0.86655", async () => {
    const outputs = bytes("densenet-bc-100-cifar-100", "outputs.npz");
    const logits = toMatrix(await readTensor(outputs, "outputs.npz", "logits"), "outputs.npz:logits");
    const labels = toLabels(await readTensor(outputs, "outputs.npz", "labels"), "outputs.npz:labels");
    const names = JSON.parse(bytes("densenet-bc-100-cifar-100", "class-names.json").toString()) as string[];
    expect(logits.shape).toEqual([10000, 100]);
    expect(names).toHaveLength(100);
    expect(Array.from({ length: 100 }, (_, c) => labels.data.filter((label) => label === c).length)).toEqual(new Array(100).fill(100));
    const nll = (temperature: number): number => {
      let total = 0;
      for (let r = 5000; r < 10000; r++) {
        const row = logits.data.subarray(r * 100, r * 100 + 100);
        total += Math.log(row.reduce((sum, z) => sum + Math.exp(z / temperature), 0)) - row[labels.data[r]] / temperature;
      }
      return total / 5000;
    };
    // The last digit shown.
    expectClose(nll(2.120892), 0.86655, { atol: 5e-6 });
    expectClose(nll(1), 1.2116, { atol: 5e-5 });
  });

  it("CLINC150: as many queries of each intent and out of scope as SOURCE.txt says", () => {
    const lists = JSON.parse(gunzipSync(bytes("clinc150", "data_full.json.gz")).toString()) as Record<string, [query: string, intent: string][]>;
    expect(Object.fromEntries(Object.entries(lists).map(([name, rows]) => [name, rows.length]))).toEqual({ train: 15000, val: 3000, test: 4500, oos_train: 100, oos_val: 100, oos_test: 1000 });
    const intents = [...new Set(lists.train.map(([, intent]) => intent))];
    expect(intents).toHaveLength(150);
    for (const [name, each] of [["train", 100], ["val", 20], ["test", 30]] as const) {
      expect(new Set(intents.map((intent) => lists[name].filter(([, other]) => other === intent).length))).toEqual(new Set([each]));
    }
  });

  it("VGG: probabilities and labels of 10 classes, accuracy 0.9359", async () => {
    const probabilities = toMatrix(await readTensor(bytes("cifar10-vgg16", "probabilities.npy"), "probabilities.npy"), "probabilities.npy");
    const labels = toLabels(await readTensor(bytes("cifar10-vgg16", "labels.npy"), "labels.npy"), "labels.npy");
    let right = 0;
    for (let r = 0; r < 10000; r++) {
      const row = probabilities.data.subarray(r * 10, r * 10 + 10);
      if (row.indexOf(Math.max(...row)) === labels.data[r]) right++;
    }
    expect(right).toBe(9359);
  });
});
