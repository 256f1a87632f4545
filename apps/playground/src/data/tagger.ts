import { SpanDecoder, aggregateSpans, alignTokens, readSpans, spanScores, type Alignment, type DecodedSpan, type Span } from "@logits/structured-prediction/spans";
import { labelledBy, parseConll } from "@logits/structured-prediction/tagger";
import { randomSource } from "@logits/tensor";
import type { Watch } from "./intents.ts";

/** A token classifier: scores of BIO labels for each piece of a word, each piece scored on its own, as the token-classification heads of transformers do. */
export interface PieceTagger {
  readonly pieces: readonly string[];
  readonly labels: readonly string[];
  /** Weights of hashed attributes in steps of `step`, int8 [buckets, C]. */
  readonly weights: Int8Array;
  readonly step: number;
}

/** How far spans are right on posts that nothing has seen. */
export interface SpanFigures {
  readonly found: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Mean of the numbers that stand with the spans, to be compared with the precision. */
  readonly claimed: number;
}

/** What is known of a trained tagger. */
export interface TaggerFigures {
  readonly trainPosts: number;
  readonly testPosts: number;
  readonly testSpans: number;
  readonly seconds: number;
  /** Posts in which the best labels of the tokens are no legal labelling. */
  readonly illegal: number;
  /** By way to make spans of scores. */
  readonly ways: Readonly<Record<Way, SpanFigures>>;
}

/** Ways to make spans of the scores of tokens. */
export type Way = "exact" | "words" | Strategy;
export type Strategy = "simple" | "first" | "average" | "max";
export const STRATEGIES: readonly Strategy[] = ["simple", "first", "average", "max"];

/** How the tagger is made; a change makes it anew. */
export const TAGGER_OPTIONS = { rounds: 40, joins: 75, buckets: 65536, minCount: 2, epochs: 10, rate: 0.25, l1: 0.3, seed: 0 } as const;

/** A word of a text: letters and digits, or one other character. */
const WORD = /[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]/gu;
const shapeOf = (word: string): string => word.replace(/\p{Lu}+/gu, "X").replace(/\p{Ll}+/gu, "x").replace(/\p{N}+/gu, "d");

/** Learns pieces of words: the most frequent pairs of neighbours are joined, many in each round. */
function learnPieces(counts: ReadonlyMap<string, number>, { rounds, joins }: { readonly rounds: number; readonly joins: number }): string[] {
  const words = [...counts].map(([word, count]) => ({ count, parts: [...word].map((sign, i) => (i === 0 ? sign : `##${sign}`)) })), pieces = new Set(words.flatMap(({ parts }) => parts));
  for (let round = 0; round < rounds; round++) {
    const pairs = new Map<string, number>();
    for (const { parts, count } of words) for (let i = 1; i < parts.length; i++) pairs.set(`${parts[i - 1]} ${parts[i]}`, (pairs.get(`${parts[i - 1]} ${parts[i]}`) ?? 0) + count);
    const best = new Set([...pairs].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, joins).map(([pair]) => pair));
    for (const { parts } of words) {
      for (let i = 1; i < parts.length; i++) if (best.has(`${parts[i - 1]} ${parts[i]}`)) {
        parts.splice(i - 1, 2, parts[i - 1] + parts[i].slice(2));
        pieces.add(parts[i - 1]);
      }
    }
  }
  return [...pieces];
}

/** The longest pieces from the left, as WordPiece takes them; undefined where a sign is in none. */
function piecesOf(word: string, known: ReadonlySet<string>): readonly string[] {
  const parts: string[] = [];
  for (let at = 0; at < word.length; ) {
    let end = word.length;
    while (end > at && !known.has(`${at === 0 ? "" : "##"}${word.slice(at, end)}`)) end--;
    if (end === at) return ["[UNK]"];
    parts.push(`${at === 0 ? "" : "##"}${word.slice(at, end)}`);
    at = end;
  }
  return parts;
}

interface Cut {
  readonly tokens: readonly string[];
  /** Word of each token. */
  readonly words: readonly number[];
  readonly spelled: readonly string[];
}

function cut(spelled: readonly string[], known: ReadonlySet<string>): Cut {
  const split = spelled.map((word) => piecesOf(word.toLowerCase(), known));
  return { tokens: split.flat(), words: split.flatMap((parts, w) => parts.map(() => w)), spelled };
}

