import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectClose, expectExact } from "@logits/testkit";
import { beforeEach, describe, expect, it, vi } from "vitest";

const wasm = (name: string): Uint8Array<ArrayBuffer> => Uint8Array.from(readFileSync(join(import.meta.dirname, "..", "wasm", name)));

/** (module (global (export "ABI_VERSION") i32 (i32.const 99))) */
const OTHER_ABI = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 6, 7, 1, 0x7f, 0, 0x41, 0xe3, 0, 0x0b, 7, 15, 1, 11, 65, 66, 73, 95, 86, 69, 82, 83, 73, 79, 78, 3, 0);
/** The empty module. */
const NO_ABI = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);

type Core = typeof import("./index.ts");
let fresh: Core;
beforeEach(async () => {
  vi.resetModules();
  fresh = await import("./index.ts"); // another copy: nothing chosen, nothing run
});

describe("the variant", () => {
  it("is relaxed SIMD where the engine has it", () => expect(fresh.core.variant).toBe("relaxed-simd"));

  it("is baseline where the engine has no relaxed SIMD, and an error without SIMD", async () => {
    const validate = WebAssembly.validate.bind(WebAssembly);
    const spy = vi.spyOn(WebAssembly, "validate").mockImplementation((bytes) => (bytes as Uint8Array).length !== 37 && validate(bytes));
    try {
      expect(fresh.core.variant).toBe("simd");
      expect(() => fresh.configureWasm({ variant: "relaxed-simd" })).toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: configureWasm: expected an engine with relaxed SIMD, got one without. Use variant simd]`);
      vi.resetModules();
      const bare = await import("./index.ts");
      const refusing = vi.spyOn(WebAssembly, "Module").mockImplementation(function () { throw new WebAssembly.CompileError("no SIMD"); });
      expect(() => bare.softmax([1, 2])).toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: core-wasm: expected WebAssembly SIMD and leave to compile it ('wasm-unsafe-eval' in a page's policy), got a refusal]`);
      refusing.mockRestore();
      expectExact(bare.softmax([1, 1]), [0.5, 0.5]);
    } finally {
      spy.mockRestore();
    }
  });

  it("is the one asked for", () => {
    fresh.configureWasm({ variant: "simd" });
    expect(fresh.core.variant).toBe("simd");
    fresh.configureWasm({ variant: "relaxed-simd" });
    expect(fresh.core.variant).toBe("relaxed-simd");
    fresh.configureWasm({ deterministic: true });
    expect(fresh.core.variant).toBe("simd");
  });

  it("decides which binary runs: the baseline has the same bits however it was asked for", async () => {
    const x = Float32Array.from({ length: 1500 }, (_, i) => Math.sin(i) * 9);
    fresh.configureWasm({ deterministic: true });
    const deterministic = fresh.softmax(x).data;
    vi.resetModules();
    const named = await import("./index.ts");
    named.configureWasm({ variant: "simd" });
    expectExact(named.softmax(x).data, deterministic);
    vi.resetModules();
    const relaxed = await import("./index.ts");
    relaxed.configureWasm({ variant: "relaxed-simd" });
    const fused = relaxed.softmax(x).data;
    expectClose(fused, deterministic, { rtol: 3e-6 });
    expect(fused.some((v, i) => v !== deterministic[i])).toBe(true); // another binary
  });

  it("does not change after an operation has run; asking for the same again is fine", () => {
    fresh.configureWasm({ variant: "simd" });
    fresh.softmax([1, 2]);
    fresh.configureWasm({ variant: "simd" });
    fresh.configureWasm({});
    fresh.configureWasm({ deterministic: true });
    expect(fresh.core.variant).toBe("simd");
    expect(() => fresh.configureWasm({ variant: "relaxed-simd" })).toThrowErrorMatchingInlineSnapshot(`[Error: configureWasm: expected a call before the first operation, got one after simd has run. Configure first]`);
  });

  it("of another name is refused", () => {
    expect(() => fresh.configureWasm({ variant: "avx" as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: configureWasm: expected \`variant\` "simd" or "relaxed-simd", got avx]`);
    expect(() => fresh.configureWasm({ variant: "relaxed-simd", deterministic: true })).toThrowErrorMatchingInlineSnapshot(`[TypeError: configureWasm: expected \`variant\` "simd" when deterministic, got relaxed-simd]`);
  });
});

describe("initWasm", () => {
  it("takes bytes and a compiled module", async () => {
    const want = [1 / 2, 1 / 2];
    await fresh.initWasm("softmax", wasm("softmax.simd.wasm"));
    expectExact(fresh.softmax([3, 3]), want);
    vi.resetModules();
    const second = await import("./index.ts");
    await second.initWasm("softmax", new WebAssembly.Module(wasm("softmax.relaxed.wasm")));
    expectExact(second.softmax([3, 3]), want);
  });

  it("takes a URL", async () => {
    const url = new URL(`data:application/wasm;base64,${Buffer.from(wasm("softmax.simd.wasm")).toString("base64")}`);
    await fresh.initWasm("softmax", url);
    expectExact(fresh.softmax([3, 3]), [1 / 2, 1 / 2]);
  });

  it("refuses what is no binary, at once", async () => {
    await expect(fresh.initWasm("softmax", Uint8Array.of(1, 2, 3))).rejects.toThrow(WebAssembly.CompileError);
  });

  it("a binary of another ABI version is refused at its first use, by name", async () => {
    await fresh.initWasm("softmax", OTHER_ABI);
    expect(() => fresh.softmax([1, 2])).toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: core-wasm: expected ABI version 1 of family softmax, got 99. Install one version of all @logits packages]`);
    await fresh.initWasm("softmax", NO_ABI);
    expect(() => fresh.softmax([1, 2])).toThrowErrorMatchingInlineSnapshot(`[BackendUnavailableError: core-wasm: expected ABI version 1 of family softmax, got undefined. Install one version of all @logits packages]`);
    await fresh.initWasm("softmax", wasm("softmax.simd.wasm"));
    expectExact(fresh.softmax([1, 1]), [0.5, 0.5]);
  });
});

describe("two copies", () => {
  it("have two memories, and refuse each other's resident tensors by version", async () => {
    const here = fresh.core.alloc([2]);
    vi.resetModules();
    const other = await import("./index.ts");
    expect(other.core.memory).not.toBe(fresh.core.memory);
    expectExact(other.softmax([5, 5]), [0.5, 0.5]);
    expect(() => other.softmax({ data: here.data, shape: [2] })).not.toThrow(); // a plain view is only data
    const foreign = other.core.alloc([2]);
    const { pointerOf } = await import("./owner.ts");
    expect(pointerOf("softmax", "x", foreign)).toBe(foreign.pointer);
    const version = (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version;
    expect(() => pointerOf("softmax", "x", here as never)).toThrow(`softmax: expected \`x\` of this copy of @logits/core-wasm (${version}), got a resident tensor of another copy (${version}). Install one version of all @logits packages`);
  });
});
