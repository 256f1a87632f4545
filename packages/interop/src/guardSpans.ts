import { alignTokens, type Alignment, type DecodedSpan, type Normalization, type SpanDecoder, type TokenKind } from "@logits/structured-prediction/spans";
import { describe, rangeError, typeError } from "@logits/tensor";
import { checkPipeline, disposeOutput, modelClasses, modelOf, preparation, type Pipeline } from "./pipeline.ts";
import { readTensor } from "./readTensor.ts";

/** What is said about a piece of the text; offsets are UTF-16, [start, end). */
export type SpanDecision =
  /** A span that is at least as probable as the threshold. */
  | { readonly kind: "span"; readonly type: string; readonly text: string; readonly start: number; readonly end: number; readonly probability: number }
  /** Less probable than that, or in the place of a more probable one: for a person to look at. */
  | { readonly kind: "unsure"; readonly type: string; readonly text: string; readonly start: number; readonly end: number; readonly probability: number }
  /** What the model did not see: the tokenizer cut the text off. */
  | { readonly kind: "unread"; readonly text: string; readonly start: number; readonly end: number };

/** Options of `guardSpans`. */
export interface GuardSpansOptions extends Normalization {
  /** Probability from which a span is one, in (0, 1]. Default 0.5. */
  readonly threshold?: number;
  /** Probability from which a span is told as unsure, in (0, threshold]. Default 0.1, at most the threshold. */
  readonly least?: number;
  /** Turns the chain's probability into the share that is right: of `@logits/calibration`, fitted on spans of other texts. `threshold` and `least` are of what it gives. Default: none. */
  readonly calibrator?: { at(probability: number): number };
  /** Whether the model labels words at their first token. Default false: every token has a label. */
  readonly words?: boolean;
  /** How the tokenizer writes tokens. Default: found from the tokens. */
  readonly kind?: TokenKind;
}

/** Tried in this order where nothing is said about the tokenizer's normalisation. */
const NORMALIZATIONS: readonly Normalization[] = [{}, { lowercase: true, stripAccents: true }, { form: "NFKC" }, { form: "NFC" }, { lowercase: true }, { form: "NFKC", lowercase: true }, { form: "NFKD", lowercase: true, stripAccents: true }, { form: "NFD" }];

/**
 * Puts a Transformers.js token-classification pipeline under a span decoder: texts in, spans with probabilities and offsets out, and refusals.
 *
 * Tokenizer and model are the pipeline's own; the decoder sees the raw logits, never the pipeline's scores. A text runs alone, so that a decision does not depend on its neighbours.
 *
 * @param pipeline - of the task "token-classification"
 * @param decoder - over the labels of the model's `config.id2label`, in their order
 * @param options - `threshold` (0.5), `least` (0.1), `calibrator`, `words`, `kind`, and how the tokenizer normalises: `lowercase`, `stripAccents`, `form`; default what fits the tokens
 * @returns `(text) => Promise<SpanDecision[]>` in the order of the text; an array of texts gives an array of those
 * @throws TypeError for anything but such a pipeline; RangeError for other labels than the model's; the promise rejects where tokens do not fit the text
 * @example
 *   const decide = guardSpans(await pipeline("token-classification", "my/names"), new SpanDecoder(labels), { threshold: 0.9 });
 *   for (const piece of await decide("Ada Lovelace in London")) if (piece.kind === "span") console.log(piece.type, piece.text, piece.probability);
 * Source: TokenClassificationPipeline of @huggingface/transformers 4.3.1.
 */
