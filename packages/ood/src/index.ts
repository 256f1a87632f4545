export { type Detector, type DetectorNeeds, type DetectorRows } from "./detector.ts";
