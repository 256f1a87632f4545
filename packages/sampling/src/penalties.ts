import { rangeError } from "@logits/tensor";

/** What changes the scores of single tokens. */
export interface Penalties {
  readonly bias: ReadonlyMap<number, number>;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
}

/** What happens to the score of a token: v = score + bias, then (v > 0 ? v / penalty : v penalty) - loss. */
export interface ScoreChange {
  bias: number;
  penalty: number;
  loss: number;
}

/** The changes of a row of `cols` scores: bias, then repetition (tokens of the whole text), then presence and frequency (tokens behind the prompt). */
export function changesOf(where: string, penalties: Penalties, text: readonly number[], promptLength: number, cols: number): Map<number, ScoreChange> {
  const { bias, repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = penalties, changes = new Map<number, ScoreChange>(), counts = new Map<number, number>();
  const of = (name: string, id: number): ScoreChange => {
    if (!(Number.isInteger(id) && id >= 0 && id < cols)) throw rangeError(where, name, `of tokens in [0, ${cols})`, `${id}`);
    const change = changes.get(id) ?? { bias: 0, penalty: 1, loss: 0 };
    changes.set(id, change);
    return change;
  };
  for (const [id, value] of bias) of("logitBias", id).bias = value;
  if (repetitionPenalty !== 1) for (const id of new Set(text)) of("tokens", id).penalty = repetitionPenalty;
  if (presencePenalty !== 0 || frequencyPenalty !== 0) for (const id of text.slice(promptLength)) counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const [id, count] of counts) of("tokens", id).loss = presencePenalty + frequencyPenalty * count;
  return changes;
}

/** Changes a row of scores in place. */
export function applyChanges(x: Float32Array, changes: ReadonlyMap<number, ScoreChange>): void {
  for (const [id, { bias, penalty, loss }] of changes) {
    x[id] += bias;
    x[id] = x[id] > 0 ? x[id] / penalty : x[id] * penalty;
    x[id] -= loss;
  }
}
