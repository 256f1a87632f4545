/** What the pages take for granted: models in the folder where a program runs, labelled inputs that did not train them. */
import { writeFileSync } from "node:fs";
import { env } from "@huggingface/transformers";
import * as tf from "@tensorflow/tfjs";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { FLOWER_WEIGHTS, flowerModel, flowers, intents, writeText } from "./models.ts";

// "my/intents" is a folder of the Hub; without one the pages' programs must not reach for the network.
env.localModelPath = "models";
env.allowRemoteModels = false;
writeText("models/my/intents");
writeText("models/my/intents-tapped", ["hidden"]);

writeFileSync("flowers.onnx", onnxModel({ ...flowerModel(), outputs: flowerModel().outputs.slice(0, 1) }));
writeFileSync("flowers-tapped.onnx", onnxModel(flowerModel()));

// "/flowers/model.json" is on the page's own server.
const model = tf.sequential({
  layers: [tf.layers.activation({ activation: "relu", name: "hidden", inputShape: [4] }), tf.layers.dense({ units: 3, name: "scores", useBias: false })],
});
model.getLayer("scores").setWeights([tf.tensor2d(FLOWER_WEIGHTS, [4, 3])]);
await model.save(tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
  const files: Record<string, string | ArrayBuffer> = {
    "/flowers/model.json": JSON.stringify({ modelTopology, weightsManifest: [{ paths: ["weights.bin"], weights: weightSpecs }] }),
    "/flowers/weights.bin": Array.isArray(weightData) ? weightData[0] : weightData!,
  };
  const { fetch } = globalThis;
  globalThis.fetch = async (url, init) => {
    const file = files[`${url instanceof Request ? url.url : url}`];
    return file === undefined ? fetch(url, init) : new Response(file, { headers: { "content-type": typeof file === "string" ? "application/json" : "application/octet-stream" } });
  };
  return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
}));

export const { texts, labels: intentLabels } = intents(400, 1);
export const { rows, labels: species } = flowers(400, 1);