export function guardSpans(pipeline: Pipeline, decoder: SpanDecoder, options: GuardSpansOptions = {}): <X extends string | readonly string[]>(input: X) => Promise<X extends string ? SpanDecision[] : SpanDecision[][]> {
  const where = "guardSpans";
  checkPipeline(where, pipeline, ["token-classification"]);
  if (!Array.isArray(decoder?.labels) || typeof decoder.decode !== "function") throw typeError(where, "decoder", "a SpanDecoder", describe(decoder));
  const { threshold = 0.5, least = Math.min(0.1, threshold), calibrator } = options;
  if (!(threshold > 0 && threshold <= 1)) throw rangeError(where, "threshold", "in (0, 1]", `${threshold}`);
  if (!(least > 0 && least <= threshold)) throw rangeError(where, "least", "in (0, threshold]", `${least}`);
  const names = modelClasses(pipeline), at = names?.findIndex((name, y) => name !== decoder.labels[y]) ?? -1;
  if (names && names.length !== decoder.labels.length) throw rangeError(where, "decoder", `of the ${names.length} labels of the model`, `${decoder.labels.length}`);
  if (at >= 0) throw rangeError(where, "decoder", "of the labels of the model, in their order", `${JSON.stringify(decoder.labels[at])} at index ${at}, where it has ${JSON.stringify(names![at])}`);
  const { tokenize, special } = tokenizerOf(where, pipeline), prepare = preparation(where, pipeline), model = modelOf(pipeline);

  const one = async (text: unknown): Promise<SpanDecision[]> => {
    if (typeof text !== "string") throw typeError(where, "input", "a text, or an array of texts", describe(text));
    const output = await model(await prepare(text));
    try {
      const logits = await readTensor(where, "logits", output.logits), { shape } = logits;
      if (shape.length !== 3 || shape[0] !== 1 || shape[2] !== decoder.labels.length) throw rangeError(where, "logits", `of shape [1, T, ${decoder.labels.length}]`, `[${shape.join(", ")}]`);
      const tokens = tokenize(text), rows = shape[1];
      if (tokens.length < rows) throw rangeError(where, "logits", `of at most ${tokens.length} rows, as the text has tokens`, `${rows}`);
      const alignment = aligned(text, tokens.slice(0, rows), special, { ...options, truncated: rows < tokens.length });
      const decoded = decoder.decode({ data: logits.data, shape: [rows, decoder.labels.length] }, { alignment, ...(options.words === true && { words: alignment.words }) });
      const raw = new Map<string, DecodedSpan>();
      // A calibrator may turn a small probability into a larger one: it looks at all that are not nearly impossible.
      for (const span of [...decoded, ...decoded.above(calibrator ? Math.min(least, 0.01) : least)]) raw.set(`${span.type} ${span.from} ${span.to}`, span);
      const spans = [...raw.values()].map((span) => ({ ...span, probability: calibrator ? calibrator.at(span.probability) : span.probability })).filter(({ probability }) => probability >= least);
      return [...decisions(spans, threshold, text), ...(rows < tokens.length ? unread(alignment) : [])];
    } finally {
      disposeOutput(output);
    }
  };
  return (async (input: string | readonly string[]) => {
    if (!Array.isArray(input)) return one(input);
    const all: SpanDecision[][] = [];
    for (const text of input) all.push(await one(text));
    return all;
  }) as never;
}

/** Most probable first: what is sure enough and does not overlap a more probable span is one. */
function decisions(spans: readonly DecodedSpan[], threshold: number, text: string): SpanDecision[] {
  const taken: DecodedSpan[] = [];
  for (const span of [...spans].sort((a, b) => b.probability - a.probability || a.from - b.from)) {
    if (span.probability >= threshold && taken.every(({ from, to }) => span.to <= from || to <= span.from)) taken.push(span);
  }
  return [...spans].sort((a, b) => a.from - b.from || a.to - b.to).map((span) => {
    const start = span.start!, end = span.end!;
    return { kind: taken.includes(span) ? ("span" as const) : ("unsure" as const), type: span.type, text: text.slice(start, end), start, end, probability: span.probability };
  });
}

function unread({ text, end }: Alignment): SpanDecision[] {
  const last = end.reduce((a, b) => Math.max(a, b), 0), start = last + (text.slice(last).length - text.slice(last).trimStart().length);
  return start === text.length ? [] : [{ kind: "unread", text: text.slice(start), start, end: text.length }];
}

function tokenizerOf(where: string, { tokenizer }: Pipeline): { tokenize: (text: string) => string[]; special: readonly string[] } {
  const { tokenize, all_special_tokens: special } = (tokenizer ?? {}) as { readonly tokenize?: (text: string, options: object) => unknown; readonly all_special_tokens?: unknown };
  if (typeof tokenize !== "function" || !Array.isArray(special)) throw typeError(where, "pipeline", "with a tokenizer that has tokenize() and all_special_tokens", describe(tokenizer));
  return { tokenize: (text) => tokenize.call(tokenizer, text, { add_special_tokens: true }) as string[], special: special as string[] };
}

/** Where the tokens lie, with the normalisation that was given or the one that fits them. */
function aligned(text: string, tokens: readonly string[], special: readonly string[], options: GuardSpansOptions & { readonly truncated: boolean }): Alignment {
  const { kind, truncated, lowercase, stripAccents, form } = options, given = lowercase !== undefined || stripAccents !== undefined || form !== undefined;
  const unknown = ["[UNK]", "<unk>"].filter((token) => tokens.includes(token));
  const of = (normalization: Normalization): Alignment => alignTokens(text, tokens, { ...normalization, special: special.filter((token) => !unknown.includes(token)), truncated, ...(kind !== undefined && { kind }) });
  if (given) return of({ ...(lowercase !== undefined && { lowercase }), ...(stripAccents !== undefined && { stripAccents }), ...(form !== undefined && { form }) });
  let first: unknown;
  for (const normalization of NORMALIZATIONS) {
    try {
      return of(normalization);
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}
