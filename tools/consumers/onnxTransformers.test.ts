import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { LinearHead } from "@logits/head";
import { readLinearHead, tap } from "@logits/interop/onnx";
import { collect } from "@logits/interop/transformers";
import { expectClose, expectExact } from "@logits/testkit";
import { afterAll, expect, it } from "vitest";
import { intents, writeText } from "./models.ts";

const folder = mkdtempSync(join(tmpdir(), "logits-onnx-transformers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("a pipeline of Transformers.js whose cache hands out tapped bytes gives the same logits, and the features", async () => {
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  writeText(join(folder, "text"));
  writeText(join(folder, "patched"));
  const { texts, labels } = intents(40, 1);
  const plain = await collect(await pipeline("text-classification", "text", { dtype: "fp32" }), texts, labels);

  const model = new Uint8Array(readFileSync(join(folder, "patched", "onnx", "model.onnx")));
  const { bytes, name } = tap(model);
  let handedOut = 0;
  Object.assign(env, {
    useCustomCache: true,
    customCache: {
      match: async (key: string) => (key.endsWith("model.onnx") ? (handedOut++, new Response(bytes as BodyInit)) : undefined),
      put: async () => {},
    },
  });
  const tapped = await collect(await pipeline("text-classification", "patched", { dtype: "fp32" }), texts, labels, { features: name });
  Object.assign(env, { useCustomCache: false, customCache: null });

  expect(handedOut).toBeGreaterThan(0);
  expectExact([...tapped.logits.data], [...plain.logits.data]);
  expect(tapped.features!.shape).toEqual([40, 8]);
  const { weights, bias } = readLinearHead(model);
  // Eight products of numbers below 10 in float32.
  expectClose(LinearHead.fromWeights(weights, bias).logits(tapped.features!), tapped.logits, { atol: 1e-5 });
});
