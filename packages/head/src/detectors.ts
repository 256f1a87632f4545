import { LogitDetector, type Detector, type LogitDetectorMethod } from "@logits/ood";
import type { Steps } from "@logits/tensor";
export type DetectorSpec = LogitDetectorMethod | { readonly method: LogitDetectorMethod; readonly temperature?: number } | "mahalanobis" | "knn";
export function* fitDetectorSteps(_where: string, spec: DetectorSpec, _data: unknown): Steps<Detector> {
  return typeof spec === "string" ? LogitDetector.of(spec as LogitDetectorMethod) : LogitDetector.of(spec.method, spec);
}
export const detectorFromJSON = (json: unknown): Detector => LogitDetector.fromJSON(json);
