import { Sampler, type SamplerOptions } from "@logits/sampling";
import { randomSource } from "@logits/tensor";
import { ngramModel, wordsOf, type NgramModel } from "../data/ngramModel.ts";
import type { Control } from "../worker/protocol.ts";
import { intentData } from "./intentSentences.ts";

/** What is asked for: a text that begins with `prompt`, drawn by these rules. Neutral values change nothing. */
export interface Decoding {
  readonly prompt: string;
  readonly seed: number;
  readonly rules: Rules;
}

/** The options of `Sampler` that the panel has; without an option its rule is off. */
export type Rules = Pick<SamplerOptions, "repetitionPenalty" | "presencePenalty" | "frequencyPenalty" | "temperature" | "topK" | "topP" | "minP" | "typicalP" | "eta">;

/** A word that was drawn, and what is to be said about it. */
export interface DrawnWord {
  readonly word: string;
  /** In nats: of the model, and of the distribution that it was drawn from. */
  readonly logProbability: number;
  readonly drawLogProbability: number;
  /** Of the model's distribution, in nats. */
  readonly entropy: number;
  readonly margin: number;
  /** Words that the rules left. */
  readonly candidates: number;
  /** The fewest words that hold 90 % of the model's probability. */
  readonly nucleus: number;
}

export interface DrawnText {
  /** The words of the prompt, and whether the model knows them. */
  readonly prompt: readonly { readonly word: string; readonly known: boolean }[];
  readonly words: readonly DrawnWord[];
  readonly vocabulary: number;
  readonly sentences: number;
}

/** The distribution after a rule and all before it. */
export interface Stage {
  readonly name: StageName;
  readonly candidates: number;
  readonly entropy: number;
  /** The probability, before this rule, of what it left out. */
  readonly leftOut: number;
  /** Of the words that are shown; undefined: left out. */
  readonly probabilities: readonly (number | undefined)[];
}

export type StageName = "model" | "penalties" | "temperature" | "topK" | "topP" | "minP" | "typicalP" | "eta";

/** One draw, rule by rule. */
export interface Draw {
  readonly at: number;
  readonly seed: number;
  readonly word: DrawnWord;
  readonly vocabulary: number;
  /** The words that are shown, the model's most probable ones first. */
  readonly words: readonly string[];
  /** Index among them of the word that was drawn. */
  readonly drawn: number;
  readonly stages: readonly Stage[];
  /** The uniform number; undefined at temperature 0. */
  readonly u: number | undefined;
  /** The probabilities of all words side by side in the model's order, small neighbours taken together (`word` undefined). */
  readonly strip: readonly { readonly word: string | undefined; readonly from: number; readonly to: number; readonly drawn: boolean }[];
}

const MOST = 20, SHOWN = 9, NARROW = 0.01;
/** The groups of options in the order in which they act. */
const ORDER: readonly (readonly [name: StageName, options: readonly (keyof Rules)[]])[] = [
  ["penalties", ["repetitionPenalty", "presencePenalty", "frequencyPenalty"]], ["temperature", ["temperature"]], ["topK", ["topK"]], ["topP", ["topP"]], ["minP", ["minP"]], ["typicalP", ["typicalP"]], ["eta", ["eta"]],
];

let model: Promise<{ readonly model: NgramModel; readonly sentences: number }> | undefined;

function modelOf(control: Control): NonNullable<typeof model> {
  model ??= intentData(control).then(({ train }) => ({ model: ngramModel(train.map(([sentence]) => sentence)), sentences: train.length }));
  model.catch(() => {
    model = undefined;
  });
  return model;
}

/** The text so far: what the model sees, and what penalties count. */
interface Context {
  readonly prefix: readonly number[];
  readonly tokens: readonly number[];
  readonly promptLength: number;
}

function started(prompt: string, { idOf }: NgramModel): Context {
  const prefix = wordsOf(prompt).map((word) => idOf(word) ?? -1), tokens = prefix.filter((id) => id >= 0);
  return { prefix, tokens, promptLength: tokens.length };
}

const longer = ({ prefix, tokens, promptLength }: Context, id: number): Context => ({ prefix: [...prefix, id], tokens: [...tokens, id], promptLength });

