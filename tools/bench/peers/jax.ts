import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Answer, Contender, Mode, Peer, Problem, Variant } from "../types.ts";

/**
 * jax-js with its WASM backend, jitted, one thread (Node has no `Worker` global, so it starts no pool).
 * It generates its kernels at run time and probes the engine for relaxed multiply-add, which it then uses in matmul only. In the baseline process the probe is
 * answered with no, so that it stays like for like.
 */

const require = createRequire(import.meta.url);

function refuseRelaxedProbes(): void {
  const validate = WebAssembly.validate;
  const relaxedMadd = Buffer.from("fd8502", "hex");
  WebAssembly.validate = (bytes) => !Buffer.from(bytes as Uint8Array).includes(relaxedMadd) && validate(bytes);
}

export async function jax(variant: Variant): Promise<Peer[]> {
  if (variant === "simd") refuseRelaxedProbes();
  const { init, defaultDevice, numpy, nn, lax, jit } = await import("@jax-js/jax");
  await init("wasm");
  defaultDevice("wasm");
  type JaxArray = ReturnType<typeof numpy.array>;

  const contender = (inputs: { data: Float32Array; shape: number[] }[], op: (...inputs: JaxArray[]) => JaxArray[], mode: Mode): Contender => {
    const upload = (): JaxArray[] => inputs.map(({ data, shape }) => numpy.array(data as Float32Array<ArrayBuffer>, { shape }));
    const kept = mode === "resident" ? upload() : [];
    let outputs: JaxArray[] = [], answer: Answer = { values: [] };
    const free = (): void => { for (const output of outputs) output.dispose(); outputs = []; };
    const download = (): Answer => {
      const [values, indices] = outputs.map((output) => output.ref.dataSync());
      return { values, indices };
    };
    return {
      async run(): Promise<void> {
        free();
        // A call consumes its arguments; `.ref` keeps one for the next run.
        outputs = op(...(mode === "resident" ? kept.map((input) => input.ref) : upload()));
        if (mode === "arrays") answer = download();
        else for (const output of outputs) await output.blockUntilReady();
      },
      read: () => (mode === "arrays" ? answer : download()),
      dispose(): void {
        free();
        for (const input of kept) input.dispose();
      },
    };
  };

  const softmax = jit((x: JaxArray) => nn.softmax(x, -1));
  const logSumExp = jit((x: JaxArray) => nn.logsumexp(x, -1));
  const matmul = jit((a: JaxArray, b: JaxArray) => numpy.matmul(a, b));
  const prepare = async (problem: Problem, mode: Mode): Promise<Contender | undefined> => {
    if (problem.op === "matmul") {
      const { m, k, n, a, b } = problem;
      return contender([{ data: a, shape: [m, k] }, { data: b, shape: [k, n] }], (x, y) => [matmul(x, y)], mode);
    }
    const { rows, cols, x } = problem, input = [{ data: x, shape: [rows, cols] }];
    switch (problem.op) {
      case "softmax": return contender(input, (t) => [softmax(t)], mode);
      case "logsumexp": return contender(input, (t) => [logSumExp(t)], mode);
      case "topk": return contender(input, (t) => lax.topK(t, problem.k), mode);
    }
  };
  const { version } = JSON.parse(readFileSync(join(dirname(require.resolve("@jax-js/jax")), "../package.json"), "utf8")) as { version: string };
  return [{ name: "jax-js", version, wasm: true, prepare }];
}
