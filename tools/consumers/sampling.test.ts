import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AutoModelForCausalLM, AutoTokenizer, Tensor, env } from "@huggingface/transformers";
import { Sampler } from "@logits/sampling";
import { expectClose } from "@logits/testkit";
import { build } from "esbuild";
import * as ort from "onnxruntime-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { CHROMIUM_FLAGS, pageAnswer } from "../pageAnswer.ts";
import { languageModel, nextWord, writeLanguageModel } from "./models.ts";

// generate() of the real package with a model of two words that the test writes: what the package does alone, and with a sampler inside.

const folder = mkdtempSync(join(tmpdir(), "logits-sampling-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(() => {
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  writeLanguageModel(join(folder, "words"));
  writeLanguageModel(join(folder, "configured"), { do_sample: true, temperature: 3, top_k: 2, repetition_penalty: 1.7 });
});

const { words, logits } = nextWord(), size = words.length, STEPS = 400;
const rowOf = (word: number): Float32Array => logits.subarray(word * size, (word + 1) * size);
const load = (name: string) => AutoModelForCausalLM.from_pretrained(name, { dtype: "fp32" });
const prompt = (...ids: number[]) => ({ inputs: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]) });

/** The most probable words of a row that are together at least as probable as p, by sorting. */
function nucleus(row: Float32Array, p: number): Set<number> {
  const z = row.reduce((sum, x) => sum + Math.exp(x), 0), order = Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b), out = new Set<number>();
  let mass = 0;
  for (const c of order) {
    if (mass >= p) break;
    out.add(c);
    mass += Math.exp(row[c]) / z;
  }
  return out;
}

/** How many of the words that follow another lie outside its nucleus. */
function outside(ids: readonly number[], p: number): number {
  return ids.slice(1).filter((id, i) => !nucleus(rowOf(ids[i]), p).has(id)).length;
}

const idsOf = (output: unknown): number[] => Array.from((output as Tensor).data as BigInt64Array, Number);

