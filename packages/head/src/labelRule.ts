import { checkPositive, rangeError, readJson, typeError } from "@logits/tensor";

const RULES = ["maxFalsePositiveRate", "cost", "fMeasure", "maxMissed"] as const;

/**
 * How thresholds on calibrated probabilities are chosen; a label is given where p >= threshold.
 *
 * - `maxFalsePositiveRate`: for each label, at most this share of the rows without it get it, with `confidence` (default 0.95) over the drawing of the calibration rows.
 * - `cost`: for each label the smallest expected cost if the probabilities are right: p >= falsePositive / (falsePositive + falseNegative). Uses no calibration row.
 * - `fMeasure`: beta > 0; for each label the largest F_beta on the calibration rows. No promise.
 * - `maxMissed`: one threshold for all labels; the share of a row's true labels that is missed is at most this in the mean (conformal risk control).
 */
export type LabelRule =
  | { readonly maxFalsePositiveRate: number; readonly confidence?: number }
  | { readonly cost: { readonly falsePositive: number; readonly falseNegative: number } }
  | { readonly fMeasure: number }
  | { readonly maxMissed: number };

/** Checks a rule and fills in its default. */
export function checkRule(where: string, rule: LabelRule): LabelRule {
  const open = (argument: string, value: number): void => {
    if (!(value > 0 && value < 1)) throw rangeError(where, argument, "in (0, 1)", `${value}`);
  };
  const given = typeof rule === "object" && rule !== null ? RULES.filter((kind) => kind in rule) : [];
  if (given.length !== 1) throw typeError(where, "rule", "with one of `maxFalsePositiveRate`, `cost`, `fMeasure`, `maxMissed`", given.join(" and ") || "none");
  if ("maxFalsePositiveRate" in rule) {
    const { maxFalsePositiveRate, confidence = 0.95 } = rule;
    open("rule.maxFalsePositiveRate", maxFalsePositiveRate);
    open("rule.confidence", confidence);
    return { maxFalsePositiveRate, confidence };
  }
  if ("cost" in rule) {
    const { falsePositive, falseNegative } = rule.cost;
    checkPositive(where, "rule.cost.falsePositive", falsePositive);
    checkPositive(where, "rule.cost.falseNegative", falseNegative);
    return { cost: { falsePositive, falseNegative } };
  }
  if ("fMeasure" in rule) {
    checkPositive(where, "rule.fMeasure", rule.fMeasure);
    return { fMeasure: rule.fMeasure };
  }
  open("rule.maxMissed", rule.maxMissed);
  return { maxMissed: rule.maxMissed };
}

/** A rule from JSON. */
export function readRule(where: string, json: unknown): LabelRule {
  const fields = readJson(`${where}: in \`rule\``, { ...Object(json), format: "rule", version: 1 }, "rule", 1, "@logits/head");
  const kinds = RULES.filter((kind) => Object.hasOwn(Object(json) as object, kind));
  if (kinds.length !== 1) return fields.fail("rule", `with one of ${RULES.join(", ")}`, kinds.join(" and ") || "none");
  const open = (field: string): number => {
    const value = fields.number(field, 0, 1);
    return value > 0 && value < 1 ? value : fields.fail(field, "in (0, 1)", `${value}`);
  };
  if (kinds[0] === "maxFalsePositiveRate") return { maxFalsePositiveRate: open("maxFalsePositiveRate"), confidence: open("confidence") };
  if (kinds[0] === "maxMissed") return { maxMissed: open("maxMissed") };
  if (kinds[0] === "fMeasure") {
    const beta = fields.number("fMeasure", 0);
    return beta > 0 ? { fMeasure: beta } : fields.fail("fMeasure", "> 0", `${beta}`);
  }
  const costs = readJson(`${where}: in \`rule.cost\``, { ...Object(fields.value("cost")), format: "cost", version: 1 }, "cost", 1, "@logits/head");
  const cost = (field: string): number => {
    const value = costs.number(field, 0);
    return value > 0 ? value : costs.fail(field, "> 0", `${value}`);
  };
  return { cost: { falsePositive: cost("falsePositive"), falseNegative: cost("falseNegative") } };
}
