import { rangeError } from "@logits/tensor";

/** What changes the scores of single tokens. */
export interface Penalties {
  readonly bias: ReadonlyMap<number, number>;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
}

/** A function that changes a row of `cols` scores: bias, then repetition (tokens of the whole text), then presence and frequency (tokens behind the prompt). Undefined: nothing to change. */
export function penalize(where: string, penalties: Penalties, text: readonly number[], promptLength: number, cols: number): ((x: Float32Array) => void) | undefined {
  const { bias, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = penalties;
  const repeats = repetitionPenalty === 1 ? new Set<number>() : new Set(text), counts = new Map<number, number>();
  if (presencePenalty !== 0 || frequencyPenalty !== 0) for (const id of text.slice(promptLength)) counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const [name, ids] of [["logitBias", bias.keys()], ["tokens", repeats], ["tokens", counts.keys()]] as const) {
    for (const id of ids) if (!(Number.isInteger(id) && id >= 0 && id < cols)) throw rangeError(where, name, `of tokens in [0, ${cols})`, `${id}`);
  }
  if (bias.size === 0 && repeats.size === 0 && counts.size === 0) return undefined;
  return (x) => {
    for (const [id, value] of bias) x[id] += value;
    for (const id of repeats) x[id] = x[id] > 0 ? x[id] / repetitionPenalty : x[id] * repetitionPenalty;
    for (const [id, count] of counts) x[id] -= presencePenalty + frequencyPenalty * count;
  };
}
