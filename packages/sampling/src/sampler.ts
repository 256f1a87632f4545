import { drawToken, tokenRows, type TokenDraw, type TokenOptions, type TokenRow, type TokenRows, type TokenRules } from "@logits/core-wasm/sampling";
import { Tensor, asFloat32, checkInteger, float16ToFloat32, isOnGpu, rangeError, sizeOf, typeError, type TensorLike } from "@logits/tensor";
import { checkGpuScores, drawOnGpu, type GpuScores } from "./gpuScores.ts";
import { GenerationRun, type GenerateOptions, type GenerationResult } from "./generate.ts";
import { REFERENCES, checkGuidance, combinationOf, guideRow, type Guidance } from "./guidance.ts";
import { applyChanges, changesOf, type Penalties, type ScoreChange } from "./penalties.ts";
import { DRAW, uniformAt } from "./random.ts";
import { biasOf, checkOptions, rulesOf, type SamplerOptions } from "./rules.ts";

/** Tokens of one row so far, or of each row of a batch. */
export type Tokens = ArrayLike<number | bigint> | readonly ArrayLike<number | bigint>[];

/** What a row is told beside its scores. */
interface RowPlan {
  readonly stream: number;
  readonly uniform: number;
  readonly changes: ReadonlyMap<number, ScoreChange>;
  readonly ids: Int32Array | undefined;
  /** Of mirostat. */
  readonly bound: number | undefined;
}

const NO_CHANGE: ScoreChange = { bias: 0, penalty: 1, loss: 0 };

/** What a sampler is told with the scores. */
export interface SampleContext {
  /** The text so far, prompt and generated tokens: one list, or one for each row. Needed by penalties and `allowed`; its length is the position. */
  readonly tokens?: Tokens;
  /** How many of `tokens` are the prompt, whose tokens presence and frequency do not count. Default 0. */
  readonly promptLength?: number;
  /** Which random number of its stream a row takes: an integer from 0 up. Default: the number of `tokens`; without those it is required unless the temperature is 0. */
  readonly position?: number;
  /** Scores of the same shape, as `guidance` says; on the same GPU where the logits are on one. */
  readonly references?: readonly (TensorLike | GpuScores)[];
}

/** Tokens and what is to be said about each. */
export interface Samples {
  /** int32 [...]. */
  readonly tokens: Tensor<"int32">;
  /** Log-probability under softmax(logits), before any rule, in nats; float32 [...]. */
  readonly logProbabilities: Tensor<"float32">;
  /** Log of the probability with which the token was drawn; float32 [...]. */
  readonly drawLogProbabilities: Tensor<"float32">;
  /** Of softmax(logits), in nats; float32 [...]. */
  readonly entropies: Tensor<"float32">;
  /** Largest minus second largest logit; +Infinity where one token is possible; float32 [...]. */
  readonly margins: Tensor<"float32">;
  /** How many tokens the rules left: the size of the nucleus; V where no rule is in force, impossible tokens among them; int32 [...]. */
  readonly candidates: Tensor<"int32">;
}

/**
 * Draws tokens from logits. Configured once, it may be used for any number of texts; only mirostat has a state.
 *
 * Whatever the order of the options, the scores go through: guidance, logitBias, repetitionPenalty, presencePenalty and frequencyPenalty, allowed, temperature, topK, topP, minP, typicalP, eta (or
 * mirostat), the draw. Each rule sees what the one before has left, with probabilities that sum to 1, and leaves at least one token. Equal scores: the smaller token first. The token is the one at
 * which the running sum of the probabilities, in the order of the tokens, first exceeds a uniform number: number `position` of `randomSource(seed, stream + row)`.
 *
 * The same logits, seed, stream and position give the same token, and every number is the same, bit for bit, in every engine. A row does not depend on its batch.
 *
 * Temperature 0 takes the largest score. NaN, +Infinity and a row in which no token is possible are errors that name the row. No rule can leave nothing.
 *
 * @example
 *   const sampler = new Sampler({ temperature: 0.8, topP: 0.9, seed: 7 });
 *   const { tokens, logProbabilities } = sampler.sample([[2, 1, 0, -1]], { position: 0 });
 * Source: Holtzman et al., "The curious case of neural text degeneration", ICLR 2020 (top-p); Fan et al., ACL 2018 (top-k); Nguyen et al. 2024 (min-p); Meister et al., "Locally typical sampling", TACL
 * 2023; Hewitt et al., "Truncation sampling as language model desmoothing", 2022 (eta); Basu et al., "Mirostat", ICLR 2021; Keskar et al., "CTRL", 2019 (repetition penalty).
 */
