import { readFileSync } from "node:fs";
import { DecisionHead, LinearHead, hashedNgrams, type Decision } from "@logits/head";
import { ConformalPValues } from "@logits/ood";
import { Tensor, randomSource } from "@logits/tensor";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { newIntents } from "../../../packages/logits/src/cli/newIntents.ts";
import { trainIntents } from "../src/data/intents.ts";
import { count, fixed, pValue, percent, probability } from "../src/ui/format.ts";
import { expectShown, panelOpener, shown } from "./browser.ts";
import { intents, sentences } from "./data.ts";

const open = panelOpener({ acceptDownloads: true });
let page: Page;

/** What the decision card must say first. */
function headline(decision: Decision): string {
  if (decision.kind === "label") return decision.label.replaceAll("_", " ");
  if (decision.kind === "unknown") return "I do not know";
  if (decision.kind === "invalid") return "No valid input";
  return decision.set.length > 6 ? `${decision.set.length} classes are possible` : decision.set.map((name) => name.replaceAll("_", " ")).join(" or ");
}

/** What the decision card shows. */
interface Said {
  readonly kind: string;
  readonly head: string;
  readonly numbers: readonly string[];
}

const said = async (): Promise<Said> => {
  const card = page.locator("[data-name=decision]"), head = (await card.locator("strong").textContent())!;
  return { kind: (await card.getAttribute("data-kind"))!, head, numbers: (await card.textContent())!.slice(head.length).match(/(?:[<>] )?\u2212?\d+(?:\.\d+)?(?:\u00a0%)?|below 0\.001/g) ?? [] };
};

/** What it must show: the first three probabilities; or score, threshold and p-value. */
function saying(decision: Decision): Said {
  const shortened = (x: number): string => x.toPrecision(4).replace("-", "\u2212");
  const numbers = decision.kind === "label" ? [probability(decision.probability)]
    : decision.kind === "ambiguous" ? decision.probabilities.slice(0, 3).map(probability)
      : decision.kind === "unknown" ? [shortened(decision.why.score), shortened(decision.why.threshold), pValue(decision.pValue)] : [];
  return { kind: decision.kind, head: headline(decision), numbers };
}

describe("Intents", () => {
  test("decides as the library does: the kind, the intent, the probability and the p-value", async () => {
    page = await open("intents");
    const { head, ngrams, figures } = intents(), pValues = ConformalPValues.fromJSON(head.toJSON().pValues);
    await expectShown(page, "intent-accuracy", percent(figures.accuracy));
    const kinds: string[] = [];
    for (const sentence of ["what's the balance of my savings account", "change my flight to the alarm", "do penguins have knees", "how do i sail to the moon", "?!"]) {
      await page.locator("input[name=sentence]").fill(sentence);
      await page.locator("input[name=sentence]").press("Enter");
      await expect.poll(() => shown(page, "intents-summary")).toContain(sentence);
      const features = ngrams.transform([sentence]), decision = head.decide({ features }), logits = head.scorer!.logits(features);
      await expectShown(page, "intent-p-value", pValue(pValues.pValue(head.detector!.score({ logits }).data[0])));
      expect(await said()).toEqual(saying(decision));
      const p = Math.max(...head.calibrator.probabilities(logits).data);
      expect(await page.locator("[data-name=top] li").first().locator("span").last().textContent()).toBe(probability(p));
      kinds.push(decision.kind);
    }
    expect(new Set(kinds)).toEqual(new Set(["label", "ambiguous", "unknown"]));
  });

  test("trains in the browser with the library's result, keeps it over a reload, and can be stopped", async () => {
    page = await open("intents");
    await page.locator("select[name=examples]").selectOption("100");
    await page.locator("button[name=train]").click();
    await page.locator("[data-name=train-job] button").click();
    await expect.poll(() => page.locator(".message[role=status]").textContent()).toContain("Stopped");
    await page.locator("select[name=examples]").selectOption("10");
    await page.locator("button[name=train]").click();
    const { figures } = await trainIntents(sentences(), 10);
    await page.locator("button[name=reset]").waitFor({ timeout: 50_000 });
    for (let visit = 0; visit < 2; visit++) {
      await expectShown(page, "intent-accuracy", percent(figures.accuracy));
      await expectShown(page, "intent-detected", percent(figures.detected));
      await expectShown(page, "intent-false", percent(figures.falsePositives));
      await expectShown(page, "intent-coverage", percent(figures.coverage));
      await page.reload();
    }
    await page.locator("button[name=reset]").click();
    await expectShown(page, "intent-accuracy", percent(intents().figures.accuracy));
  });

  test("groups what was refused; named groups become classes, with the library's figures", async () => {
    page = await open("intents");
    await page.locator("button[name=group]").click();
    const act = await newIntents(sentences());
    await expect.poll(() => page.locator("[data-name=groups-summary]").count(), { timeout: 120_000 }).toBe(1);
    expect(await shown(page, "groups-summary")).toContain(`${act.refused} were refused; ${act.groups.length} groups`);
    expect(await page.locator("section[aria-label=\"New intents\"] li li").allTextContents()).toEqual(act.groups.flatMap(({ nearest }) => nearest));
    await page.locator("input[name=group-name]").first().fill("");
    expect(await page.locator("button[name=add-intents]").isDisabled()).toBe(true);
    await page.locator("input[name=group-name]").first().fill("a name of one's own");
    await page.locator("button[name=add-intents]").click();
    await expect.poll(() => page.locator("[data-name=added-right]").count(), { timeout: 60_000 }).toBe(1);
    await expectShown(page, "added-right", percent(act.after.added));
    await expectShown(page, "kept-right", percent(act.after.known));
    await expectShown(page, "added-false", percent(act.after.falseAlarms));
    expect(await page.locator("table[data-name=act]").textContent()).toContain("a name of one's own");
    if (process.env.SHOTS) await page.locator("section[aria-label=\"New intents\"]").screenshot({ path: `${process.env.SHOTS}/new-intents.png` });
  }, 240_000);
});

