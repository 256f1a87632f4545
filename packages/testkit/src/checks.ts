import { AssertionError } from "./compare.ts";

/** One named assertion of a battery. */
export interface Check {
  /** A sentence, for `it`. */
  readonly name: string;
  /** Throws if the assertion does not hold. */
  run(): void;
}

/** What the batteries hand to a function under test: a plain tensor, accepted wherever a `TensorLike` is. */
export interface Plain<Data extends Float32Array | Int32Array | Uint8Array = Float32Array> {
  readonly dtype?: "float32" | "int32" | "uint8";
  readonly shape: readonly number[];
  readonly data: Data;
}

/** What the batteries read of a result. */
export interface Result {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Runs every assertion; a failure names the assertion. */
export function runChecks(owner: string, checks: readonly Check[]): void {
  if (checks.length === 0) throw new AssertionError(`${owner}: nothing was checked`);
  for (const { name, run } of checks) {
    try {
      run();
    } catch (cause) {
      throw new AssertionError(`${owner} ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
}

/** Throws with `text` unless `condition`. */
export function assert(condition: boolean, text: string): void {
  if (!condition) throw new AssertionError(text);
}

/** The error that `run` throws; no error is a failure. */
export function thrownBy(what: string, run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
    throw new AssertionError(`${what} threw ${String(error)}, which is no Error`);
  }
  throw new AssertionError(`${what} was accepted`);
}

/** "Name: message" of what `run` throws, for a snapshot of many refusals; "no error" where nothing is. */
export function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return "no error";
}
