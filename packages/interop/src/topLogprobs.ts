import { exp, log } from "@logits/statistics";
import { Tensor, checkInteger, describe, rangeError, typeError } from "@logits/tensor";

/** A token that a language model might have said, with its log-probability in nats. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
}

/** What `fromTopLogprobs` needs to know beside the response. */
export interface TopLogprobsOptions<L extends string> {
  /**
   * The answers that are asked about. A list: each option is spelled as it stands or after one space ("A" and " A"; upper and lower case differ). An object: its names, with exactly the
   * spellings of each (`{ yes: ["yes", " yes", "Yes"], no: [...] }`).
   */
  readonly options: readonly L[] | Readonly<Record<L, readonly string[]>>;
  /** Which token of the answer, an integer from 0 up. Default 0, the first one said. */
  readonly position?: number;
  /** Which of several choices (chat and legacy completions) or text parts (Responses), an integer from 0 up. Default 0. */
  readonly choice?: number;
}

/** What the most probable tokens tell about the options. */
export interface PartialScores<L extends string> {
  /** Names of the C options. */
  readonly classes: readonly L[];
  /** float32 [C]: ln of the middle of each interval; -Infinity only where the whole interval is 0. They are what a head takes. */
  readonly logits: Tensor<"float32">;
  /** [C] Probability of the listed tokens that spell the option and begin no other. */
  readonly lower: readonly number[];
  /** [C] `lower`, and all that may belong to the option: listed tokens that begin it, and its share of what is not listed. */
  readonly upper: readonly number[];
  /** Probability of all tokens that are not listed, in [0, 1]. */
  readonly unobserved: number;
  /** Probability of the listed tokens that begin no option, in [0, 1]. */
  readonly other: number;
  /** Whether the same option is the most probable one wherever in their intervals the probabilities are. */
  readonly settled: boolean;
}

/**
 * What the `top_logprobs` of a hosted language model say about the options of a question, with what they leave open.
 *
 * The probability of an option is that of the tokens from one position on spelling it. Let p_1 >= ... >= p_k be the listed tokens and r = 1 - sum p_i the mass of the others.
 *
 *   lower = sum of p_i over tokens that spell the option and begin no other option
 *   upper = lower + sum of p_i over tokens that begin it + min(r, m p_k)
 *
 * m is the number of unlisted texts that begin it (its spellings and their beginnings): each of them has at most p_k, together they have at most r. `logits` = ln((lower + upper) / 2).
 * Nothing is renormalised: the options need not sum to 1.
 *
 * A token that was said counts as listed, not as p_k: it may stand beside the k most probable ones. A log-probability of -9999 or less is what hosts write for "very unlikely": the
 * token counts as not listed. A token that runs past an option ("A.", "Apple") belongs to none; list it as a spelling if it should.
 *
 * @param response - of OpenAI chat completions (`choices[].logprobs.content[].top_logprobs`), legacy completions (`choices[].logprobs.top_logprobs[]`), the Responses interface
 *   (`output[].content[].logprobs[].top_logprobs`), all as servers compatible with them send them; or the tokens of one position, `[{ token, logprob }]`
 * @param options - `options`, `position` (0), `choice` (0)
 * @throws TypeError for a response without them; RangeError for a log-probability above 0 or NaN, probabilities that sum to more than 1, options that are not different, a position that is not there
 * @example
 *   const { logits, upper, settled } = fromTopLogprobs(response, { options: ["A", "B", "C", "D"] });
 * Source: folklore; the bound by p_k is the definition of a top-k list.
 */
