import type { EvaluationReport } from "@logits/head";
import { INTENT_OPTIONS as DEMO, intentLabels, texts, trainIntentClassifier, type IntentClassifier, type IntentData, type IntentOptions, type Queries } from "../../../../packages/logits/src/cli/intentClassifier.ts";

export { INTENT_DETECTORS, intentLabels, intentNames, texts as textsOf, type IntentClassifier as Intents, type IntentData, type Queries } from "../../../../packages/logits/src/cli/intentClassifier.ts";

/** Choices of the command line's demo, with fewer buckets, so that the classifier is 2.5 MB. */
export const INTENT_OPTIONS: IntentOptions = { ...DEMO, buckets: 4096 };

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

/** Trains on the first sentences of each intent, and measures on the test sentences. */
export async function trainIntents(data: IntentData, examples: number, { signal, progress }: Watch = {}): Promise<IntentClassifier & { readonly figures: IntentFigures }> {
  const start = performance.now(), train = firstOfEach(data.train, examples);
  const within = (from: number, to: number) => ({ signal, onProgress: (share: number) => progress?.(from + (to - from) * share) });
  progress?.(0, "Counting n-grams");
  const { ngrams, head } = await trainIntentClassifier({ ...data, train }, INTENT_OPTIONS, {
    ...(signal && { signal }),
    onFeatures: () => progress?.(0.1, `Training on ${train.length} sentences`),
    onTraining: (share) => progress?.(0.1 + 0.65 * share),
    onScorer: () => progress?.(0.75, "Calibrating and guarding"),
    onHead: (share) => progress?.(0.75 + 0.13 * share),
  });
  const seconds = (performance.now() - start) / 1000;
  progress?.(0.88, "Testing on sentences that nothing has seen");
  const inside = await ngrams.transformAsync(texts(data.test), within(0.88, 0.94)), outside = await ngrams.transformAsync(texts(data.oos_test), within(0.94, 0.96));
  const report = head.evaluate({ features: inside, labels: intentLabels(data.test, head.classes), outliers: { features: outside } });
  progress?.(1);
  return { ngrams, head, figures: figuresOf(report, examples, seconds) };
}

function figuresOf({ accuracy, falsePositives, outliers, coverage, rows }: EvaluationReport, examples: number, seconds: number): IntentFigures {
  return {
    examples, seconds, accuracy: accuracy.all.rate!, answered: accuracy.answered.rate!, falsePositives: falsePositives!.rate!, detected: outliers!.detected.rate!,
    coverage: coverage.all!.coverage!, meanSize: coverage.all!.meanSize, testRows: rows, outlierRows: outliers!.rows,
  };
}
