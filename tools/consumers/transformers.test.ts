import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RawImage, env, pipeline } from "@huggingface/transformers";
import { DecisionHead } from "@logits/head";
import { collect, guard } from "@logits/interop/transformers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { INTENTS, intents, writeText } from "./models.ts";

const folder = mkdtempSync(join(tmpdir(), "logits-transformers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(() => {
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  writeText(join(folder, "text"));
  writeText(join(folder, "tapped"), ["squashed", "hidden"]);
});

describe("text-classification", () => {
  it("collects what the pipeline's model says", async () => {
    const classifier = await pipeline("text-classification", "text", { dtype: "fp32" });
    const { texts, labels } = intents(50, 1);
    const data = await collect(classifier, texts, labels);
    console.log(data.classes, data.logits.toString());
    console.log(await classifier(texts[0], { top_k: 3 }));
    const head = DecisionHead.fit(data);
    const decide = guard(classifier, head);
    console.log(await decide(texts[0]), await decide(texts.slice(0, 2)));
    const t = await pipeline("text-classification", "tapped", { dtype: "fp32" });
    console.log((await collect(t, texts.slice(0, 3), [0, 1, 2], { features: "hidden" })).features!.toString());
    console.log((await collect(t, texts.slice(0, 3), [0, 1, 2], { features: "squashed" })).features!.toString());
  });
});