/** Draws a text: the prompt is continued to the end of the sentence, or for 20 words. */
export async function text({ prompt, seed, rules }: Decoding, control: Control): Promise<DrawnText> {
  const { model, sentences } = await modelOf(control), sampler = new Sampler({ ...rules, seed }), nucleus = new Sampler({ topP: 0.9, seed });
  const words: DrawnWord[] = [];
  for (let context = started(prompt, model), ended = false; !ended && words.length < MOST;) {
    const logits = model.logits(context.prefix), position = words.length, { tokens, promptLength } = context;
    const drawn = sampler.sample(logits, { tokens, promptLength, position }), id = drawn.tokens.item();
    words.push({
      word: model.words[id], logProbability: drawn.logProbabilities.item(), drawLogProbability: drawn.drawLogProbabilities.item(), entropy: drawn.entropies.item(), margin: drawn.margins.item(),
      candidates: drawn.candidates.item(), nucleus: nucleus.sample(logits, { position }).candidates.item(),
    });
    context = longer(context, id);
    ended = id === 0;
  }
  return { prompt: wordsOf(prompt).map((word) => ({ word, known: model.idOf(word) !== undefined })), words, vocabulary: model.words.length, sentences };
}

/** The draw of word `at` of that text: the distribution under the rules so far, one rule more at a time. */
export async function draw({ at, ...asked }: Decoding & { readonly at: number }, control: Control): Promise<Draw> {
  const { model } = await modelOf(control), { seed, rules } = asked, { words } = await text(asked, control);
  const { prefix, tokens, promptLength } = words.slice(0, at).reduce((context, { word }) => longer(context, model.idOf(word)!), started(asked.prompt, model));
  const logits = model.logits(prefix), context = { tokens, promptLength, position: at }, drawnId = model.idOf(words[at].word)!;
  const active = ORDER.map(([name, options]) => ({ name, options: options.filter((option) => rules[option] !== undefined) })).filter(({ options }) => options.length > 0);
  const steps = [{ name: "model" as const, options: [] }, ...active].map(({ name }, k) => {
    const soFar: Rules = Object.fromEntries(active.slice(0, k).flatMap(({ options }) => options.map((option) => [option, rules[option]]))), sampler = new Sampler({ ...soFar, seed });
    return { name, p: sampler.distribution(logits, context).data, candidates: sampler.sample(logits, context).candidates.item() };
  });
  const cutting = (name: StageName): boolean => name !== "model" && name !== "penalties" && (name !== "temperature" || rules.temperature === 0), first = steps.findIndex(({ name }) => cutting(name));
  const last = steps.at(-1)!.p, byModel = orderOf(steps[0].p), shown = [...new Set([drawnId, ...byModel.slice(0, SHOWN), ...orderOf(last).slice(0, 3).filter((id) => last[id] > 0)])].sort((a, b) => logits[b] - logits[a] || a - b);
  return {
    at, seed, word: words[at], vocabulary: model.words.length, words: shown.map((id) => model.words[id]), drawn: shown.indexOf(drawnId),
    stages: steps.map(({ name, p, candidates }, k) => {
      const before = steps[k - 1]?.p;
      return {
        name, candidates, entropy: p.reduce((sum, q) => (q > 0 ? sum - q * Math.log(q) : sum), 0), leftOut: cutting(name) ? before!.reduce((sum, q, id) => (p[id] > 0 ? sum : sum + q), 0) : 0,
        probabilities: shown.map((id) => (p[id] > 0 || first < 0 || k < first ? p[id] : undefined)),
      };
    }),
    u: rules.temperature === 0 ? undefined : uniform(seed, at), strip: stripOf(last, drawnId, model.words),
  };
}

/** Words, the most probable first; of equal ones the first. */
function orderOf(p: Float32Array): number[] {
  return [...p.keys()].sort((a, b) => p[b] - p[a] || a - b);
}

/** Number `position` of the source that the sampler reads. */
function uniform(seed: number, position: number): number {
  const random = randomSource(seed);
  for (let i = 0; i < position; i++) random.uniform();
  return random.uniform();
}

function stripOf(p: Float32Array, drawn: number, words: readonly string[]): Draw["strip"] {
  const strip: { word: string | undefined; from: number; to: number; drawn: boolean }[] = [];
  let sum = 0;
  for (const [id, q] of p.entries()) {
    if (q === 0) continue;
    const last = strip.at(-1), own = q >= NARROW || id === drawn;
    if (!own && last && last.word === undefined) last.to = sum + q;
    else strip.push({ word: own ? words[id] : undefined, from: sum, to: sum + q, drawn: id === drawn });
    sum += q;
  }
  return strip;
}
