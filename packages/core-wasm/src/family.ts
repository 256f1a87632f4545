import { ABI_VERSION, BackendUnavailableError, typeError } from "@logits/tensor";
import { wasmMemory } from "./memory.ts";

/** `relaxed-simd` has fused multiply-add where the engine allows it; `simd` gives the same bits in every engine. */
export type Variant = "simd" | "relaxed-simd";

/** Both binaries of a family, as text or compiled. */
export interface Binary {
  readonly simd: string | WebAssembly.Module;
  readonly relaxed: string | WebAssembly.Module;
}

/** How the binaries are chosen. */
export interface WasmOptions {
  /** Baseline SIMD and fixed reduction trees: the same bits in every engine. Default false. */
  readonly deterministic?: boolean;
  /** Asks for a variant by name instead of by probing the engine. */
  readonly variant?: Variant;
}

let chosen: Variant | undefined;
let used = false;
const supplied = new Map<string, WebAssembly.Module>();

/** The smallest module with a relaxed instruction (f32x4.relaxed_madd): 37 bytes. */
const RELAXED_PROBE = "(}/}A};)((()0)}.+}I}I}I)}I+*)(25)3(H(H)H*%}S*3";

/** The bytes behind a text that `binaryText` of the build wrote. */
export function decode(text: string): BufferSource {
  const bytes: number[] = [];
  const digits = Array.from(text, (c) => (c === "!" ? 57 : c.charCodeAt(0) - 35));
  for (let i = 0; i < digits.length; i++) bytes.push((digits[i] < 90 ? digits[i] : 92 * digits[i] - 8190 + digits[++i]) - 5);
  return Uint8Array.from(bytes);
}

/** The variant in force: the one asked for, else `relaxed-simd` where the engine validates it, else `simd`. */
export function wasmVariant(): Variant {
  return (chosen ??= WebAssembly.validate(decode(RELAXED_PROBE)) ? "relaxed-simd" : "simd");
}

/**
 * Chooses the binaries. Call it before the first operation: a binary that has run is not exchanged.
 *
 * @example
 *   configureWasm({ deterministic: true }); // the same bits in every engine
 * @throws Error if an operation has already run on another variant
 */
export function configureWasm(options: WasmOptions): void {
  const { deterministic = false, variant } = options;
  if (variant !== undefined && variant !== "simd" && variant !== "relaxed-simd") throw typeError("configureWasm", "variant", '"simd" or "relaxed-simd"', `${variant}`);
  if (deterministic && variant === "relaxed-simd") throw typeError("configureWasm", "variant", '"simd" when deterministic', "relaxed-simd");
  const wanted = deterministic ? "simd" : variant;
  if (used && wanted !== undefined && wanted !== chosen) throw new Error(`configureWasm: expected a call before the first operation, got one after ${chosen} has run. Configure first`);
  if (wanted === "relaxed-simd" && !WebAssembly.validate(decode(RELAXED_PROBE))) throw new BackendUnavailableError("configureWasm: expected an engine with relaxed SIMD, got one without. Use variant simd");
  if (!used) chosen = wanted;
}

/**
 * Hands over a family's binary: for an engine that forbids compiling bytes, or to reuse a compiled Module. Not needed
 * elsewhere, where the binary is embedded and compiled at first use.
 *
 * @param family - name of the family: "softmax", "gemm", ...
 * @param source - a Module, the bytes, or the URL of the `.wasm` file of the wanted variant
 */
export async function initWasm(family: string, source: WebAssembly.Module | BufferSource | URL): Promise<void> {
  const module = source instanceof WebAssembly.Module ? source : await WebAssembly.compile(source instanceof URL ? await (await fetch(source)).arrayBuffer() : source);
  supplied.set(family, module);
}

/** The exports of a family, compiled and instantiated at the first call. */
export function family<Kernels>(name: string, binary: Binary): () => Kernels {
  let kernels: Kernels | undefined;
  return () => (kernels ??= instantiate<Kernels>(name, binary));
}

function instantiate<Kernels>(name: string, binary: Binary): Kernels {
  let module: WebAssembly.Module;
  try {
    const code = supplied.get(name) ?? (wasmVariant() === "simd" ? binary.simd : binary.relaxed);
    module = typeof code === "string" ? new WebAssembly.Module(decode(code)) : code;
  } catch (cause) {
    throw new BackendUnavailableError("core-wasm: expected WebAssembly SIMD and leave to compile it ('wasm-unsafe-eval' in a page's policy), got a refusal", { cause });
  }
  used = true;
  const { exports } = new WebAssembly.Instance(module, { env: { memory: wasmMemory() } });
  const version = (exports.ABI_VERSION as WebAssembly.Global | undefined)?.value;
  if (version !== ABI_VERSION) throw new BackendUnavailableError(`core-wasm: expected ABI version ${ABI_VERSION} of family ${name}, got ${version}. Install one version of all @logits packages`);
  return exports as Kernels;
}
