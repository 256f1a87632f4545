// Taggers: from labelled sentences to a model, and from text to labels.
export { SequenceTagger, type ReadOptions, type TaggedSequence, type TaggerOptions } from "./sequenceTagger.ts";
export type { TaggerMethod, TaggerProgress, TrainingOptions, TrainingSummary } from "./training.ts";
export type { FeatureFunction } from "./dataset.ts";
export { FeatureTemplates, wordShape } from "./templates.ts";
export { DEFAULT_TEMPLATES } from "./defaultTemplates.ts";
export { formatConll, labelledBy, parseConll, type Columns, type ConllOptions, type ConllSentence, type LabelledSentence } from "./conll.ts";
export { CONLLU_COLUMNS, formatConllu, parseConllu, type ConlluSentence } from "./conllu.ts";
export { scoreTags, type TagScores } from "./evaluate.ts";
