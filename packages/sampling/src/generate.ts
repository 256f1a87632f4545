import { Tensor, rangeError, typeError } from "@logits/tensor";
import type { Sampler, Samples } from "./sampler.ts";

/** Logits as Transformers.js hands them to a processor. */
export interface ProcessorLogits {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** A list of processors as Transformers.js has it: it may be called, and its items may be taken out. */
export interface ProcessorList {
  <L extends ProcessorLogits>(inputIds: readonly (readonly bigint[])[], logits: L): L;
  _call<L extends ProcessorLogits>(inputIds: readonly (readonly bigint[])[], logits: L): L;
  processors: ((inputIds: readonly (readonly bigint[])[], logits: ProcessorLogits) => ProcessorLogits)[];
  push(item: unknown): void;
  extend(items: unknown): void;
  // `any`: their declaration names a type of newer libraries.
  [Symbol.iterator](): any;
}

/** What makes the sampler the only one that acts. */
export interface GenerateOptions {
  readonly do_sample: false;
  readonly num_beams: 1;
  readonly temperature: 1;
  readonly top_k: 0;
  readonly num_return_sequences: 1;
  readonly repetition_penalty: 1;
  readonly guidance_scale: 1;
  readonly logits_processor: ProcessorList;
}

/** What was drawn during `generate`: as `Samples`, of shape [B, T], T steps. Rows that ended go on until the last one ends, as `generate` does. */
export type GenerationResult = Samples;

/** Options that the sampler decides, with the values that say nothing. */
const DECIDED: Readonly<Record<string, readonly unknown[]>> = {
  do_sample: [false], num_beams: [1], num_beam_groups: [1], num_return_sequences: [1], penalty_alpha: [], temperature: [1], top_k: [0], top_p: [1], min_p: [0], typical_p: [1], epsilon_cutoff: [0], eta_cutoff: [0],
  repetition_penalty: [1], encoder_repetition_penalty: [1], guidance_scale: [1], generation_config: [], logits_processor: [],
};

/** One run of `generate`. */
export class GenerationRun {
  readonly #sampler: Sampler;
  readonly #steps: Samples[] = [];
  #promptLength = 0;

  constructor(sampler: Sampler) {
    this.#sampler = sampler;
  }

  /** The caller's options and ours. */
  options<T extends object>(given: T): Omit<T, keyof GenerateOptions> & GenerateOptions {
    const where = "Sampler.generateOptions";
    if (this.#sampler.options.guidance) throw typeError(where, "guidance", "with `sample`, where the scores of two models meet", "a sampler with guidance", "generate runs one model: call sample in a loop of your own");
    for (const [name, value] of Object.entries(given)) {
      const silent = Object.hasOwn(DECIDED, name) ? DECIDED[name] : undefined;
      if (silent === undefined || value === undefined || value === null || silent.includes(value)) continue;
      throw typeError(where, name, "left to the sampler", typeof value === "object" || typeof value === "function" ? `${typeof value === "object" ? "an" : "a"} ${typeof value}` : `${value as string}`, todo(name));
    }
    return { ...given, do_sample: false, num_beams: 1, temperature: 1, top_k: 0, num_return_sequences: 1, repetition_penalty: 1, guidance_scale: 1, logits_processor: processorList((ids, logits) => this.#step(ids, logits)) };
  }

  get result(): GenerationResult {
    const steps = this.#steps;
    if (steps.length === 0) throw rangeError("Sampler.result", "generateOptions", "to be called and its options used", "no token");
    const [{ tokens }] = steps, shape = [tokens.size, steps.length];
    const join = <D extends "int32" | "float32">(dtype: D, read: (step: Samples) => Tensor<D>): Tensor<D> => {
      const out = dtype === "int32" ? new Int32Array(shape[0] * shape[1]) : new Float32Array(shape[0] * shape[1]);
      steps.forEach((step, t) => read(step).data.forEach((value, row) => void (out[row * steps.length + t] = value)));
      return new Tensor(dtype, shape, out as Tensor<D>["data"]);
    };
    return {
      tokens: join("int32", (step) => step.tokens),
      logProbabilities: join("float32", (step) => step.logProbabilities),
      drawLogProbabilities: join("float32", (step) => step.drawLogProbabilities),
      entropies: join("float32", (step) => step.entropies),
      margins: join("float32", (step) => step.margins),
      candidates: join("int32", (step) => step.candidates),
    };
  }

  /** Draws for every row and leaves one finite logit in each. */
  #step(inputIds: readonly (readonly bigint[])[], logits: ProcessorLogits): void {
    const where = "Sampler.generateOptions", steps = this.#steps, { data, dims } = logits;
    if (!(data instanceof Float32Array)) throw typeError(where, "logits", "float32, as generate hands them over", Object.prototype.toString.call(data).slice(8, -1));
    if (steps.length === 0) this.#promptLength = inputIds[0].length;
    else checkContinued(where, inputIds, steps, this.#promptLength);
    const samples = this.#sampler.sample({ data, dims }, { tokens: inputIds, promptLength: this.#promptLength });
    steps.push(samples);
    const cols = dims[dims.length - 1];
    data.fill(-Infinity);
    samples.tokens.data.forEach((token, row) => void (data[row * cols + token] = 0));
  }
}

/** The text must be the one that was drawn. */
function checkContinued(where: string, inputIds: readonly (readonly bigint[])[], steps: readonly Samples[], promptLength: number): void {
  const { data } = steps[steps.length - 1].tokens;
  if (inputIds[0].length !== promptLength + steps.length) throw rangeError(where, "input_ids", `of ${promptLength + steps.length} tokens`, `${inputIds[0].length}`, "Call generateOptions anew for every generate");
  inputIds.forEach((ids, row) => {
    if (Number(ids[ids.length - 1]) !== data[row]) throw rangeError(where, "input_ids", `that end with the token that was drawn, ${data[row]}`, `${ids[ids.length - 1]} in row ${row}`, "Another sampler acts beside this one");
  });
}

function todo(name: string): string {
  switch (name) {
    case "logits_processor": return "Use `logitBias` and `allowed` of the sampler";
    case "generation_config": return "Pass its other fields by themselves";
    case "guidance_scale": return "Use `guidance` of the sampler, in a loop of your own";
    case "num_beams": case "num_beam_groups": case "num_return_sequences": case "penalty_alpha": return "One token is drawn for each row: repeat the prompt for more";
    case "do_sample": return "It draws wherever its temperature is above 0";
    default: return "Give it to `new Sampler`";
  }
}

function processorList(step: (inputIds: readonly (readonly bigint[])[], logits: ProcessorLogits) => void): ProcessorList {
  const run = <L extends ProcessorLogits>(inputIds: readonly (readonly bigint[])[], logits: L): L => {
    step(inputIds, logits);
    return logits;
  };
  const refuse = (): never => {
    throw typeError("Sampler.generateOptions", "logits_processor", "left to the sampler", "a further processor", "Use `logitBias` and `allowed` of the sampler");
  };
  const processors = [run as ProcessorList["processors"][number]];
  return Object.assign(run, { _call: run, processors, push: refuse, extend: refuse, [Symbol.iterator]: () => processors.values() });
}