/** What a token is told by: its piece, its word and their neighbours. */
function attributesOf({ tokens, words, spelled }: Cut): readonly (readonly string[])[] {
  const lower = spelled.map((word) => word.toLowerCase()), shapes = spelled.map(shapeOf);
  return tokens.map((piece, t) => {
    const w = words[t], word = lower[w], shape = shapes[w], first = t === 0 || words[t - 1] !== w ? "first" : "later";
    return [
      `p=${piece}`, `p-=${tokens[t - 1] ?? "^"} ${first}`, first, `w=${word}|${first}`, `w-=${lower[w - 1] ?? "^"}|${first}`, `w+=${lower[w + 1] ?? "$"}|${first}`,
      `w-w=${lower[w - 1] ?? "^"} ${word}|${first}`, `ww+=${word} ${lower[w + 1] ?? "$"}|${first}`,
      `s=${shape}|${first}`, `s-s=${shapes[w - 1] ?? "^"} ${shape}|${first}`, `ss+=${shape} ${shapes[w + 1] ?? "$"}|${first}`, 
      `w-s=${lower[w - 1] ?? "^"} ${shape}|${first}`, `pre=${word.slice(0, 3)}|${first}`, `suf=${word.slice(-3)}|${first}`,
    ];
  });
}

/** FNV-1a. */
function bucketOf(attribute: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < attribute.length; i++) hash = Math.imul(hash ^ attribute.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) & (TAGGER_OPTIONS.buckets - 1);
}

/** Scores of the labels of one token: the sums of its attributes' weights. */
function addUp(weights: ArrayLike<number>, buckets: readonly number[], out: Float64Array): void {
  out.fill(0);
  for (const bucket of buckets) for (let c = 0; c < out.length; c++) out[c] += weights[bucket * out.length + c];
}

/** Weights of a softmax regression over attributes, by AdaGrad with a penalty l1 on absolute values, which makes most of them 0. Source: J. Duchi, E. Hazan, Y. Singer, JMLR 2011. */
async function regression(rows: readonly (readonly number[])[], targets: readonly number[], C: number, { signal, progress }: Watch): Promise<Float64Array> {
  const { buckets, epochs, rate, l1, seed } = TAGGER_OPTIONS, w = new Float64Array(buckets * C), squares = new Float64Array(buckets * C).fill(1e-8), p = new Float64Array(C), random = randomSource(seed), seen = new Float64Array(buckets);
  for (const row of rows) for (const bucket of row) seen[bucket]++;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const [i, n] of random.permutation(rows.length).entries()) {
      addUp(w, rows[n], p);
      const top = Math.max(...p);
      let sum = 0;
      for (let c = 0; c < C; c++) sum += p[c] = Math.exp(p[c] - top);
      for (const bucket of rows[n]) for (let c = 0; c < C; c++) {
        const at = bucket * C + c, g = p[c] / sum - Number(c === targets[n]), pace = rate / Math.sqrt(squares[at] += g * g), moved = w[at] - pace * g;
        w[at] = Math.sign(moved) * Math.max(0, Math.abs(moved) - (pace * l1) / seen[bucket]);
      }
      if (i % 2000 > 0) continue;
      progress?.((epoch + i / rows.length) / epochs);
      await new Promise((resume) => setTimeout(resume));
      signal?.throwIfAborted();
    }
  }
  return w;
}

/** A text as tokens with their scores. */
export interface ScoredText {
  readonly text: string;
  readonly tokens: readonly string[];
  readonly alignment: Alignment;
  /** Word of each token: letters and digits, or one other character. */
  readonly words: readonly number[];
  /** [T][C]. */
  readonly logits: readonly (readonly number[])[];
}

function scoresOf({ weights, labels, step }: PieceTagger, parts: Cut): number[][] {
  const sums = new Float64Array(labels.length);
  return attributesOf(parts).map((attributes) => {
    addUp(weights, attributes.map(bucketOf), sums);
    return Array.from(sums, (sum) => Math.fround(step * sum));
  });
}

/** Tokens of a text and their scores. */
export function scoreText(tagger: PieceTagger, text: string): ScoredText {
  const parts = cut(text.match(WORD) ?? [], new Set(tagger.pieces)), tokens = [...parts.tokens];
  return { text, tokens, alignment: alignTokens(text, tokens, { lowercase: true }), words: parts.words, logits: scoresOf(tagger, parts) };
}

interface Post {
  readonly parts: Cut;
  readonly labels: readonly string[];
  readonly gold: readonly Span[];
}

