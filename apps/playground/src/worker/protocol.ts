/** What a job gets besides its arguments. */
export interface Control {
  readonly signal: AbortSignal;
  /** The share of the work that is done, in [0, 1], and what is being done. */
  readonly progress: (share: number, text?: string) => void;
}

/** The jobs of the Worker: modules of `src/jobs`, whose exports take arguments and a `Control`. */
export interface Modules {
  readonly data: typeof import("../jobs/data.ts");
  readonly calibrate: typeof import("../jobs/calibrate.ts");
  readonly compare: typeof import("../jobs/compare.ts");
  readonly unknown: typeof import("../jobs/unknown.ts");
  readonly shift: typeof import("../jobs/shift.ts");
  readonly sets: typeof import("../jobs/sets.ts");
  readonly intents: typeof import("../jobs/intents.ts");
  readonly newIntents: typeof import("../jobs/newIntents.ts");
  readonly teach: typeof import("../jobs/teach.ts");
  readonly decoding: typeof import("../jobs/decoding.ts");
  readonly spans: typeof import("../jobs/spans.ts");
  readonly pianoRoll: typeof import("../jobs/pianoRoll.ts");
  readonly speed: typeof import("../jobs/speed.ts");
  readonly gpu: typeof import("../jobs/gpu.ts");
}

/** From the page to the Worker. */
export type Request =
  | { readonly kind: "run"; readonly id: number; readonly module: keyof Modules; readonly name: string; readonly args: unknown }
  | { readonly kind: "stop"; readonly id: number };

/** From the Worker to the page. */
export type Reply =
  | { readonly kind: "progress"; readonly id: number; readonly share: number; readonly text: string | undefined }
  | { readonly kind: "done"; readonly id: number; readonly result: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly name: string; readonly message: string };
