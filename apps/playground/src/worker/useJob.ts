import { useEffect, useRef, useState } from "preact/hooks";
import type { Control } from "./protocol.ts";

/** Where a job stands. `value` is the last result, kept while the next one is computed. */
export interface JobState<Value> {
  readonly value: Value | undefined;
  readonly error: string | undefined;
  readonly busy: boolean;
  readonly stopped: boolean;
  readonly share: number;
  readonly text: string | undefined;
  readonly stop: () => void;
  readonly again: () => void;
}

/** Runs `start` whenever a dependency changes and stops what it replaces. `start` undefined: nothing to do yet. */
export function useJob<Value>(start: ((control: Control) => Promise<Value>) | undefined, dependencies: readonly unknown[]): JobState<Value> {
  const [state, setState] = useState<Omit<JobState<Value>, "stop" | "again">>({ value: undefined, error: undefined, busy: start !== undefined, stopped: false, share: 0, text: undefined });
  const [round, setRound] = useState(0);
  const controller = useRef<AbortController | undefined>(undefined);
  useEffect(() => {
    if (start === undefined) return undefined;
    const own = new AbortController();
    controller.current = own;
    setState((last) => ({ ...last, busy: true, stopped: false, error: undefined, share: 0, text: undefined }));
    const progress = (share: number, text?: string): void => {
      if (!own.signal.aborted) setState((last) => ({ ...last, share, text: text ?? last.text }));
    };
    start({ signal: own.signal, progress }).then(
      (value) => {
        if (!own.signal.aborted) setState((last) => ({ ...last, value, busy: false }));
      },
      (cause: Error) => {
        if (controller.current !== own) return;
        setState((last) => ({ ...last, busy: false, stopped: own.signal.aborted, error: own.signal.aborted ? undefined : cause.message }));
      },
    );
    return () => {
      controller.current = undefined;
      own.abort(new DOMException("Replaced", "AbortError"));
    };
  }, [...dependencies, start !== undefined, round]);
  return { ...state, stop: () => controller.current?.abort(new DOMException("Stopped", "AbortError")), again: () => setRound(round + 1) };
}
