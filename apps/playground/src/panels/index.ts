import type { ComponentType } from "preact";
import type { PanelProps } from "../ui/shared.ts";

/** A panel: its address, its name, and its code, which is loaded when it is first shown. */
export interface PanelEntry {
  readonly id: string;
  readonly title: string;
  readonly heading: string;
  /** The data it starts with, as long as the visitor has chosen none. */
  readonly prefers?: string;
  readonly load: () => Promise<{ readonly default: ComponentType<PanelProps> }>;
}

export const PANELS: readonly PanelEntry[] = [
  { id: "calibrate", title: "Calibrate", heading: "Calibrate: make the confidence honest", load: () => import("./calibrate.tsx") },
  { id: "compare", title: "Compare", heading: "Compare: which calibrator, for how many rows", load: () => import("./compare.tsx") },
  { id: "sets", title: "Sets", heading: "Sets: answers with a guarantee", load: () => import("./sets.tsx") },
  { id: "unknown", title: "Unknown", heading: "Unknown: rows unlike anything seen", prefers: "clinc", load: () => import("./unknown.tsx") },
  { id: "shift", title: "Shift", heading: "Shift: when promises break", prefers: "clinc", load: () => import("./shift.tsx") },
  { id: "intents", title: "Intents", heading: "Intents: a sentence in, a decision out", load: () => import("./intents.tsx") },
  { id: "teach", title: "Teach", heading: "Teach: your own classes in seconds", load: () => import("./teach.tsx") },
  { id: "decoding", title: "Decoding", heading: "Decoding: the next word, rule by rule", load: () => import("./decoding.tsx") },
  { id: "spans", title: "Spans", heading: "Spans: from token scores to names with probabilities", load: () => import("./spans.tsx") },
  { id: "roll", title: "Piano roll", heading: "Piano roll: notes, not moments", load: () => import("./pianoRoll.tsx") },
  { id: "speed", title: "Speed", heading: "Speed: on your own machine", load: () => import("./speed.tsx") },
  { id: "gpu", title: "GPU", heading: "GPU: does it work here, and is it worth it", load: () => import("./gpu.tsx") },
];
