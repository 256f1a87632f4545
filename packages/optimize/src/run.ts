import type { OptimizerProgress } from "./result.ts";

/**
 * Runs an optimiser to its end.
 * @param steps - from `lbfgsSteps`, `newtonSteps`, `newton1dSteps` or `adamSteps`
 * @returns the optimiser's result
 * @example run(lbfgsSteps(f, x0)).x
 * Source: folklore.
 */
export function run<Result>(steps: Generator<OptimizerProgress, Result, void>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Options of `runAsync`. */
export interface RunOptions {
  /** Stops the run; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** Called at every pause. */
  onProgress?: (progress: OptimizerProgress) => void;
}

/**
 * Runs an optimiser to its end and lets the event loop turn at least every 16 ms, as long as one call of the objective takes at most 8.
 * The result has the same bits as `run`.
 *
 * @param steps - from `lbfgsSteps`, `newtonSteps`, `newton1dSteps` or `adamSteps`
 * @returns the optimiser's result; rejected with the signal's reason after an abort
 * @example await runAsync(lbfgsSteps(f, x0), { signal, onProgress: ({ value }) => console.log(value) })
 * Source: folklore.
 */
export async function runAsync<Result>(steps: Generator<OptimizerProgress, Result, void>, options: RunOptions = {}): Promise<Result> {
  const { signal, onProgress } = options;
  // A message is a task without the 4 ms that browsers add to nested timers.
  const channel = new MessageChannel();
  let resume: () => void = () => {};
  channel.port1.onmessage = () => resume();
  try {
    signal?.throwIfAborted();
    for (let since = performance.now(); ; ) {
      const step = steps.next();
      if (step.done) return step.value;
      if (performance.now() - since < 8) continue;
      onProgress?.(step.value);
      await new Promise<void>((resolve) => {
        resume = resolve;
        channel.port2.postMessage(0);
      });
      signal?.throwIfAborted();
      since = performance.now();
    }
  } finally {
    channel.port1.close();
  }
}
