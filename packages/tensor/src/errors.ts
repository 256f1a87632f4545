/**
 * The form of every message: `functionName: expected `argument` <what>, got <what>. <what to do>`.
 * Built only when a check has failed.
 */
export function message(where: string, argument: string, expected: string, got: string, todo?: string): string {
  return `${where}: expected \`${argument}\` ${expected}, got ${got}${todo ? `. ${todo}` : ""}`;
}

/** The value or the shape is wrong. */
export function rangeError(where: string, argument: string, expected: string, got: string, todo?: string): RangeError {
  return new RangeError(message(where, argument, expected, got, todo));
}

/** The kind is wrong. */
export function typeError(where: string, argument: string, expected: string, got: string, todo?: string): TypeError {
  return new TypeError(message(where, argument, expected, got, todo));
}

/** An error of this library that a caller can act on: it has a stable `code` and the page that explains it. */
export class LogitsError extends Error {
  /** Stable, machine-readable: `BACKEND_UNAVAILABLE`, `FORMAT`, ... */
  readonly code: string;
  /** Path of the page on the documentation site. */
  readonly docs: string;

  constructor(code: string, text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = new.target.name;
    this.code = code;
    this.docs = `errors/${code.toLowerCase().replace("_", "-")}`;
  }
}

/** A backend (WebAssembly SIMD, WebGPU) does not exist here, or is of another version; the message holds the reason. */
export class BackendUnavailableError extends LogitsError {
  constructor(text: string, options?: ErrorOptions) {
    super("BACKEND_UNAVAILABLE", text, options);
  }
}

/** The backend exists, but has no kernel for this operation or dtype. */
export class UnsupportedKernelError extends LogitsError {
  constructor(text: string, options?: ErrorOptions) {
    super("UNSUPPORTED_KERNEL", text, options);
  }
}

/** A resident tensor was used after `dispose()`. */
export class DisposedError extends LogitsError {
  constructor(text: string, options?: ErrorOptions) {
    super("DISPOSED", text, options);
  }
}

/** Bytes or JSON that are not what they claim to be: unknown format or version, missing or non-finite field, truncated. */
export class FormatError extends LogitsError {
  constructor(text: string, options?: ErrorOptions) {
    super("FORMAT", text, options);
  }
}

/** A fit reached neither an optimum nor a stated bound. The fields say how far it came. */
export class ConvergenceError extends LogitsError {
  readonly iterations: number;
  readonly gradientNorm: number;

  constructor(text: string, iterations: number, gradientNorm: number, options?: ErrorOptions) {
    super("CONVERGENCE", text, options);
    this.iterations = iterations;
    this.gradientNorm = gradientNorm;
  }
}
