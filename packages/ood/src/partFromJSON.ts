import { describe, type JsonFields } from "@logits/tensor";
import { MahalanobisDetector } from "./mahalanobis.ts";

/** A detector inside the JSON of another; `field` names it in errors. */
export function partFromJSON(fields: JsonFields, field: string, json: unknown): MahalanobisDetector {
  if (typeof json !== "object" || json === null || Array.isArray(json)) fields.fail(field, "an object for each detector", describe(json));
  return MahalanobisDetector.fromJSON(json);
}