export function fromTopLogprobs<const L extends string>(response: unknown, options: TopLogprobsOptions<L>): PartialScores<L> {
  const where = "fromTopLogprobs";
  const { position = 0, choice = 0 } = options;
  checkInteger(where, "position", position, 0, 2 ** 31 - 1);
  checkInteger(where, "choice", choice, 0, 2 ** 31 - 1);
  const { classes, spellings } = spelled(where, options.options);
  const { tokens, said } = listed(where, response, choice, position);
  const probabilities = tokens.map(({ logprob }) => exp(Math.min(0, logprob)));
  const sum = probabilities.reduce((a, b) => a + b, 0);
  if (sum > 1 + ROUNDING) throw rangeError(where, "response", "of tokens whose probabilities sum to at most 1", `${sum}`);
  const unobserved = Math.max(0, 1 - sum);
  const others = probabilities.filter((_, i) => tokens[i].token !== said);
  const last = others.length > 0 ? Math.min(...others) : 1;

  const beginnings = spellings.map((list) => new Set(list.flatMap((text) => Array.from(text, (_, i) => [...text].slice(0, i + 1).join("")))));
  const listedTexts = new Set(tokens.map(({ token }) => token));
  const lower = classes.map(() => 0);
  const open = classes.map((_, c) => Math.min(unobserved, last * [...beginnings[c]].filter((text) => !listedTexts.has(text)).length));
  let other = 0;
  for (const [i, { token }] of tokens.entries()) {
    const may = classes.flatMap((_, c) => (beginnings[c].has(token) ? [c] : []));
    if (may.length === 0) other += probabilities[i];
    else if (may.length === 1 && spellings[may[0]].includes(token)) lower[may[0]] += probabilities[i];
    else for (const c of may) open[c] += probabilities[i];
  }
  // Rounded log-probabilities may sum to a little more than 1.
  for (let c = 0; c < lower.length; c++) lower[c] = Math.min(1, lower[c]);
  const upper = lower.map((p, c) => Math.min(1, p + open[c]));
  const best = lower.indexOf(Math.max(...lower));
  return {
    classes,
    logits: new Tensor("float32", [classes.length], Float32Array.from(lower, (p, c) => log((p + upper[c]) / 2))),
    lower,
    upper,
    unobserved,
    other: Math.min(1, other),
    settled: upper.every((p, c) => c === best || p < lower[best]),
  };
}

/** Log-probabilities come rounded; sums of twenty of them are off by less. */
const ROUNDING = 1e-3;

/** What hosts write for "very unlikely": no measurement, so the token counts as not listed. */
const NOT_MEASURED = -9999;

function spelled<L extends string>(where: string, options: TopLogprobsOptions<L>["options"]): { readonly classes: readonly L[]; readonly spellings: readonly (readonly string[])[] } {
  if (typeof options !== "object" || options === null) throw typeError(where, "options", "a list of answers, or an object of their spellings", describe(options));
  const classes = (Array.isArray(options) ? [...options] : Object.keys(options)) as L[];
  const spellings = classes.map((name) => (Array.isArray(options) ? [name, ` ${name}`] : (options as Readonly<Record<string, readonly string[]>>)[name]));
  if (classes.length === 0) throw rangeError(where, "options", "with at least one answer", "none");
  const seen = new Map<string, L>();
  for (const [c, list] of spellings.entries()) {
    if (!Array.isArray(list) || list.length === 0 || list.some((text) => typeof text !== "string" || text === "")) throw typeError(where, "options", "of texts that are not empty", `${describe(list)} for ${JSON.stringify(classes[c])}`);
    if (Array.isArray(options) && classes[c].trim() !== classes[c]) throw rangeError(where, "options", "without spaces around them", JSON.stringify(classes[c]), "For spellings of your own pass an object");
    for (const text of list) {
      const owner = seen.get(text);
      if (owner !== undefined) throw rangeError(where, "options", "that are spelled differently", `${JSON.stringify(text)} for ${JSON.stringify(owner)} and ${JSON.stringify(classes[c])}`);
      seen.set(text, classes[c]);
    }
  }
  return { classes, spellings };
}

type Fields = Readonly<Record<string, unknown>>;

const fields = (x: unknown): Fields => (typeof x === "object" && x !== null ? (x as Fields) : {});
const list = (x: unknown): readonly unknown[] => (Array.isArray(x) ? x : []);

