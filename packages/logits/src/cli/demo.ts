import type { Decision, EvaluationReport } from "@logits/head";
import { auroc, falsePositiveRateAtRecall } from "@logits/metrics";
import { LogitDetector } from "@logits/ood";
import { INTENT_DETECTORS, INTENT_OPTIONS, intentLabels, texts, type IntentData } from "./intentClassifier.ts";
import { intentSource, loadIntents, type Intents } from "./intents.ts";
import { decisionLine } from "./words.ts";
import { printable, progress } from "./output.ts";

/** Options of `logits demo`. */
export interface DemoOptions {
  readonly json?: boolean;
  readonly retrain?: boolean;
}

/** What one detector alone does on test queries: no threshold. Rates in [0, 1]. */
export interface DetectorFigures {
  readonly detector: string;
  readonly auroc: number;
  /** Share of the in-scope queries flagged where 95 % of the out-of-scope ones are. */
  readonly flaggedAt95Detected: number;
  /** Share of the out-of-scope queries kept where 95 % of the in-scope ones are. */
  readonly keptAt95Kept: number;
}

/** What `logits demo --json` prints. */
export interface DemoMetrics {
  readonly format: "logits/demo";
  readonly version: 1;
  /** null: read from the cache. */
  readonly trainingSeconds: number | null;
  readonly chosen: string;
  readonly evaluation: EvaluationReport;
  readonly detectors: readonly DetectorFigures[];
}

const EXAMPLES = ["how do i sail to the moon", "what's the balance of my savings account", "Wake me up at seven, please!", "who won the world cup", "change my flight to the alarm"];

/** Trains or reads the intent classifier, tests it on queries that nothing has seen, and says what was found. */
export async function demo(options: DemoOptions): Promise<void> {
  const say = progress();
  const source = await intentSource();
  const intents = await loadIntents(source, INTENT_OPTIONS, (text) => say(printable(text)), options.retrain);
  const metrics = measureIntents(intents, source.data);
  say(`tested on ${source.data.test.length} in-scope and ${source.data.oos_test.length} out-of-scope queries`);
  const decisions = intents.head.decideAll({ features: intents.ngrams.transform(EXAMPLES) });
  process.stdout.write(options.json ? `${JSON.stringify(metrics, null, 2)}\n` : summary(intents, metrics, EXAMPLES, decisions));
}

/** Figures on the test queries. */
export function measureIntents({ ngrams, head, seconds }: Intents, data: IntentData): DemoMetrics {
  const inside = ngrams.transform(texts(data.test)), outside = ngrams.transform(texts(data.oos_test));
  const evaluation = head.evaluate({ features: inside, labels: intentLabels(data.test, head.classes), outliers: { features: outside } });
  const a = head.scorer!.logits(inside), b = head.scorer!.logits(outside), n = a.shape[0];
  const detectors = INTENT_DETECTORS.map((detector): DetectorFigures => {
    const fitted = LogitDetector.of(detector);
    const scores = Float64Array.from([...fitted.score({ logits: a }).data, ...fitted.score({ logits: b }).data]);
    const outer = Uint8Array.from(scores, (_, i) => Number(i >= n));
    return {
      detector,
      auroc: auroc(scores, outer),
      flaggedAt95Detected: falsePositiveRateAtRecall(scores, outer),
      keptAt95Kept: falsePositiveRateAtRecall(scores.map((score) => -score), outer.map((mark) => 1 - mark)),
    };
  });
  return { format: "logits/demo", version: 1, trainingSeconds: seconds ?? null, chosen: head.detector!.method, evaluation, detectors };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function summary({ head, ngrams }: Intents, { trainingSeconds, chosen, evaluation, detectors }: DemoMetrics, queries: readonly string[], decisions: readonly Decision[]): string {
  const { accuracy, falsePositives, outliers, coverage, maxFalsePositiveRate, alpha, rows } = evaluation;
  const width = Math.max(...queries.map((query) => query.length));
  const lines = [
    "",
    `Intent classifier: CLINC150, ${head.classes.length} intents, hashed n-grams in ${ngrams.buckets} buckets`,
    "",
    `- ${trainingSeconds === null ? "Read from the cache" : `Trained in ${trainingSeconds.toFixed(1)} s on one thread`}; right on ${percent(accuracy.all.rate!)} of ${rows} test queries.`,
    `- "unknown" where the detector (${chosen}) says so. Promised: for at most ${+(100 * maxFalsePositiveRate!).toPrecision(12)} % of in-scope queries; measured: ${percent(falsePositives!.rate!)}.`,
    `  With those counted as errors it is right on ${percent(accuracy.answered.rate!)}.`,
    `- Of ${outliers!.rows} real out-of-scope queries it says "unknown" to ${percent(outliers!.detected.rate!)}.`,
    `- Sets of intents hold the right one for ${percent(coverage.all!.coverage!)} (promised ${+(100 - 100 * alpha).toPrecision(12)} % on average), ${coverage.all!.meanSize.toFixed(2)} intents on average.`,
    "",
    "  detector     AUROC   in-scope flagged at 95 % of out-of-scope found",
    ...detectors.map((figures) => `  ${figures.detector.padEnd(11)}  ${figures.auroc.toFixed(3)}   ${figures.flaggedAt95Detected.toFixed(3)}`),
    "",
    ...queries.map((query, i) => `  ${query.padEnd(width)}  ${decisionLine(decisions[i])}`),
    "",
    'Ask it: npx -y pnpm@12 logits decide --demo "how do i sail to the moon"',
    "",
  ];
  return `${lines.map(printable).join("\n")}\n`;
}
