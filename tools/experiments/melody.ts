/**
 * Notes in a noisy piano roll, by scores of intervals and by thresholds: `npx -y pnpm@12 experiments melody` writes docs/data/experiments/melody.json, the picture of the page and what the playground shows.
 * Excerpts of melodies of POP909; the noise is made here, so the notes are known. Weights of intervals by maximum likelihood, then one bias of all notes by F1; thresholds by F1; all on the same training excerpts.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bootstrapDifference, type PairedDifference } from "@logits/metrics";
import { svg } from "@logits/metrics/plot";
import { lbfgs } from "@logits/optimize";
import { randomSource } from "@logits/tensor";
import { FRAME, WEIGHTS, intervalNotes, matchedNotes, medians, noisyRoll, rollLogLikelihood, rollPlot, thresholdNotes, withBias, type Excerpt, type Note } from "../../apps/playground/src/data/pianoRoll.ts";
import { songs, type Song } from "./chords.ts";

/** Levels of noise. */
export const LEVELS: readonly number[] = [0.25, 0.5, 0.75, 1];
const THRESHOLDS = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], SMOOTHED = [0, 1, 2, 3], CUTS = [1.2, 1.3, 1.4, 1.6, Infinity], BIASES = [-0.5, 0, 0.5, 1, 1.5, 2];

/** Some frames of a song, from the note at a third of it; a pitch of room below and above. */
export function excerptOf({ song, notes }: Song, frames: number): Excerpt {
  const from = notes[Math.floor(notes.length / 3)].on, some = notes.filter(({ on, off }) => on >= from && off <= from + frames * FRAME), pitches = some.map(({ pitch }) => pitch), low = Math.min(...pitches) - 1;
  const out: Note[] = [];
  for (const { on, off, pitch } of some) {
    const first = Math.round((on - from) / FRAME), last = Math.min(frames - 1, Math.max(first, Math.round((off - from) / FRAME) - 1)), before = out.findLastIndex(({ track }) => track === pitch - low);
    // A pitch that is struck again ends the note before; two in one frame are one.
    if (before >= 0 && out[before].first >= first) continue;
    if (before >= 0 && out[before].last >= first) out[before] = { ...out[before], last: first - 1 };
    if (first <= last) out.push({ track: pitch - low, first, last });
  }
  return { song, frames, tracks: Math.max(...pitches) - low + 2, low, notes: out };
}

interface Heard {
  readonly excerpt: Excerpt;
  readonly roll: Float32Array;
}

const heard = (excerpts: readonly Excerpt[], level: number, seed: number): Heard[] => excerpts.map((excerpt, i) => ({ excerpt, roll: noisyRoll(excerpt, level, seed + i) }));

/** Weights by maximum likelihood. */
export function learned(set: readonly Heard[], iterations: number): Float64Array {
  const start = Float64Array.from({ length: WEIGHTS }, (_, i) => [-2, 2, 2, 1, 1, 1, 1, -1][i] ?? -4), frames = set.reduce((sum, { excerpt }) => sum + excerpt.frames, 0);
  return lbfgs((w, g) => {
    g.fill(0);
    const value = set.reduce((sum, { roll, excerpt }) => sum + rollLogLikelihood(roll, excerpt, w, g), 0);
    w.forEach((x, i) => (g[i] = (0.02 * x - g[i]) / frames));
    return (w.reduce((sum, x) => sum + 0.01 * x * x, 0) - value) / frames;
  }, start, { maxIterations: iterations, gradientTolerance: 1e-4, noise: 1e-7 }).x;
}

/** A median filter of 2 reach + 1 frames, a threshold, and the value of the unfiltered roll at which a run is cut in two: a strike. */
export interface Smoothing {
  readonly reach: number;
  readonly threshold: number;
  readonly cut: number;
}

type Decoder = (heard: Heard) => Note[];
type Counts = ReturnType<typeof matchedNotes>;

/** F1 of some excerpts. */
export function f1(counts: readonly Counts[], rows: ArrayLike<number> = counts.map((_, i) => i)): number {
  let right = 0, sum = 0;
  for (let i = 0; i < rows.length; i++) {
    right += counts[rows[i]].right;
    sum += counts[rows[i]].found + counts[rows[i]].given;
  }
  return (2 * right) / sum;
}

const counted = (set: readonly Heard[], decode: Decoder, ends: boolean): Counts[] => set.map((one) => matchedNotes(decode(one), one.excerpt.notes, ends));
const plain = (threshold: number): Decoder => ({ roll, excerpt }) => thresholdNotes(roll, excerpt.tracks, threshold);
const smoothed = ({ reach, threshold, cut }: Smoothing): Decoder => ({ roll, excerpt }) => thresholdNotes(medians(roll, excerpt.tracks, reach), excerpt.tracks, threshold, { least: reach + 1, strikes: roll, cut });

const byIntervals = (weights: ArrayLike<number>): Decoder => ({ roll, excerpt }) => intervalNotes(roll, excerpt.tracks, weights);

