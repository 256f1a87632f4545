import { describe, expect, it } from "vitest";
import { BackendUnavailableError, ConvergenceError, DisposedError, FormatError, LogitsError, rangeError, typeError, UnsupportedKernelError } from "./errors.ts";

describe("errors", () => {
  it("have the house form", () => {
    expect(rangeError("f", "x", "in [0, 1]", "2")).toBeInstanceOf(RangeError);
    expect(typeError("f", "x", "a tensor", "null")).toBeInstanceOf(TypeError);
    expect(rangeError("f", "x", "in [0, 1]", "2").message).toMatchInlineSnapshot(`"f: expected \`x\` in [0, 1], got 2"`);
    expect(typeError("f", "x", "a tensor", "null", "Pass one").message).toMatchInlineSnapshot(`"f: expected \`x\` a tensor, got null. Pass one"`);
  });

  it.each([
    [BackendUnavailableError, "BackendUnavailableError", "BACKEND_UNAVAILABLE", "errors/backend-unavailable"],
    [UnsupportedKernelError, "UnsupportedKernelError", "UNSUPPORTED_KERNEL", "errors/unsupported-kernel"],
    [DisposedError, "DisposedError", "DISPOSED", "errors/disposed"],
    [FormatError, "FormatError", "FORMAT", "errors/format"],
  ])("carry name, code, page and cause: %o", (Kind, name, code, docs) => {
    const cause = new Error("why");
    const error = new Kind("text", { cause });
    expect(error).toBeInstanceOf(LogitsError);
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.docs, error.message, error.cause]).toEqual([name, code, docs, "text", cause]);
  });

  it("say how far a fit came", () => {
    const error = new ConvergenceError("fit: no optimum", 100, 0.25);
    expect(error).toBeInstanceOf(LogitsError);
    expect([error.name, error.code, error.iterations, error.gradientNorm]).toEqual(["ConvergenceError", "CONVERGENCE", 100, 0.25]);
  });
});
