import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { PlattScaling } from "@logits/calibration";
import { SpanDecoder, readSpans, spanScores, type Span } from "@logits/structured-prediction/spans";
import { SequenceTagger, labelledBy, parseConllu } from "@logits/structured-prediction/tagger";
import { describe, expect, it } from "vitest";

/** Whether 0.8 means 80 %: the spans of a CRF on posts of another time and other places than its own (docs/structured-prediction/reliability.md). */
interface Post {
  readonly tokens: string[];
  readonly labels: string[];
}

function posts(name: string): Post[] {
  const out: Post[] = [{ tokens: [], labels: [] }];
  for (const line of gunzipSync(readFileSync(new URL(`../data/wnut17/${name}.tsv.gz`, import.meta.url))).toString().split("\n").slice(1)) {
    const [token, label] = line.split("\t");
    if (line === "") out.push({ tokens: [], labels: [] });
    else {
      out.at(-1)!.tokens.push(token);
      out.at(-1)!.labels.push(label);
    }
  }
  return out.filter(({ tokens }) => tokens.length > 0);
}

interface Judged {
  readonly probability: number;
  readonly right: boolean;
}

/** Shares of right spans by probability, in tenths. */
function table(judged: readonly Judged[]): { from: number; spans: number; mean: number; right: number }[] {
  return Array.from({ length: 10 }, (_, k) => judged.filter(({ probability }) => Math.min(9, Math.floor(10 * probability)) === k)).flatMap((bin, k) =>
    bin.length === 0 ? [] : [{ from: k / 10, spans: bin.length, mean: bin.reduce((sum, { probability }) => sum + probability, 0) / bin.length, right: bin.filter(({ right }) => right).length / bin.length }]);
}

const gap = (judged: readonly Judged[]): number => table(judged).reduce((sum, { spans, mean, right }) => sum + (spans / judged.length) * Math.abs(mean - right), 0);

describe("probabilities of spans on WNUT-17", () => {
  it.runIf(process.env.LOGITS_SLOW)("are too large on new posts, and Platt's scaling on the development posts mends that", () => {
    const [train, dev, test] = ["train", "dev", "test"].map(posts);
    const tagger = SequenceTagger.fit(train, { l2: 0.5 });
    const labels = [...tagger.labels], decoder = new SpanDecoder(labels, { scheme: "BIO", transitions: labels.map((from) => labels.map((to) => tagger.transition(from, to))) });
    const judge = (list: readonly Post[], least?: number): { judged: Judged[]; predicted: Span[][]; gold: Span[][] } => {
      const judged: Judged[] = [], predicted: Span[][] = [], gold: Span[][] = [];
      for (const { tokens, labels: own } of list) {
        const truth = readSpans(own, { scheme: "BIO" }), decoded = decoder.decode(tagger.emissions(tokens)), found = least === undefined ? [...decoded] : decoded.above(least);
        for (const span of found) judged.push({ probability: span.probability, right: truth.some(({ type, from, to }) => type === span.type && from === span.from && to === span.to) });
        predicted.push(found);
        gold.push(truth);
      }
      return { judged, predicted, gold };
    };
    const { judged, predicted, gold } = judge(test), candidates = judge(test, 0.05).judged, fit = judge(dev, 0.01).judged;
    const logit = (p: number): number => Math.log(p / (1 - Math.min(p, 1 - 1e-6)));
    const platt = PlattScaling.fit(fit.map(({ probability }) => logit(probability)), Uint8Array.from(fit, ({ right }) => (right ? 1 : 0)));
    const mended = (list: readonly Judged[]): Judged[] => list.map(({ probability, right }) => ({ probability: platt.at(logit(probability)), right }));
    const scores = spanScores(predicted, gold, { tokens: test.map(({ tokens }) => tokens) });
    console.log(JSON.stringify({ f1: scores.f1, surface: scores.surface!.f1, precision: scores.precision, recall: scores.recall, decoded: table(judged), gap: gap(judged), candidates: table(candidates), gapCandidates: gap(candidates), mended: table(mended(judged)), gapMended: gap(mended(judged)), mendedCandidates: table(mended(candidates)), gapMendedCandidates: gap(mended(candidates)), n: fit.length, platt: platt.toJSON() }));
    expect(scores.f1).toBeGreaterThan(0.1);
    expect(gap(mended(candidates))).toBeLessThan(gap(candidates));
  }, 600_000);
});

describe("probabilities of tags on UD English EWT", () => {
  const folder = process.env.LOGITS_EWT;
  it.runIf(folder)("are near the share that is right", () => {
    const [train, test] = ["train", "test"].map((part) => labelledBy(parseConllu(gunzipSync(readFileSync(`${folder}/en_ewt-ud-${part}.conllu.gz`)).toString()), 3, [1]));
    const tagger = SequenceTagger.fit(train), judged: Judged[] = [];
    for (const { tokens, labels } of test.filter((sentence) => sentence.tokens.length > 0)) {
      const marginals = tagger.marginals(tokens);
      tagger.tag(tokens).forEach((label, t) => judged.push({ probability: marginals.at(t, tagger.labels.indexOf(label)), right: label === labels[t] }));
    }
    console.log(JSON.stringify({ accuracy: judged.filter(({ right }) => right).length / judged.length, table: table(judged), gap: gap(judged) }));
    expect(gap(judged)).toBeLessThan(0.02);
  }, 600_000);
});