export class Sampler {
  /** What it was made of. */
  readonly options: SamplerOptions;
  readonly #bias: ReadonlyMap<number, number>;
  /** Surprise bounds of mirostat, by row. */
  readonly #bounds = new Map<number, number>();
  #run: GenerationRun | undefined;

  /**
   * @param options - see SamplerOptions; `seed` is required unless `temperature` is 0
   * @throws RangeError for an option out of its range, TypeError for mirostat beside the rules that it takes the place of
   */
  constructor(options: SamplerOptions) {
    const where = "Sampler";
    checkOptions(where, options);
    if (options.guidance) checkGuidance(where, options.guidance);
    this.#bias = biasOf(where, options.logitBias);
    this.options = options;
  }

  /**
   * Draws one token for each row of the last axis.
   *
   * @param logits - scores of any dtype, float16 too, [..., V], V >= 1; -Infinity = impossible
   * @param context - the text so far or the position, references of a guidance
   * @returns tokens with log-probabilities, entropies, margins and nucleus sizes, shape [...]
   * @throws RangeError for NaN, +Infinity, a row without a possible token (it is named), a token outside [0, V), missing tokens or position
   */
  sample(logits: TensorLike, context: SampleContext = {}): Samples {
    const draws: TokenDraw[] = [], plans: RowPlan[] = [];
    const shape = this.#each("Sampler.sample", logits, context, (row, index, options, plan) => {
      draws.push(drawToken("Sampler.sample", row, index, this.#rules(plan), plan.uniform, options));
      plans.push(plan);
    });
    this.#follow(plans, draws.map(({ surprise }) => surprise!));
    return samples(shape, draws);
  }

  /**
   * `sample` for scores that are on a GPU, which stay there: 28 bytes a row are read, with mirostat 32. The same rules and random numbers; the same tokens unless a sum lies within 1e-6 of its
   * bound, or two tokens are within that equally near to the mean of `typicalP`.
   *
   * @param logits - float32 or float16 [..., V] on the GPU, as @logits/webgpu makes or adopts them; scores in memory are drawn from as by `sample`
   * @param context - as for `sample`
   * @throws RangeError as `sample`; TypeError for references that are not on the GPU; UnsupportedKernelError for a guidance with k above 4,096
   */
  async sampleAsync(logits: TensorLike | GpuScores, context: SampleContext = {}): Promise<Samples> {
    const where = "Sampler.sampleAsync";
    if (!isOnGpu(logits)) return this.sample(logits as TensorLike, context);
    checkGpuScores(where, logits);
    const { shape } = logits, plans = this.#plans(where, context, sizeOf(shape.slice(0, -1)), shape[shape.length - 1]), { guidance } = this.options, { references = [] } = context;
    checkCount(where, references, guidance);
    const draws = plans.map(({ uniform, changes, ids, bound }) => ({ uniform, bound, only: ids !== undefined, scores: ids ? new Map(Array.from(ids, (id) => [id, changes.get(id) ?? NO_CHANGE])) : changes }));
    const { samples: drawn, surprises } = await drawOnGpu(logits, this.options, draws, guidance && { references, ...combinationOf(guidance) });
    if (surprises) this.#follow(plans, surprises.data);
    return drawn;
  }

