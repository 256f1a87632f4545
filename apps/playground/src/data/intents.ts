import { DecisionHead, HashedNgrams, LinearHead, type EvaluationReport } from "@logits/head";

/** Sentences with their intents. */
export type Queries = readonly (readonly [text: string, intent: string])[];

/** The lists of CLINC150. */
export interface IntentData {
  readonly train: Queries;
  readonly val: Queries;
  readonly test: Queries;
  readonly oos_train: Queries;
  readonly oos_val: Queries;
  readonly oos_test: Queries;
}

/** Choices of the command line's demo, with fewer buckets, so that the classifier is 2.5 MB. */
export const INTENT_OPTIONS = { buckets: 4096, l2: 4e-6, alpha: 0.05, maxFalsePositiveRate: 0.025, seed: 0 } as const;

/** The detectors among which the out-of-scope sentences of training and validation choose. */
export const INTENT_DETECTORS = ["msp", "maxLogit", "energy", "entropy", "margin"] as const;

/** A text classifier that knows when it does not know. */
export interface Intents {
  readonly ngrams: HashedNgrams;
  readonly head: DecisionHead;
}

/** What is known of a trained classifier. */
export interface IntentFigures {
  readonly examples: number;
  readonly seconds: number;
  readonly accuracy: number;
  readonly answered: number;
  readonly falsePositives: number;
  readonly detected: number;
  readonly coverage: number;
  readonly meanSize: number;
  readonly testRows: number;
  readonly outlierRows: number;
}

/** The names of the intents, in the order of the classes. */
export function intentNames(data: IntentData): string[] {
  return [...new Set(data.train.map(([, intent]) => intent))].sort();
}

/** Labels of sentences: index of the intent. */
export function intentLabels(queries: Queries, names: readonly string[]): Int32Array {
  const index = new Map(names.map((name, i) => [name, i]));
  return Int32Array.from(queries, ([, intent]) => index.get(intent)!);
}

/** The sentences alone. */
export function textsOf(...lists: readonly Queries[]): string[] {
  return lists.flatMap((list) => list.map(([text]) => text));
}

/** The first sentences of each intent. */
export function firstOfEach(queries: Queries, examples: number): Queries {
  const seen = new Map<string, number>();
  return queries.filter(([, intent]) => {
    const before = seen.get(intent) ?? 0;
    seen.set(intent, before + 1);
    return before < examples;
  });
}

/** Where long work reports and whether it should stop. */
export interface Watch {
  readonly signal?: AbortSignal;
  readonly progress?: (share: number, text?: string) => void;
}

/** Trains on the first sentences of each intent, calibrates and guards on the validation sentences, and measures on the test sentences. */
export async function trainIntents(data: IntentData, examples: number, { signal, progress }: Watch = {}): Promise<Intents & { readonly figures: IntentFigures }> {
  const { buckets, l2, alpha, maxFalsePositiveRate, seed } = INTENT_OPTIONS;
  const start = performance.now(), names = intentNames(data), train = firstOfEach(data.train, examples);
  const within = (from: number, to: number) => ({ signal, onProgress: (share: number) => progress?.(from + (to - from) * share) });
  progress?.(0, "Counting n-grams");
  const ngrams = await HashedNgrams.fitAsync(textsOf(train), { buckets, ...within(0, 0.05) });
  const features = await ngrams.transformAsync(textsOf(train), within(0.05, 0.1));
  progress?.(0.1, `Training on ${train.length} sentences`);
  const scorer = await LinearHead.fitAsync(features, intentLabels(train, names), { l2, classes: names.length, ...within(0.1, 0.75) });
  progress?.(0.75, "Calibrating and guarding");
  const head = await DecisionHead.fitAsync(
    { scorer, features: await ngrams.transformAsync(textsOf(data.val), { signal }), labels: intentLabels(data.val, names), classes: names, outliers: { features: await ngrams.transformAsync(textsOf(data.oos_train, data.oos_val), { signal }) } },
    { detector: INTENT_DETECTORS, maxFalsePositiveRate, alpha, seed, ...within(0.75, 0.88) },
  );
  const seconds = (performance.now() - start) / 1000;
  progress?.(0.88, "Testing on sentences that nothing has seen");
  const inside = await ngrams.transformAsync(textsOf(data.test), within(0.88, 0.94)), outside = await ngrams.transformAsync(textsOf(data.oos_test), within(0.94, 0.96));
  const report = head.evaluate({ features: inside, labels: intentLabels(data.test, names), outliers: { features: outside } });
  progress?.(1);
  return { ngrams, head, figures: figuresOf(report, examples, seconds) };
}

function figuresOf({ accuracy, falsePositives, outliers, coverage, rows }: EvaluationReport, examples: number, seconds: number): IntentFigures {
  return {
    examples, seconds, accuracy: accuracy.all.rate!, answered: accuracy.answered.rate!, falsePositives: falsePositives!.rate!, detected: outliers!.detected.rate!,
    coverage: coverage.all!.coverage!, meanSize: coverage.all!.meanSize, testRows: rows, outlierRows: outliers!.rows,
  };
}