/** A picture file of 64 x 64 pixels in noisy bands of colour. */
function bitmap(colours: readonly (readonly [number, number, number])[], random: { integer(n: number): number }): { readonly file: Buffer; readonly features: Float32Array } {
  const side = 64, file = Buffer.alloc(54 + side * side * 3), features = new Float32Array(192);
  file.write("BM");
  file.writeUInt32LE(file.length, 2);
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(side, 18);
  file.writeInt32LE(side, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(24, 28);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const colour = colours[Math.floor((y * colours.length) / side)];
      for (let c = 0; c < 3; c++) {
        const value = Math.min(255, colour[c] + random.integer(40));
        file[54 + ((side - 1 - y) * side + x) * 3 + (2 - c)] = value;
        features[(Math.floor(y / 8) * 8 + Math.floor(x / 8)) * 3 + c] += value / (255 * 64);
      }
    }
  }
  return { file, features };
}

describe("Teach", () => {
  test("teaches texts as the library does, saves a small head, and opens it again", async () => {
    page = await open("teach");
    await page.locator("button[name=example-texts]").click();
    await expect.poll(() => page.locator("textarea").count()).toBe(4);
    await page.locator("button[name=teach]").click();

    const names = ["weather", "timer", "translate", "recipe"], { train } = sentences();
    const rows = names.flatMap((name, label) => train.filter(([, intent]) => intent === name).map(([text]) => ({ text, label })));
    const order = randomSource(0, 21).permutation(rows.length), half = rows.length / 2;
    const part = (from: number, to: number) => {
      const own = Array.from(order.slice(from, to), (n) => rows[n]);
      return { features: hashedNgrams(own.map(({ text }) => text), { buckets: 1024 }), labels: Int32Array.from(own, ({ label }) => label) };
    };
    const first = part(0, half), second = part(half, rows.length), scorer = LinearHead.fit(first.features, first.labels, { classes: 4, l2: 1e-3 });
    const head = DecisionHead.fit({ scorer, ...second, classes: names }, { alpha: 0.1, detector: "energy", maxFalsePositiveRate: 0.1, confidence: "marginal", split: 0.3, seed: 0 });
    await expectShown(page, "taught-calibration", count(head.calibrationRows));
    await expectShown(page, "taught-size", `${fixed(head.toBytes().length / 1024, 1)} KiB`);
    const logits = scorer.logits(second.features), right = second.labels.reduce((sum, label, n) => sum + Number(logits.data.subarray(4 * n, 4 * n + 4).indexOf(Math.max(...logits.data.subarray(4 * n, 4 * n + 4))) === label), 0);
    await expectShown(page, "taught-right", percent(right / second.labels.length));

    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("[data-name=download]").click()]);
    const bytes = readFileSync((await download.path())!), read = DecisionHead.fromBytes(new Uint8Array(bytes));
    expect(bytes.length).toBeLessThan(32 * 1024);
    const ask = async (text: string): Promise<void> => {
      await page.locator("input[name=try-text]").fill(text);
      await page.locator("button[name=try]").click();
      const decision = read.decide({ features: hashedNgrams([text], { buckets: 1024 }) });
      await expect.poll(said).toEqual(saying(decision));
    };
    await ask("will it rain tomorrow");
    await ask("zzz qqq xyzzy");
    await page.locator("input[name=open-head]").setInputFiles({ name: "head.safetensors", mimeType: "application/octet-stream", buffer: bytes });
    await expect.poll(() => shown(page, "teach-summary")).toContain("Opened a head of 4 classes: weather, timer, translate, recipe");
    await ask("set a timer for ten minutes");
    await page.locator("input[name=open-head]").setInputFiles({ name: "head.safetensors", mimeType: "application/octet-stream", buffer: Buffer.from("no head") });
    await expect.poll(() => page.locator("[role=alert]").first().textContent()).toContain("DecisionHead.fromBytes");
  });

  test("teaches pictures as the library does, and says unknown to a strange one", async () => {
    page = await open("teach");
    await page.locator("input[value=pictures]").check();
    const random = randomSource(3), kinds = [[[200, 120, 60], [120, 40, 60]], [[120, 180, 110], [30, 90, 40]]] as const, each = 24;
    const pictures = kinds.map((colours) => Array.from({ length: each }, () => bitmap(colours, random)));
    const files = (list: readonly { readonly file: Buffer }[]) => list.map(({ file }, i) => ({ name: `${i}.bmp`, mimeType: "image/bmp", buffer: file }));
    for (const [i, list] of pictures.entries()) {
      await page.locator(".classes input[type=file]").nth(i).setInputFiles(files(list));
      await expect.poll(() => page.locator(".classes li").nth(i).textContent()).toContain(`Pictures (${each})`);
    }
    await page.locator("button[name=teach]").click();

    const rows = pictures.flatMap((list, label) => list.map(({ features }) => ({ features, label }))), order = randomSource(0, 21).permutation(rows.length), half = rows.length / 2;
    const part = (from: number, to: number) => {
      const own = Array.from(order.slice(from, to), (n) => rows[n]);
      return { features: new Tensor("float32", [own.length, 192], Float32Array.from(own.flatMap(({ features }) => [...features]))), labels: Int32Array.from(own, ({ label }) => label) };
    };
    const first = part(0, half), second = part(half, rows.length), scorer = LinearHead.fit(first.features, first.labels, { classes: 2, l2: 1e-3 });
    const head = DecisionHead.fit({ scorer, ...second, classes: ["first class", "second class"] }, { alpha: 0.1, detector: { method: "knn", k: 1 }, maxFalsePositiveRate: 0.1, confidence: "marginal", split: 0.3, seed: 0 });
    await expectShown(page, "taught-calibration", count(head.calibrationRows));
    for (const colours of [kinds[0], kinds[1], [[20, 20, 240], [240, 240, 20]]] as const) {
      const { file, features } = bitmap(colours, random), decision = head.decide({ features });
      await page.locator("input[name=try-picture]").setInputFiles(files([{ file }]));
      await expect.poll(said).toEqual(saying(decision));
    }
    expect((await said()).kind).toBe("unknown");
    await page.locator("button[name=example-pictures]").click();
    await expect.poll(() => page.locator(".classes li").count()).toBe(3);
    await page.locator("button[name=teach]").click();
    await expectShown(page, "taught-calibration", "63");
    await page.locator("button[name=try-sunset]").click();
    await page.locator("[data-name=decision]").waitFor();
  });
});