  /**
   * The distribution that `sample` would draw from: probabilities, 0 for what the rules leave out. Nothing is drawn and no state changes; no position is needed.
   *
   * @param logits - as for `sample`
   * @param context - as for `sample`
   * @returns float32 [..., V], rows that sum to 1 within rounding
   * @throws RangeError as `sample`
   */
  distribution(logits: TensorLike, context: SampleContext = {}): Tensor<"float32"> {
    const where = "Sampler.distribution", rows: Float32Array[] = [];
    const shape = this.#each(where, logits, { position: 0, ...context }, (row, index, options, plan) => {
      const probabilities = new Float32Array(row.length);
      drawToken(where, row, index, this.#rules(plan), plan.uniform, { ...options, probabilities });
      rows.push(probabilities);
    });
    const cols = rows.length > 0 ? rows[0].length : 1, out = new Float32Array(rows.length * cols);
    rows.forEach((row, i) => out.set(row, i * cols));
    return new Tensor("float32", [...shape, cols], out);
  }

  /** Forgets what mirostat has seen. */
  reset(): void {
    this.#bounds.clear();
  }

  /**
   * Options for `model.generate` of Transformers.js, in which this sampler draws: its processor leaves one finite logit, and greedy decoding takes it, so that no second sampler, temperature or generator acts.
   *
   * @param options - further options of `generate` (`max_new_tokens`, `streamer`, ...), passed on
   * @returns them with what makes this sampler the only one; starts a new `result`
   * @throws TypeError for options that this sampler decides (`do_sample`, `temperature`, `top_p`, `num_beams`, `logits_processor`, ...), or with `guidance`
   * @example
   *   const output = await model.generate({ ...tokenizer(prompt), ...sampler.generateOptions({ max_new_tokens: 50 }) });
   *   sampler.result.logProbabilities;
   * Source: `generate` of @huggingface/transformers 4.3.1.
   */
  generateOptions<const T extends object = object>(options?: T): Omit<T, keyof GenerateOptions> & GenerateOptions {
    this.reset();
    this.#run = new GenerationRun(this);
    return this.#run.options((options ?? {}) as T);
  }

  /**
   * What was drawn since `generateOptions`: tokens and their numbers, shape [B, T], T steps.
   *
   * @throws RangeError before the first token
   */
  get result(): GenerationResult {
    if (!this.#run) throw rangeError("Sampler.result", "generateOptions", "to be called and its options used", "no call");
    return this.#run.result;
  }

  /** The rules for a row. */
  #rules({ bound }: RowPlan): TokenRules {
    return { ...rulesOf(this.options), ...(bound !== undefined && { surprise: bound }) };
  }

  /** Moves the bounds of mirostat, when all rows have been drawn: a row that is refused moves nothing. */
  #follow(plans: readonly RowPlan[], surprises: ArrayLike<number>): void {
    const { mirostat } = this.options;
    if (mirostat) plans.forEach(({ stream, bound }, i) => this.#bounds.set(stream, bound! - (mirostat.rate ?? 0.1) * (surprises[i] - mirostat.surprise)));
  }

  /** What each row is told beside its scores. */
  #plans(where: string, { tokens, position, promptLength = 0 }: SampleContext, rows: number, cols: number): RowPlan[] {
    const { options } = this, { seed = 0, stream: first = 0, temperature = 1, allowed, mirostat } = options, texts = textsOf(where, tokens, rows);
    if (position !== undefined) checkInteger(where, "position", position, 0, Number.MAX_SAFE_INTEGER);
    checkInteger(where, "promptLength", promptLength, 0, Number.MAX_SAFE_INTEGER);
    if (position === undefined && texts === undefined && temperature !== 0) throw rangeError(where, "position", "an integer from 0 up, or `tokens`", "neither", "Pass { position: step }: two draws at one position are the same");
    const penalties: Penalties = { bias: this.#bias, ...options };
    if (texts === undefined && (penalties.repetitionPenalty ?? 1) !== 1) throw missing(where, "repetitionPenalty");
    if (texts === undefined && ((penalties.presencePenalty ?? 0) !== 0 || (penalties.frequencyPenalty ?? 0) !== 0)) throw missing(where, "presencePenalty and frequencyPenalty");
    if (texts === undefined && allowed !== undefined) throw missing(where, "allowed");
    return Array.from({ length: rows }, (_, index) => {
      const text = texts ? texts[index] : [], stream = first + index;
      return {
        stream,
        uniform: temperature === 0 ? 0 : uniformAt(seed, stream, position ?? text.length, DRAW),
        changes: changesOf(where, penalties, text, promptLength, cols),
        ids: allowed && allowedIds(where, allowed(text.slice(promptLength), index), cols),
        bound: mirostat && (this.#bounds.get(stream) ?? 2 * mirostat.surprise),
      };
    });
  }

  /** Calls `draw` for each row with what changes its scores; returns the shape of the rows. */
  #each(where: string, logits: TensorLike, context: SampleContext, draw: (row: TokenRow, index: number, options: TokenOptions, plan: RowPlan) => void): readonly number[] {
    if (isOnGpu(logits)) throw typeError(where, "logits", "in memory", "a tensor on the GPU", "Use await sampler.sampleAsync(logits, context), or read it: await logits.read()");
    const { guidance } = this.options, { references = [] } = context, rows = tokenRows(where, "logits", logits), plans = this.#plans(where, context, rows.rows, rows.cols);
    checkCount(where, references, guidance);
    const guides = referencesOf(where, references as readonly TensorLike[], rows.shape);
    for (const [index, plan] of plans.entries()) {
      const { changes, ids } = plan, row = rows.row(index);
      const guided = guidance && guideRow(where, asFloats(row, rows, logits, index), guides.map((reference) => reference.data.subarray(index * rows.cols, (index + 1) * rows.cols)), guidance);
      const edit = guided || changes.size > 0 ? (x: Float32Array): void => { if (guided) x.set(guided); applyChanges(x, changes); } : undefined;
      draw(row, index, { ...(edit && { edit }), ...(ids && { allowed: ids }) }, plan);
    }
    return rows.shape.slice(0, -1);
  }
}