describe("generate of Transformers.js", () => {
  it("alone accepts top_p and leaves the nucleus; with the sampler inside it never does", async () => {
    const model = await load("words");
    const alone = idsOf(await model.generate({ ...prompt(4), do_sample: true, top_p: 0.9, top_k: 0, max_new_tokens: STEPS }));
    expect(outside(alone, 0.9)).toBeGreaterThan(STEPS / 40); // a tenth of the probability lies outside
    const sampler = new Sampler({ topP: 0.9, seed: 7 });
    const ours = idsOf(await model.generate({ ...prompt(4), ...sampler.generateOptions({ max_new_tokens: STEPS }) }));
    expect(ours).toHaveLength(1 + STEPS);
    expect(outside(ours, 0.9)).toBe(0);
    expect([...sampler.result.tokens.data]).toEqual(ours.slice(1));
  });

  it("log-probabilities, entropies, margins and nucleus sizes are those of the raw logits", async () => {
    const model = await load("words"), sampler = new Sampler({ temperature: 0.7, topP: 0.8, minP: 0.01, presencePenalty: 0.3, seed: 1 });
    const ids = idsOf(await model.generate({ ...prompt(5, 6), ...sampler.generateOptions({ max_new_tokens: 100 }) }));
    const { tokens, logProbabilities, entropies, margins } = sampler.result;
    expect(tokens.shape).toEqual([1, 100]);
    const want = Array.from({ length: 100 }, (_, t) => {
      const row = rowOf(ids[1 + t]), z = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)), sorted = row.toSorted((a, b) => b - a);
      return [row[ids[2 + t]] - z, -row.reduce((sum, x) => sum + (x - z) * Math.exp(x - z), 0), sorted[0] - sorted[1]];
    });
    expectClose(logProbabilities.data, want.map(([p]) => p), { atol: 2e-6 }); // float32
    expectClose(entropies.data, want.map(([, h]) => h), { atol: 2e-6 });
    expectClose(margins.data, want.map(([, , m]) => m), { atol: 1e-6 });
  });

  it("the model's own generation_config does not act", async () => {
    const [plain, configured] = [await load("words"), await load("configured")], text = async (model: typeof plain) => {
      const sampler = new Sampler({ topK: 30, seed: 3 });
      return [idsOf(await model.generate({ ...prompt(4), ...sampler.generateOptions({ max_new_tokens: 60 }) })), sampler.result];
    };
    expect(await text(configured)).toEqual(await text(plain));
  });

  it("draws for batches, row r from stream r, and feeds a streamer", async () => {
    const model = await load("words"), sampler = new Sampler({ topP: 0.95, seed: 11 }), seen: bigint[][] = [];
    const streamer = { put: (ids: bigint[][]) => void seen.push(ids.map((row) => row.at(-1)!)), end: () => {} };
    const inputs = new Tensor("int64", BigInt64Array.of(4n, 5n, 6n, 7n, 8n, 9n), [3, 2]);
    const output = idsOf(await model.generate({ inputs, ...sampler.generateOptions({ max_new_tokens: 20, streamer: streamer as never }) }));
    expect(sampler.result.tokens.shape).toEqual([3, 20]);
    for (let row = 0; row < 3; row++) {
      const alone = new Sampler({ topP: 0.95, seed: 11, stream: row });
      const single = idsOf(await model.generate({ ...prompt(4 + 2 * row, 5 + 2 * row), ...alone.generateOptions({ max_new_tokens: 20 }) }));
      expect(output.slice(22 * row, 22 * (row + 1))).toEqual(single);
    }
    expect(seen.slice(1).map((step) => Number(step[1]))).toEqual([...sampler.result.tokens.row(1).data]);
  });

  it("a grammar's tokens, penalties and mirostat act as in a loop of one's own", async () => {
    const model = await load("words");
    for (const options of [{ allowed: (tokens: readonly number[]) => (tokens.length % 2 === 0 ? [4, 5, 6, 7, 8] : [12, 13, 14]) }, { repetitionPenalty: 1.3, frequencyPenalty: 0.5 }, { mirostat: { surprise: 1.5 } }]) {
      const sampler = new Sampler({ seed: 5, ...options }), loop = new Sampler({ seed: 5, ...options });
      const ids = idsOf(await model.generate({ ...prompt(4, 5), ...sampler.generateOptions({ max_new_tokens: 40 }) })), own = [4, 5];
      while (own.length < 42) own.push(loop.sample(rowOf(own.at(-1)!), { tokens: own, promptLength: 2 }).tokens.item());
      expect(ids).toEqual(own);
    }
  });

  it("refuses what would act beside it", async () => {
    const model = await load("words"), sampler = new Sampler({ seed: 1 });
    for (const given of [{ do_sample: true }, { temperature: 0.5 }, { top_p: 0.9 }, { num_beams: 4 }, { repetition_penalty: 1.1 }]) expect(() => sampler.generateOptions(given)).toThrow("left to the sampler");
    // A second sampler, of which ours hears nothing, finds one finite logit and cannot change what is drawn.
    const sampled = idsOf(await model.generate({ ...prompt(4), ...sampler.generateOptions({ max_new_tokens: 30 }), do_sample: true, top_k: 3 }));
    expect(sampled).toEqual(idsOf(await model.generate({ ...prompt(4), ...sampler.generateOptions({ max_new_tokens: 30 }) })));
    const stale = sampler.generateOptions({ max_new_tokens: 3 });
    await model.generate({ ...prompt(4), ...stale });
    await expect(model.generate({ ...prompt(4), ...stale })).rejects.toThrow("Call generateOptions anew for every generate");
  });
});

describe("a loop over ONNX Runtime", () => {
  it("draws what generate draws, from float32 and from half precision", async () => {
    ort.env.wasm.numThreads = 1;
    const options = { temperature: 0.9, topP: 0.9, repetitionPenalty: 1.2, seed: 21 };
    const loop = async (half: boolean): Promise<number[]> => {
      const session = await ort.InferenceSession.create(onnxModel(languageModel(half))), sampler = new Sampler(options), text = [4, 5];
      while (text.length < 40) {
        const { logits: all } = await session.run({ input_ids: new ort.Tensor("int64", BigInt64Array.from(text.slice(-1), BigInt), [1, 1]) });
        const { tokens } = sampler.sample({ data: all.data, dims: all.dims.slice(1), type: all.type }, { tokens: text, promptLength: 2 });
        text.push(tokens.at(0));
      }
      return text;
    };
    const model = await load("words"), sampler = new Sampler(options);
    expect(await loop(false)).toEqual(idsOf(await model.generate({ ...prompt(4, 5), ...sampler.generateOptions({ max_new_tokens: 38 }) })));
    const half = await loop(true);
    expect(half).toHaveLength(40);
    expect(half.every((id) => id >= 4 && id < size)).toBe(true);
  });
});

