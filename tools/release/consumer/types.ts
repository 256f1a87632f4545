import { DecisionHead, softmax, type Decision, type Tensor } from "logits";
import { focalLoss } from "@logits/losses/classification";
import { Sampler } from "@logits/sampling";
import { entropy } from "@logits/core-wasm/rows";

const p: Tensor = softmax([[1, 2], [3, 4]]);
const data: Float32Array = softmax(new Float32Array([1, 2])).data;
const head = DecisionHead.fit({ logits: [[2, 0], [0, 2]], labels: [0, 1], classes: ["cat", "dog"] });
const decision: Decision<"cat" | "dog"> = head.decide([1, 2]);
if (decision.kind === "label") {
  const label: "cat" | "dog" = decision.label;
  void label;
}
// @ts-expect-error a refusal has no label: the kind must be looked at first
void decision.label;
const { loss, grad }: { loss: Tensor; grad: Tensor } = focalLoss.withGrad([[1, 2]], [0], { gamma: 2, reduction: "sum" });
// @ts-expect-error an option that the loss does not have
focalLoss([[1, 2]], [0], { gama: 2 });
void [loss, grad, new Sampler({ topP: 0.9 })];
void [p, data, entropy([1, 2])];
