import { FormatError, describe, message } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import { LogitDetector } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";

const READERS: Readonly<Record<string, (json: unknown) => Detector>> = {
  "logits/logit-detector": LogitDetector.fromJSON,
  "logits/mahalanobis-detector": MahalanobisDetector.fromJSON,
  "logits/nearest-neighbor-detector": NearestNeighborDetector.fromJSON,
};

/**
 * Reads any detector of this package from what its `toJSON` wrote.
 *
 * @throws FormatError for another format or version, or a field that is missing or not what it must be
 * @example detectorFromJSON(JSON.parse(JSON.stringify(LogitDetector.of("energy")))).method // "energy"
 */
export function detectorFromJSON(json: unknown): Detector {
  const where = "detectorFromJSON";
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(message(where, "json", "an object", describe(json), typeof json === "string" ? "Pass JSON.parse(text)" : undefined));
  }
  const { format } = json as { readonly format?: unknown };
  if (typeof format !== "string" || !Object.hasOwn(READERS, format)) {
    const known = Object.keys(READERS).map((name) => `"${name}"`).join(" or ");
    throw new FormatError(message(where, "format", known, typeof format === "string" ? JSON.stringify(format) : describe(format)));
  }
  return READERS[format](json);
}
