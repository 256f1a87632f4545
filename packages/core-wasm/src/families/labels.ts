// What losses of log p[label] need; for @logits/losses, not part of the package's index.
export { labelSums, softCapped, type LabelScales } from "../labelSums.ts";
