import type { Decision } from "@logits/head";

/** A decision in one line, for people. */
export function decisionLine(decision: Decision): string {
  switch (decision.kind) {
    case "label":
      return `${decision.label} (${decision.probability.toFixed(2)})`;
    case "ambiguous": {
      const shown = decision.set.slice(0, 4).map((name, i) => `${name} ${decision.probabilities[i].toFixed(2)}`);
      return `ambiguous: ${shown.join(", ")}${decision.set.length > 4 ? `, and ${decision.set.length - 4} more` : ""}`;
    }
    case "unknown":
      return `unknown (p ${decision.pValue.toFixed(3)}; nearest ${decision.nearest})`;
    case "invalid":
      return `invalid: ${decision.why.text}`;
  }
}