function postsOf(text: string, known: ReadonlySet<string>): Post[] {
  return labelledBy(parseConll(text.slice(text.indexOf("\n") + 1)), 1, [0]).map(({ tokens, labels }) => {
    const spelled: string[] = [], marks: string[] = [];
    tokens.forEach((token, i) => (String(token).match(WORD) ?? []).forEach((word, k) => {
      spelled.push(word);
      marks.push(k === 0 ? labels[i] : labels[i].replace(/^B-/, "I-"));
    }));
    const parts = cut(spelled, known), own = parts.words.map((w, t) => (t > 0 && parts.words[t - 1] === w ? marks[w].replace(/^B-/, "I-") : marks[w]));
    return { parts, labels: own, gold: readSpans(own, { scheme: "BIO" }) };
  });
}

/** Trains on the posts of `train` (WNUT-17, words and labels), and measures on those of `test`. */
export async function trainTagger(train: readonly string[], test: string, { signal, progress }: Watch = {}): Promise<PieceTagger & { readonly figures: TaggerFigures }> {
  const start = performance.now(), counts = new Map<string, number>(), often = new Map<string, number>(), watch = { ...(signal && { signal }), ...(progress && { progress }) };
  for (const text of train) for (const { tokens } of labelledBy(parseConll(text.slice(text.indexOf("\n") + 1)), 1, [0])) {
    for (const token of tokens) for (const word of String(token).toLowerCase().match(WORD) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const pieces = learnPieces(counts, TAGGER_OPTIONS), known = new Set(pieces), posts = train.flatMap((text) => postsOf(text, known));
  const labels = [...new Set(posts.flatMap((post) => post.labels))].sort((a, b) => Number(b === "O") - Number(a === "O") || (a.slice(2) < b.slice(2) ? -1 : a.slice(2) > b.slice(2) ? 1 : a < b ? -1 : 1));
  const attributes = posts.flatMap(({ parts }) => attributesOf(parts)), targets = posts.flatMap((post) => post.labels.map((label) => labels.indexOf(label)));
  for (const list of attributes) for (const name of list) often.set(name, (often.get(name) ?? 0) + 1);
  const rows = attributes.map((list) => list.filter((name) => often.get(name)! >= TAGGER_OPTIONS.minCount).map(bucketOf));
  const weights = await regression(rows, targets, labels.length, watch), step = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0) / 127;
  const tagger: PieceTagger = { pieces, labels, weights: Int8Array.from(weights, (w) => Math.round(w / step)), step }, seconds = (performance.now() - start) / 1000;
  return { ...tagger, figures: { ...measured(tagger, postsOf(test, known)), trainPosts: posts.length, seconds } };
}

/** Whether a label cannot stand where it does: I- that goes on with nothing. */
export function illegalAt(labels: readonly string[], t: number): boolean {
  return labels[t].startsWith("I-") && labels[t - 1]?.slice(2) !== labels[t].slice(2);
}

/** The most probable label of each token. */
export function bestLabels(labels: readonly string[], logits: readonly (readonly number[])[]): string[] {
  return logits.map((row) => labels[row.indexOf(Math.max(...row))]);
}

function measured(tagger: PieceTagger, posts: readonly Post[]): Pick<TaggerFigures, "testPosts" | "testSpans" | "illegal" | "ways"> {
  const decoder = new SpanDecoder(tagger.labels, { scheme: "BIO" }), gold = posts.map((post) => post.gold);
  const spans: Record<Way, DecodedSpan[][]> = { exact: [], words: [], simple: [], first: [], average: [], max: [] };
  let illegal = 0;
  for (const { parts } of posts) {
    const logits = scoresOf(tagger, parts), subwords = Uint8Array.from(parts.words, (w, t) => Number(t > 0 && parts.words[t - 1] === w));
    spans.exact.push([...decoder.decode(logits)]);
    spans.words.push([...decoder.decode(logits, { words: [...parts.words] })]);
    for (const strategy of STRATEGIES) spans[strategy].push(aggregateSpans(logits, tagger.labels, { strategy, subwords }));
    const best = bestLabels(tagger.labels, logits);
    illegal += Number(best.some((_, t) => illegalAt(best, t)));
  }
  const ways = Object.fromEntries(Object.entries(spans).map(([way, found]) => {
    const { precision, recall, f1 } = spanScores(found, gold), all = found.flat();
    return [way, { found: all.length, precision, recall, f1, claimed: all.reduce((sum, { probability }) => sum + probability, 0) / all.length }];
  })) as Record<Way, SpanFigures>;
  decoder.dispose();
  return { testPosts: posts.length, testSpans: gold.flat().length, illegal, ways };
}