const page = `
import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";
import { Sampler } from "@logits/sampling";

async function run() {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/ort/";
  env.backends.onnx.wasm.numThreads = 1;
  const tokenizer = await AutoTokenizer.from_pretrained("words");
  const model = await AutoModelForCausalLM.from_pretrained("words", { dtype: "fp32", device: "wasm" });
  const texts = [];
  for (const options of JSON.parse("OPTIONS")) {
    const sampler = new Sampler(options);
    const output = await model.generate({ ...tokenizer("book a ticket"), ...sampler.generateOptions({ max_new_tokens: 64 }) });
    texts.push([tokenizer.batch_decode(output)[0], ...sampler.result.drawLogProbabilities.data, ...sampler.result.entropies.data]);
  }
  return texts;
}
`;

/** Every rule, so that each must give the same text. */
const EVERY = [
  { seed: 1 }, { seed: 1, temperature: 0.8, topP: 0.9 }, { seed: 2, temperature: 1.3, topK: 20, minP: 0.02 }, { seed: 3, typicalP: 0.8 }, { seed: 4, eta: 0.01 }, { seed: 5, mirostat: { surprise: 2 } },
  { seed: 6, repetitionPenalty: 1.2, frequencyPenalty: 0.2, presencePenalty: 0.1, logitBias: { 7: 2 }, topP: 0.95 }, { temperature: 0 },
];

describe("the same text from the same seed", () => {
  const node = async (): Promise<unknown> => {
    const tokenizer = await AutoTokenizer.from_pretrained("words"), model = await load("words"), texts: unknown[] = [];
    for (const options of EVERY) {
      const sampler = new Sampler(options);
      const output = await model.generate({ ...tokenizer("book a ticket"), ...sampler.generateOptions({ max_new_tokens: 64 }) });
      texts.push([tokenizer.batch_decode(output as Tensor)[0], ...sampler.result.drawLogProbabilities.data, ...sampler.result.entropies.data]);
    }
    return JSON.parse(JSON.stringify(texts));
  };

  for (const [name, command, flags] of [
    ["Chromium", "chromium", [...CHROMIUM_FLAGS, "--disable-gpu", `--user-data-dir=${join(folder, "chromium")}`]],
    ["Firefox", "firefox-esr", ["--headless", "--no-remote", "--profile", join(folder, "firefox")]],
  ] as const) {
    it.skipIf(!installed(command))(`in Node and ${name}`, async () => {
      const want = await node() as unknown[][];
      expect(want[1][0]).toMatch(/^\[CLS\] book a ticket \[SEP\]( \w+|\.){64}$/);
      expect(await inBrowser(command, flags)).toEqual(want);
    });
  }
});

/** What `run` of the page returns. */
async function inBrowser(command: string, flags: readonly string[]): Promise<unknown> {
  const last = `run().catch((error) => ({ error: String(error?.stack ?? error) })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));`;
  await build({ stdin: { contents: page.replace(`"OPTIONS"`, JSON.stringify(JSON.stringify(EVERY))) + last, resolveDir: import.meta.dirname }, bundle: true, format: "esm", platform: "browser", outfile: join(folder, "page.js"), logLevel: "error" });
  writeFileSync(join(folder, "page.html"), `<!doctype html><meta charset="utf-8"><title>sampling</title><script type="module" src="/page.js"></script>`);
  if (!existsSync(join(folder, "firefox"))) execFileSync("mkdir", ["-p", join(folder, "firefox")]);
  const runtime = dirname(createRequire(createRequire(import.meta.url).resolve("@huggingface/transformers")).resolve("onnxruntime-web"));
  return pageAnswer({ folder, page: "page.html", mounts: { ort: runtime }, command, flags, seconds: 100 });
}

function installed(command: string): boolean {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
