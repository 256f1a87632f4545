import type { Decision } from "@logits/head";
import type { JSX } from "preact";
import { pValue, probability } from "./format.ts";

/** A single class below this probability is shown without the colour of success. */
const SURE = 0.8;

/** A decision in words; a screen reader hears it when it changes. */
export function DecisionCard({ decision, plain = (name) => name }: { readonly decision: Decision; readonly plain?: (name: string) => string }): JSX.Element {
  const [tone, head, text] = words(decision, plain);
  return <div class={`verdict decision ${tone}`} role="status" data-name="decision" data-kind={decision.kind}><strong>{head}</strong>{text}</div>;
}

function words(decision: Decision, plain: (name: string) => string): readonly [tone: string, head: string, text: string] {
  switch (decision.kind) {
    case "label":
      return decision.probability >= SURE
        ? ["good", plain(decision.label), `The only class left at the promised rate of misses; probability ${probability(decision.probability)}.`]
        : ["plain", plain(decision.label), `The only class left at the promised rate of misses, but its probability is ${probability(decision.probability)} only: this may well be one of the misses.`];
    case "ambiguous":
      return ["plain", decision.set.length > 6 ? `${decision.set.length} classes are possible` : decision.set.map(plain).join(" or "), `Several classes are left at the promised rate of misses. The most probable: ${decision.set.slice(0, 3).map((name, i) => `${plain(name)} ${probability(decision.probabilities[i])}`).join(", ")}.`];
    case "unknown":
      return ["bad", "I do not know", `Unlike the rows of the fit: “${decision.why.detector}” gives ${decision.why.score.toPrecision(4).replace("-", "−")}, more than the threshold ${decision.why.threshold.toPrecision(4).replace("-", "−")}; p-value ${pValue(decision.pValue)}. The nearest class would be ${plain(decision.nearest)}.`];
    case "invalid":
      return ["bad", "No valid input", `${decision.why.text}.`];
  }
}