function missing(where: string, option: string): RangeError {
  return rangeError(where, "tokens", `the text so far, which ${option} looks at`, "nothing");
}

/** The row as float32, for guidance. */
function asFloats(row: TokenRow, { cols }: TokenRows, logits: TensorLike, index: number): Float32Array {
  if (row instanceof Float32Array) return row;
  return row instanceof Uint16Array ? float16ToFloat32(row) : asFloat32("Sampler", "logits", logits).data.slice(index * cols, (index + 1) * cols);
}

/** One list of numbers for each row. */
function textsOf(where: string, tokens: Tokens | undefined, rows: number): readonly (readonly number[])[] | undefined {
  if (tokens === undefined) return undefined;
  const nested = Array.from(tokens as ArrayLike<unknown>).some((one) => typeof one === "object" && one !== null);
  const lists = nested || (tokens.length === 0 && rows !== 1) ? (tokens as readonly ArrayLike<number | bigint>[]) : [tokens as ArrayLike<number | bigint>];
  if (lists.length !== rows) throw rangeError(where, "tokens", `a list for each of ${rows} rows`, `${lists.length}`);
  return Array.from(lists, (list) => Array.from(list, Number));
}

function checkCount(where: string, references: readonly unknown[], guidance: Guidance | undefined): void {
  const count = guidance ? REFERENCES[guidance.kind] : 0;
  if (references.length !== count) throw rangeError(where, "references", `${count} tensors, as \`guidance\` says`, `${references.length}`);
}

function referencesOf(where: string, references: readonly TensorLike[], shape: readonly number[]): Tensor<"float32">[] {
  return references.map((reference) => {
    const tensor = asFloat32(where, "references", reference);
    if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) throw rangeError(where, "references", `of shape [${shape.join(", ")}]`, `[${tensor.shape.join(", ")}]`);
    return tensor;
  });
}

/** Tokens that are allowed, rising and each once. */
function allowedIds(where: string, ids: ArrayLike<number> | undefined, cols: number): Int32Array | undefined {
  if (ids === undefined) return undefined;
  const out = Int32Array.from(new Set(Array.from(ids, (id) => {
    if (!(Number.isInteger(id) && id >= 0 && id < cols)) throw rangeError(where, "allowed", `of tokens in [0, ${cols})`, `${id}`);
    return id;
  })));
  return out.sort();
}

/** Draws as tensors. */
export function samples(shape: readonly number[], draws: readonly TokenDraw[]): Samples {
  const floats = (read: (draw: TokenDraw) => number): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(draws, read));
  const ints = (read: (draw: TokenDraw) => number): Tensor<"int32"> => new Tensor("int32", shape, Int32Array.from(draws, read));
  return {
    tokens: ints(({ token }) => token),
    logProbabilities: floats(({ logProbability }) => logProbability),
    drawLogProbabilities: floats(({ drawLogProbability }) => drawLogProbability),
    entropies: floats(({ entropy }) => entropy),
    margins: floats(({ margin }) => margin),
    candidates: ints(({ kept }) => kept),
  };
}