describe("Speed", () => {
  test("checks every result before it is timed, and shows times and ratios that agree", async () => {
    page = await open("speed");
    await page.locator("button[name=measure]").click();
    await page.locator("[data-name=speed-job] button").click();
    await expect.poll(() => page.locator(".message[role=status]").textContent()).toContain("Stopped");
    await page.locator("button[name=measure]").click();
    await page.locator("table[data-name=speed]").waitFor({ timeout: 55_000 });
    const rows = await page.locator("table[data-name=speed] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));
    expect(rows.map(([name]) => name)).toEqual(["softmax 64 × 1000", "softmax 1 × 50,257", "topK, 10 largest 1 × 50,257", "matmul 64 × 512 by 512 × 256", "temperature fit 1000 × 100"]);
    const ms = (text: string): number => parseFloat(text) * (text.endsWith("µs") ? 1e-3 : 1);
    for (const [, ratio, library, plain] of rows) {
      const times = [ms(library), ms(plain)], faster = ratio.endsWith("faster");
      // Both times have three digits and the ratio has one decimal.
      expect(parseFloat(ratio)).toBeCloseTo(faster ? times[1] / times[0] : times[0] / times[1], 0);
      expect(faster).toBe(times[1] >= times[0]);
    }
    expect(await shown(page, "speed-summary")).toContain("All 5 results agree");
    expect(await shown(page, "variant")).toBe("relaxed-simd");
  });
});
