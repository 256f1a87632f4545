import { logSumExp } from "@logits/core-wasm";
import { SpanDecoder, aggregateSpans, type DecodedSpan } from "@logits/structured-prediction/spans";
import { STRATEGIES, bestLabels, illegalAt, scoreText, type PieceTagger, type Strategy, type TaggerFigures } from "../data/tagger.ts";
import about from "../../generated/tagger.json?url";
import bytes from "../../generated/tagger.bin?url";
import type { Control } from "../worker/protocol.ts";
import { fetched } from "./fetched.ts";

/** A token with what its scores say alone, and what the labelling that is legal says. */
export interface TaggedToken {
  readonly piece: string;
  readonly start: number;
  readonly end: number;
  readonly best: string;
  readonly probability: number;
  /** Whether the best label cannot stand here. */
  readonly illegal: boolean;
  readonly decoded: string;
}

/** A sentence with all that can be said about its spans. */
export interface SpansAnswer {
  readonly text: string;
  readonly tokens: readonly TaggedToken[];
  /** The most probable legal labelling. */
  readonly spans: readonly DecodedSpan[];
  /** Every span with at least `LEAST`, the most probable first. */
  readonly candidates: readonly DecodedSpan[];
  readonly labellings: readonly { readonly spans: readonly DecodedSpan[]; readonly probability: number }[];
  /** What aggregateSpans makes of the same scores. */
  readonly strategies: readonly { readonly strategy: Strategy; readonly spans: readonly DecodedSpan[] }[];
  /** With each strategy's span: the exact probability of exactly that span. */
  readonly exact: Readonly<Record<string, number>>;
  /** Probability that labels are legal which are drawn token by token (with whole words: word by word). */
  readonly legalShare: number;
}

/** Spans below this probability are not sent. */
export const LEAST = 0.02;

let carried: Promise<PieceTagger & { readonly figures: TaggerFigures }> | undefined;

/** The tagger that was trained when the page was built. */
function taggerOf(control: Control): NonNullable<typeof carried> {
  carried ??= readTagger(control);
  carried.catch(() => {
    carried = undefined;
  });
  return carried;
}

async function readTagger(control: Control): Promise<PieceTagger & { readonly figures: TaggerFigures }> {
  const rest = JSON.parse(new TextDecoder().decode(await fetched(about, "Loading the tagger", control))) as Omit<PieceTagger, "weights"> & { readonly figures: TaggerFigures };
  const packed = await fetched(bytes, "Loading the tagger, 0.1 MB", control);
  const data = await new Response(new Blob([packed as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return { ...rest, weights: new Int8Array(data) };
}

/** How good it is. */
export async function load(_: null, control: Control): Promise<TaggerFigures> {
  return (await taggerOf(control)).figures;
}

/** The name of a span among others of its text. */
export function spanKey({ type, from, to }: Pick<DecodedSpan, "type" | "from" | "to">): string {
  return `${type} ${from} ${to}`;
}

/** Spans of a sentence, in every way. `whole`: names hold whole words, each scored at its first token. */
export async function ask({ text, whole }: { readonly text: string; readonly whole: boolean }, control: Control): Promise<SpansAnswer> {
  const tagger = await taggerOf(control), { labels } = tagger, { tokens, alignment, words, logits } = scoreText(tagger, text);
  if (tokens.length === 0) return { text, tokens: [], spans: [], candidates: [], labellings: [], strategies: [], exact: {}, legalShare: 1 };
  const decoder = new SpanDecoder(labels, { scheme: "BIO" });
  try {
    const decoded = decoder.decode(logits, { alignment, ...(whole && { words: [...words] }) }), best = bestLabels(labels, logits), partitions = logSumExp(logits).data;
    const strategies = STRATEGIES.map((strategy) => ({ strategy, spans: aggregateSpans(logits, labels, { strategy, alignment, tokens }) }));
    const exact = Object.fromEntries(strategies.flatMap(({ spans }) => spans).map((span) => [spanKey(span), decoded.probabilityOf(span)]));
    // log Z over legal labellings, less log Z over all of them, of the tokens that are scored.
    const logPartition = decoded.score - Math.log(decoded.labellingProbability);
    return {
      text, spans: decoded.toArray(), candidates: decoded.above(LEAST).sort((a, b) => b.probability - a.probability || a.from - b.from),
      labellings: decoded.alternatives(5), strategies, exact, legalShare: Math.exp(logPartition - partitions.reduce((sum, z, t) => (decoded.labels[t] < 0 ? sum : sum + z), 0)),
      tokens: tokens.map((piece, t) => ({
        piece, start: alignment.start[t], end: alignment.end[t], best: best[t], probability: Math.exp(Math.max(...logits[t]) - partitions[t]), illegal: illegalAt(best, t), decoded: labels[decoded.labels[t]] ?? "–",
      })),
    };
  } finally {
    decoder.dispose();
  }
}
