// What adaptive prediction sets are made of; for @logits/conformal, not part of the package's index.
export { labelRanks, massSets, type LabelRanks, type MassSets, type MassSetsOptions } from "../massSets.ts";
