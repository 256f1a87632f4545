import type { SetInfo } from "../data/catalogue.ts";
import type { JobState } from "../worker/useJob.ts";

/** What the panels have in common: the data and how they are split. */
export interface Shared {
  readonly set: string;
  readonly choose: (key: string) => void;
  readonly info: SetInfo | undefined;
  readonly setJob: JobState<SetInfo>;
  readonly seed: number;
  readonly setSeed: (seed: number) => void;
}

/** A panel gets what they share. */
export interface PanelProps {
  readonly shared: Shared;
}
