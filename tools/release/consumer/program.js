import { focalLoss } from "@logits/losses/classification";
import { Sampler } from "@logits/sampling";
import { ctcLoss } from "@logits/structured-prediction/alignments";
import { DecisionHead, configureWasm, core, randomSource, softmax } from "logits";
import { digest } from "./digest.js";

/** What a stranger's program does first, and the hash of deterministic results: the same text in every engine. */
export function program() {
  configureWasm({ deterministic: true });
  const random = randomSource(1);
  const labels = Int32Array.from({ length: 400 }, () => random.integer(3));
  const logits = { shape: [400, 3], data: Float32Array.from({ length: 1200 }, (_, i) => 4 * random.uniform() + (labels[Math.floor(i / 3)] === i % 3 ? 2 : 0)) };
  const head = DecisionHead.fit({ logits, labels, classes: ["cat", "dog", "bird"] }, { alpha: 0.1, seed: 0 });
  const again = DecisionHead.fromJSON(JSON.parse(JSON.stringify(head)));
  const { loss, grad } = focalLoss.withGrad(logits, labels, { gamma: 2 });
  const sampler = new Sampler({ temperature: 0.8, topP: 0.9, seed: 7 }), tokens = Array.from({ length: 20 }, (_, position) => sampler.sample(logits.data.subarray(0, 300), { position }).tokens.item());
  const spelt = ctcLoss({ data: logits.data.subarray(0, 60), shape: [20, 3] }, [1, 2, 2, 1]).item();
  return JSON.stringify({ loss: loss.item(), slope: grad.at(7, 1), tokens, spelt, softmax: softmax([1, 2, 3]).toArray(), decision: again.decide([9, 1, 0]), invalid: again.decide([NaN, 0, 0]).kind, digest: digest(), variant: core.variant });
}