/** The tokens of one position, and the one that was said, in any of the forms that are accepted. */
function listed(where: string, response: unknown, choice: number, position: number): { readonly tokens: readonly TokenLogprob[]; readonly said?: string } {
  const missing = (what: string, todo?: string): TypeError => typeError(where, "response", "with the most probable tokens of a language model", what, todo);
  if (Array.isArray(response)) return { tokens: checked(where, response) };
  const { choices, output } = fields(response);
  if (Array.isArray(choices) && choices.length > 0) {
    if (choice >= choices.length) throw rangeError(where, "choice", `below ${choices.length}, the number of choices`, `${choice}`);
    const logprobs = fields(fields(choices[choice]).logprobs);
    if (Array.isArray(logprobs.content) && logprobs.content.length > 0) return atPosition(where, logprobs.content, position);
    if (Array.isArray(logprobs.top_logprobs) && logprobs.top_logprobs.length > 0) {
      const top = logprobs.top_logprobs[inside(where, logprobs.top_logprobs, position)];
      const said = list(logprobs.tokens)[position];
      return { tokens: checked(where, Object.entries(fields(top)).map(([token, logprob]) => ({ token, logprob }))), ...(typeof said === "string" && { said }) };
    }
    throw missing("choices without logprobs", "Ask for them: logprobs: true, top_logprobs: 20 (legacy completions: logprobs: 5)");
  }
  if (Array.isArray(output)) {
    const texts = output.flatMap((item) => list(fields(item).content)).filter((part) => fields(part).type === "output_text" || Array.isArray(fields(part).logprobs));
    if (texts.length === 0) throw missing("an output without text");
    if (choice >= texts.length) throw rangeError(where, "choice", `below ${texts.length}, the number of text parts`, `${choice}`);
    const { logprobs } = fields(texts[choice]);
    if (Array.isArray(logprobs) && logprobs.length > 0) return atPosition(where, logprobs, position);
    throw missing("text without logprobs", 'Ask for them: include: ["message.output_text.logprobs"], top_logprobs: 20');
  }
  const names = Object.keys(fields(response)).slice(0, 5);
  const todo = typeof response === "string" ? "Parse it: JSON.parse(text)" : "Pass the response's JSON, or the tokens of one position: [{ token, logprob }]";
  throw missing(Array.isArray(choices) ? "no choices" : names.length > 0 ? `an object of ${names.map((name) => JSON.stringify(name.slice(0, 40))).join(", ")}` : describe(response), todo);
}

function atPosition(where: string, content: readonly unknown[], position: number): { readonly tokens: readonly TokenLogprob[]; readonly said?: string } {
  const { token, logprob, top_logprobs } = fields(content[inside(where, content, position)]);
  const tokens = checked(where, list(top_logprobs));
  if (typeof token !== "string") return { tokens };
  const listed = typeof logprob !== "number" || tokens.some((entry) => entry.token === token);
  return { tokens: listed ? tokens : [...tokens, ...checked(where, [{ token, logprob }])], said: token };
}

function inside(where: string, content: readonly unknown[], position: number): number {
  if (position >= content.length) throw rangeError(where, "position", `below ${content.length}, the number of tokens`, `${position}`);
  return position;
}

/** The tokens of a list that have a probability. */
function checked(where: string, entries: readonly unknown[]): readonly TokenLogprob[] {
  if (entries.length === 0) throw typeError(where, "response", "with the most probable tokens of a language model", "none at this position", "Ask for them: top_logprobs: 20");
  return entries.flatMap((entry, i) => {
    const { token, logprob } = fields(entry);
    if (typeof token !== "string" || typeof logprob !== "number" || !(logprob <= ROUNDING)) throw rangeError(where, "response", "of tokens with a log-probability of at most 0", `${JSON.stringify(token)} with ${logprob} at index ${i}`);
    return logprob <= NOT_MEASURED ? [] : [{ token, logprob }];
  });
}
