import type { Peer, Variant } from "../types.ts";
import { jax } from "./jax.ts";
import { litert } from "./litert.ts";
import { plainLoops } from "./loops.ts";
import { onnxRuntime } from "./ort.ts";
import { tfjs } from "./tfjs.ts";

/** ONNX Runtime defines `Worker` in Node, and jax-js would then change to shared memory and a pool of threads in mid-flight. */
function oneThread(): void {
  Object.defineProperty(globalThis, "Worker", { get: () => undefined, set: () => {}, configurable: true });
}

/** Every peer, in the build that matches the variant. One that does not load is an error: a table that lacks its strongest peer would flatter us. */
export async function loadPeers(variant: Variant): Promise<Peer[]> {
  oneThread();
  // jax-js comes last: in the baseline process it hides relaxed SIMD from whoever asks after it.
  const groups = [await litert(variant), await tfjs(), await onnxRuntime(), await jax(variant), await plainLoops()];
  return groups.flat();
}
