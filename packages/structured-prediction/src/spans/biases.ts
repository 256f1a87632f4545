import { FormatError, describe, rangeError } from "@logits/tensor";

/** Scores that are added to kinds of transitions, each default 0: what openai/privacy-filter calibrates beside its labels. */
export interface TransitionBiases {
  /** Outside, and outside again. */
  readonly backgroundStay?: number;
  /** Outside, then a span. */
  readonly backgroundToStart?: number;
  /** After a span outside. */
  readonly endToBackground?: number;
  /** After a span the next one at once. */
  readonly endToStart?: number;
  /** In a span, and not yet at its end (where the scheme marks ends: I-). */
  readonly insideToContinue?: number;
  /** In a span, to its last token (E-, L-). */
  readonly insideToEnd?: number;
}

const KEYS: Readonly<Record<keyof TransitionBiases, string>> = {
  backgroundStay: "transition_bias_background_stay", backgroundToStart: "transition_bias_background_to_start", endToBackground: "transition_bias_end_to_background",
  endToStart: "transition_bias_end_to_start", insideToContinue: "transition_bias_inside_to_continue", insideToEnd: "transition_bias_inside_to_end",
};

/** Checks biases and fills in 0. */
export function checkedBiases(where: string, biases: TransitionBiases): Required<TransitionBiases> {
  for (const [name, value] of Object.entries(biases)) {
    if (!Object.hasOwn(KEYS, name)) throw rangeError(where, "biases", `of the names ${Object.keys(KEYS).join(", ")}`, JSON.stringify(name));
    if (!Number.isFinite(value)) throw rangeError(where, `biases.${name}`, "finite", `${value}`);
  }
  return { backgroundStay: 0, backgroundToStart: 0, endToBackground: 0, endToStart: 0, insideToContinue: 0, insideToEnd: 0, ...biases };
}

/**
 * Reads the biases of a `viterbi_calibration.json`, as openai/privacy-filter and models tuned from it carry beside their weights.
 *
 * @param json - the parsed file: `{ operating_points: { [name]: { biases: { transition_bias_... } } } }`; each of the six biases must be there
 * @param point - which operating point. Default "default"
 * @throws FormatError for anything else, with what is missing
 * @example
 *   const decoder = new SpanDecoder(labels, { biases: readViterbiCalibration(JSON.parse(text)) });
 * Source: the model card and decoder of openai/privacy-filter, 2026.
 */
export function readViterbiCalibration(json: unknown, point = "default"): Required<TransitionBiases> {
  const where = "readViterbiCalibration", field = (value: unknown, name: string): unknown => (typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined);
  const points = field(json, "operating_points");
  const biases = field(field(points, point), "biases");
  if (typeof biases !== "object" || biases === null) {
    const names = typeof points === "object" && points !== null ? Object.keys(points) : [];
    throw new FormatError(`${where}: expected operating_points.${point}.biases, got ${names.length > 0 ? `the operating points ${names.join(", ")}` : "none"}`);
  }
  const read = (name: keyof TransitionBiases): number => {
    const value = field(biases, KEYS[name]);
    if (typeof value !== "number" || !Number.isFinite(value)) throw new FormatError(`${where}: expected ${KEYS[name]} a finite number, got ${typeof value === "number" ? value : describe(value)}`);
    return value;
  };
  return {
    backgroundStay: read("backgroundStay"), backgroundToStart: read("backgroundToStart"), endToBackground: read("endToBackground"),
    endToStart: read("endToStart"), insideToContinue: read("insideToContinue"), insideToEnd: read("insideToEnd"),
  };
}
