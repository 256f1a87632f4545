/** A long computation in pieces: yields the share of the work that is done, returns the result. */
export type Steps<Result> = Generator<number, Result, void>;

/** What a fit that can take long accepts. */
export interface LongWorkOptions {
  /** Stops the work at the next pause; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Called at each pause with the estimated share of the work that is done, in [0, 1]; the last call is 1. */
  readonly onProgress?: (share: number) => void;
}

/** Work between two pauses, in milliseconds; a piece may add a few. */
const PAUSE_AFTER_MS = 8;

/** The steps of one part of a longer work: its share runs from `start` over `length`. */
export function* partOf<Result>(steps: Steps<Result>, start: number, length: number): Steps<Result> {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    yield start + length * Math.min(1, next.value);
  }
}

/** All pieces at once. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
  }
}

/** The same pieces with pauses between them, so that the thread stays responsive. Work that stops early is closed: its `finally` blocks run. */
export async function runStepsAsync<Result>(steps: Steps<Result>, options: LongWorkOptions): Promise<Result> {
  const { signal, onProgress } = options;
  let share = 0;
  try {
    for (;;) {
      onProgress?.(share);
      signal?.throwIfAborted();
      for (const start = performance.now(); performance.now() - start < PAUSE_AFTER_MS; ) {
        const next = steps.next();
        if (next.done) {
          onProgress?.(1);
          return next.value;
        }
        share = Math.min(0.99, Math.max(share, next.value));
      }
      await new Promise((resume) => setTimeout(resume));
    }
  } finally {
    steps.return(undefined as never);
  }
}
