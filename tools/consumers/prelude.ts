/** What the pages take for granted: models in the folder where a program runs, labelled inputs that did not train them. */
import { readFileSync, writeFileSync } from "node:fs";
import { env } from "@huggingface/transformers";
import * as tf from "@tensorflow/tfjs";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { FLOWER_WEIGHTS, flowerModel, flowers, intents, writeLanguageModel, writeText, writeTokens } from "./models.ts";

// "my/intents" is a model on the Hub, "/flowers/model.json" a file of the page's own server; nothing else can be fetched.
const served = new Map<string, string | Uint8Array>();
globalThis.fetch = async (input) => {
  const url = `${input instanceof Request ? input.url : input}`;
  const body = served.get(url);
  return new Response(body as BodyInit | undefined, { status: body === undefined ? 404 : 200, headers: { "content-type": url.endsWith(".json") ? "application/json" : "application/octet-stream" } });
};
env.fetch = (input, init) => globalThis.fetch(input, init);
env.cacheDir = "cache";
writeText("intents");
writeTokens("names");
writeLanguageModel("words");
for (const name of ["intents", "names", "words"]) for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"]) served.set(`https://huggingface.co/my/${name}/resolve/main/${file}`, readFileSync(`${name}/${file}`));

writeFileSync("flowers.onnx", onnxModel({ ...flowerModel(), outputs: flowerModel().outputs.slice(0, 1) }));
writeFileSync("flowers-tapped.onnx", onnxModel(flowerModel()));

const model = tf.sequential({
  layers: [tf.layers.activation({ activation: "relu", name: "hidden", inputShape: [4] }), tf.layers.dense({ units: 3, name: "scores", useBias: false })],
});
model.getLayer("scores").setWeights([tf.tensor2d(FLOWER_WEIGHTS, [4, 3])]);
await model.save(tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
  served.set("/flowers/model.json", JSON.stringify({ modelTopology, weightsManifest: [{ paths: ["weights.bin"], weights: weightSpecs }] }));
  served.set("/flowers/weights.bin", new Uint8Array(weightData as ArrayBuffer));
  return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
}));

export const { texts, labels: intentLabels } = intents(400, 1);
export const { rows, labels: species } = flowers(400, 1);