/** Counts of the test excerpts at a level of noise, with onsets alone and with ends too, by decoder. */
export interface LevelResult {
  readonly weights: readonly number[];
  /** Chosen on the training excerpts by F1, as the thresholds are: what all notes score more than maximum likelihood says. */
  readonly bias: number;
  readonly threshold: number;
  readonly smoothing: Smoothing;
  readonly counts: Readonly<Record<"intervals" | "threshold" | "smoothed", { readonly onsets: Counts[]; readonly notes: Counts[] }>>;
}

/** Trains and tests at one level. */
export function run(level: number, options: { readonly train: number; readonly test: number; readonly frames: number; readonly iterations: number }): LevelResult {
  const all = songs(), order = randomSource(2).permutation(all.length), some = (from: number, to: number): Excerpt[] => Array.from(order.subarray(from, to), (i) => excerptOf(all[i], options.frames));
  const fit = heard(some(0, options.train), level, 0), held = heard(some(options.train, options.train + options.test), level, 1000), likely = Array.from(learned(fit, options.iterations), (w) => Number(w.toFixed(4)));
  const best = <Choice>(choices: readonly Choice[], decoder: (choice: Choice) => Decoder): Choice => {
    const values = choices.map((choice) => f1(counted(fit, decoder(choice), true)));
    return choices[values.indexOf(Math.max(...values))];
  };
  const threshold = best(THRESHOLDS, plain), smoothing = best(SMOOTHED.flatMap((reach) => THRESHOLDS.flatMap((at) => CUTS.map((cut) => ({ reach, threshold: at, cut })))), smoothed);
  const bias = best(BIASES, (one) => byIntervals(withBias(likely, one))), weights = withBias(likely, bias);
  const both = (decode: Decoder): { onsets: Counts[]; notes: Counts[] } => ({ onsets: counted(held, decode, false), notes: counted(held, decode, true) });
  return { weights, bias, threshold, smoothing, counts: { intervals: both(byIntervals(weights)), threshold: both(plain(threshold)), smoothed: both(smoothed(smoothing)) } };
}

/** The difference of two decoders over the excerpts. */
export function difference(one: readonly Counts[], other: readonly Counts[]): PairedDifference {
  return bootstrapDifference(one.length, (rows) => [f1(one, rows), f1(other, rows)], { random: randomSource(7) });
}

if (process.argv[1] === import.meta.filename) {
  const began = process.cpuUsage().user, options = { train: 24, test: 80, frames: 150, iterations: 25 }, round = (x: number): number => Number(x.toFixed(4)), out = join(import.meta.dirname, "../..");
  const results = LEVELS.map((level) => ({ level, ...run(level, options) }));
  const result = {
    data: `pop909: excerpts of ${(options.frames * FRAME) / 1000} s, ${options.train} to train on, ${options.test} of other songs to test; ${results[0].counts.intervals.notes.reduce((sum, { given }) => sum + given, 0)} notes, frames of ${FRAME} ms`,
    interval: "95 %, bootstrap over the test excerpts of the paired difference of F1",
    levels: results.map(({ level, bias, threshold, smoothing, counts }) => ({
      level, bias, threshold, smoothing: { ...smoothing, cut: smoothing.cut === Infinity ? null : smoothing.cut },
      ...Object.fromEntries((["onsets", "notes"] as const).map((of) => [of, {
        ...Object.fromEntries(Object.entries(counts).map(([decoder, one]) => [decoder, round(f1(one[of]))])),
        ...Object.fromEntries((["threshold", "smoothed"] as const).map((other) => {
          const { value, interval } = difference(counts.intervals[of], counts[other][of]);
          return [`less ${other}`, { difference: round(value), low: round(interval![0]), high: round(interval![1]) }];
        })),
      }])),
    })),
  };
  writeFileSync(join(out, "docs/data/experiments/melody.json"), `${JSON.stringify(result, null, 2)}\n`);
  const all = songs(), order = randomSource(2).permutation(all.length), shown = Array.from(order.subarray(options.train, options.train + 4), (i) => excerptOf(all[i], 200));
  const weights = results.map(({ level, weights: learnt }) => ({ level, weights: learnt }));
  writeFileSync(join(out, "apps/playground/src/data/pianoRoll.json"), `${JSON.stringify({ weights, excerpts: shown })}\n`);
  const excerpt = shown[0], at = results[2], roll = noisyRoll(excerpt, at.level, 1);
  const plot = rollPlot("A melody, what is heard of it, and the notes found", excerpt, [
    { name: "heard, at least 0.5", notes: thresholdNotes(roll, excerpt.tracks, 0.5), colour: "soft" }, { name: "true", notes: excerpt.notes, colour: 1 }, { name: "by intervals", notes: intervalNotes(roll, excerpt.tracks, at.weights), colour: 2 },
  ]);
  writeFileSync(join(out, "docs/data/experiments/melody.svg"), `${svg(plot, { width: 680, height: 380, id: "melody" })}\n`);
  console.log(JSON.stringify(result), `${((process.cpuUsage().user - began) / 1e6).toFixed(0)} s of processor time`);
}
