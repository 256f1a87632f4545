/**
 * Chords under a melody, by a chain and by a semi-Markov model: `npx -y pnpm@12 experiments chords` writes docs/data/experiments/chords.json.
 * POP909, 228 songs: a beat is a position, the notes that sound around it are its features, a chord is a segment. Both models have the same scores of contents and of transitions
 * between chords, trained by maximum likelihood with the same optimiser; the one has in addition scores of durations, where the other has a score of staying.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { bootstrapDifference, type PairedDifference } from "@logits/metrics";
import { lbfgs } from "@logits/optimize";
import { LinearChain } from "@logits/structured-prediction";
import { SemiMarkov, segmentLabels, segmentsOf, type Segment } from "@logits/structured-prediction/segments";
import { randomSource } from "@logits/tensor";

/** A song as data/pop909 has it, times in milliseconds. */
export interface Song {
  readonly song: string;
  /** When each beat begins. */
  readonly beats: Float64Array;
  /** The beats at which a bar begins. */
  readonly bars: readonly number[];
  /** The beat at which each chord begins, and its name. */
  readonly chordBeats: readonly number[];
  readonly chords: readonly string[];
  /** Notes of the melody, in the order of their onsets. */
  readonly notes: readonly { readonly on: number; readonly off: number; readonly pitch: number }[];
}

type Stored = Omit<Song, "beats" | "notes"> & { readonly beats: number[]; readonly onsets: number[]; readonly lengths: number[]; readonly pitches: number[] };

/** All songs. */
export function songs(): Song[] {
  const sums = (steps: readonly number[]): Float64Array => {
    let at = 0;
    return Float64Array.from(steps, (step) => (at += step));
  };
  const stored = JSON.parse(gunzipSync(readFileSync(join(import.meta.dirname, "../../data/pop909/songs.json.gz"))).toString()) as Stored[];
  return stored.map(({ beats, onsets, lengths, pitches, ...rest }) => ({ ...rest, beats: sums(beats), notes: Array.from(sums(onsets), (on, i) => ({ on, off: on + lengths[i], pitch: pitches[i] })) }));
}

/** Labels: 12 major chords from C on, 12 minor ones, no chord. */
export const LABELS = 25;
const NONE = 24, ROOTS = "C D EF G A B";

/** The label of a chord's name: its root, and whether its third is a minor one. */
export function labelOf(chord: string): number {
  if (chord === "N") return NONE;
  const [, letter, accidental, quality] = /^([A-G])([b#]?):(\w+)/.exec(chord)!;
  return ((ROOTS.indexOf(letter) + (accidental === "#" ? 1 : accidental === "b" ? 11 : 0)) % 12) + (/^(?:min|dim|hdim)/.test(quality) ? 12 : 0);
}

/** One song, from its first note to its last. */
export interface Piece {
  readonly length: number;
  /** Chords; equal ones in a row are one. */
  readonly segments: readonly Segment[];
  readonly labels: Int32Array;
  /** 0: a bar begins here; 1: two beats behind that; 2: elsewhere. */
  readonly places: Uint8Array;
  /** Features other than 0: of position t those from `at[t]` to before `at[t + 1]`; `block` says which features, `pitch` which of twelve, or 12 for one that has no pitch. */
  readonly at: Int32Array;
  readonly block: Uint8Array;
  readonly pitch: Uint8Array;
  readonly value: Float64Array;
}

/** How far the melody of each block of features reaches: beats before, beats after. One more block says how well each pitch does as the tonic of the song. */
const REACH: readonly (readonly [number, number])[] = [[0, 1], [-1, 0], [1, 2], [-2, 4], [-8, 9]];
const SCALE = [0, 2, 4, 5, 7, 9, 11];

/** How much of the melody lies in each major scale: exp(40 share), normalised. */
function tonics(sounding: Float64Array): Float64Array {
  const all = sounding.reduce((x, y) => x + y, 0), weights = sounding.map((_, p) => Math.exp(40 * SCALE.reduce((sum, step) => sum + sounding[(p + step) % 12] / all, 0))), total = weights.reduce((x, y) => x + y, 0);
  return weights.map((x) => x / total);
}

/** Runs of equal labels. */
export function runsOf(labels: ArrayLike<number>): Segment[] {
  const out: Segment[] = [];
  for (let t = 0, start = 0; t < labels.length; t++) {
    if (t + 1 < labels.length && labels[t + 1] === labels[t]) continue;
    out.push({ start, end: t + 1, label: labels[t] });
    start = t + 1;
  }
  return out;
}

/** Labels and features of a song. */
export function pieceOf({ beats, bars, chordBeats, chords, notes }: Song): Piece {
  const sung = notes.filter(({ on }) => on >= beats[0] && on < beats[beats.length - 1]);
  const last = beats.length - 2, beatOf = (time: number): number => Math.min(last, Math.max(0, beats.findLastIndex((beat) => beat <= time)));
  const first = beatOf(sung[0].on), T = beatOf(sung[sung.length - 1].on) + 1 - first;
  const labels = new Int32Array(T), places = new Uint8Array(T).fill(2), own = new Float64Array(T * 12);
  chordBeats.forEach((beat, k) => labels.fill(labelOf(chords[k]), Math.max(0, beat - first), Math.max(0, (chordBeats[k + 1] ?? beats.length) - first)));
  for (const bar of bars) {
    if (bar >= first && bar - first < T) places[bar - first] = 0;
    if (bar + 2 >= first && bar + 2 - first < T && places[bar + 2 - first] !== 0) places[bar + 2 - first] = 1;
  }
  for (const { on, off, pitch } of sung) {
    for (let t = beatOf(on) - first; t < T && beats[first + t] < off; t++) {
      const from = beats[first + t], to = beats[first + t + 1];
      own[Math.max(0, t) * 12 + (pitch % 12)] += Math.max(0, Math.min(off, to) - Math.max(on, from)) / (to - from);
    }
  }
  const sums = new Float64Array((T + 1) * 12), at = new Int32Array(T + 1), block: number[] = [], pitch: number[] = [], value: number[] = [];
  own.forEach((x, k) => (sums[k + 12] = sums[k] + x));
  const tonic = tonics(sums.slice(T * 12));
  for (let t = 0; t < T; t++) {
    tonic.forEach((x, p) => {
      if (x < 0.01) return;
      block.push(REACH.length);
      pitch.push(p);
      value.push(x);
    });
    REACH.forEach(([before, after], b) => {
      const from = Math.max(0, Math.min(T, t + before)), to = Math.max(0, Math.min(T, t + after)), sounding = Float64Array.from({ length: 12 }, (_, p) => sums[to * 12 + p] - sums[from * 12 + p]);
      const all = sounding.reduce((x, y) => x + y, 0), wide = to - from > 1;
      sounding.forEach((x, p) => {
        if (x < 1e-9) return;
        block.push(b);
        pitch.push(p);
        value.push(wide ? (3 * x) / all : x);
      });
      block.push(b);
      pitch.push(12);
      value.push(wide ? Number(all > 1e-9) : all);
    });
    at[t + 1] = value.length;
  }
  return { length: T, segments: runsOf(labels), labels, places, at, block: Uint8Array.from(block), pitch: Uint8Array.from(pitch), value: Float64Array.from(value) };
}

/**
 * Where the parameters lie. A chord's scores do not depend on its root: features are turned so that the root is pitch 0, transitions know how far it moves.
 * Contents: a weight for each block, pitch and kind of chord (major, minor), one that has no pitch, and for no chord one for each block.
 */
const BLOCKS = REACH.length + 1, CONTENT = BLOCKS * 12 * 2 + BLOCKS * 3, MOVES = 2 * 2 * 12 + 2 + 2 + 1, PLACES = 2;
const turned = (block: number, pitch: number, kind: number): number => (block * 12 + pitch) * 2 + kind, plain = (block: number, kind: number): number => BLOCKS * 24 + block * 3 + kind;
const kindOf = (label: number): number => (label === NONE ? 2 : label < 12 ? 0 : 1);
const moveOf = (from: number, to: number): number => {
  if (from === NONE) return to === NONE ? MOVES - 1 : 48 + kindOf(to);
  return to === NONE ? 50 + kindOf(from) : (kindOf(from) * 2 + kindOf(to)) * 12 + ((to + 12 - (from % 12)) % 12);
};
const MOVE_OF = Int32Array.from({ length: LABELS * LABELS }, (_, k) => moveOf(Math.floor(k / LABELS), k % LABELS));

/** Scores of contents [T, C]. */
function contentOf(piece: Piece, w: Float64Array): Float32Array {
  const out = new Float32Array(piece.length * LABELS), row = new Float64Array(LABELS);
  for (let t = 0; t < piece.length; t++) {
    row.fill(0);
    for (let i = piece.at[t]; i < piece.at[t + 1]; i++) {
      const b = piece.block[i], p = piece.pitch[i], x = piece.value[i];
      if (p === 12) {
        for (let c = 0; c < LABELS; c++) row[c] += x * w[plain(b, kindOf(c))];
      } else {
        for (let r = 0; r < 12; r++) {
          const k = turned(b, (p + 12 - r) % 12, 0);
          row[r] += x * w[k];
          row[12 + r] += x * w[k + 1];
        }
      }
    }
    out.set(row, t * LABELS);
  }
  return out;
}

/** Adds the gradient by the weights of contents, from that by the scores. */
function addContent(piece: Piece, grad: ArrayLike<number>, g: Float64Array): void {
  for (let t = 0; t < piece.length; t++) {
    const row = t * LABELS;
    for (let i = piece.at[t]; i < piece.at[t + 1]; i++) {
      const b = piece.block[i], p = piece.pitch[i], x = piece.value[i];
      if (p === 12) {
        for (let c = 0; c < LABELS; c++) g[plain(b, kindOf(c))] += x * grad[row + c];
      } else {
        for (let r = 0; r < 12; r++) {
          const k = turned(b, (p + 12 - r) % 12, 0);
          g[k] += x * grad[row + r];
          g[k + 1] += x * grad[row + 12 + r];
        }
      }
    }
  }
}

/** A kind of model: how many parameters it has beside those of contents, what a batch of pieces has as log-likelihood, and the best labels. */
interface Model {
  readonly size: number;
  /** Adds the gradient to g, gives the value. */
  logLikelihood(pieces: readonly Piece[], w: Float64Array, g: Float64Array): number;
  segments(piece: Piece, w: Float64Array): Segment[];
  /** The likeliest label of each beat. */
  beats(piece: Piece, w: Float64Array): Int32Array;
}

const transitionsOf = (w: Float64Array): Float32Array => Float32Array.from(MOVE_OF, (move) => w[CONTENT + move]);
const addMoves = (grad: ArrayLike<number>, g: Float64Array, from = 0): void => MOVE_OF.forEach((move, k) => (g[CONTENT + move] += grad[from + k]));

/** The likeliest label of each row. */
const likeliest = (p: Float32Array): Int32Array => Int32Array.from({ length: p.length / LABELS }, (_, t) => {
  const row = p.subarray(t * LABELS, (t + 1) * LABELS);
  return row.indexOf(Math.max(...row));
});

/** A chain; staying is one of the transitions. With places, a change has a score that depends on where in the bar it is. */
function chain(places: boolean): Model {
  const made = (piece: Piece, w: Float64Array): LinearChain => {
    const A = transitionsOf(w), content = { data: contentOf(piece, w), shape: [piece.length, LABELS] };
    if (!places) return new LinearChain(LinearChain.compile({ data: A, shape: [LABELS, LABELS] }), content);
    const all = new Float32Array(piece.length * A.length);
    for (let t = 0; t < piece.length; t++) {
      const more = piece.places[t] < PLACES ? w[CONTENT + MOVES + piece.places[t]] : 0;
      for (let k = 0; k < A.length; k++) all[t * A.length + k] = A[k] + (k % (LABELS + 1) === 0 ? 0 : more);
    }
    return LinearChain.varying(content, { data: all, shape: [piece.length, LABELS, LABELS] });
  };
  return {
    size: MOVES + (places ? PLACES : 0),
    logLikelihood(pieces, w, g) {
      let total = 0;
      for (const piece of pieces) {
        const { value, grads } = made(piece, w).logProbWithGrad(piece.labels), moves = grads.transitions.data;
        total += value[0];
        addContent(piece, grads.emissions.data, g);
        for (let from = 0; from < moves.length; from += LABELS * LABELS) {
          addMoves(moves, g, from);
          const place = places ? piece.places[from / (LABELS * LABELS)] : PLACES;
          if (place < PLACES) for (let k = 0; k < LABELS * LABELS; k++) if (k % (LABELS + 1) !== 0) g[CONTENT + MOVES + place] += moves[from + k];
        }
      }
      return total;
    },
    segments: (piece, w) => runsOf(made(piece, w).argmax().labels.data),
    beats: (piece, w) => likeliest(made(piece, w).marginals().unary.data),
  };
}

/** Lengths with a score of their own; beyond them each further beat has one. */
const LONGEST = 8;

/** Segments; two equal chords in a row are one, and a place of the bar has a score for what begins there. */
function semiMarkov(places: boolean): Model {
  const made = (piece: Piece, w: Float64Array): SemiMarkov => {
    const A = transitionsOf(w), at = CONTENT + MOVES;
    for (let c = 0; c < LABELS; c++) A[c * (LABELS + 1)] = -Infinity;
    const durations = Float32Array.from({ length: LONGEST * LABELS }, (_, k) => w[at + Math.floor(k / LABELS) * 3 + kindOf(k % LABELS)]), tail = Float32Array.from({ length: LABELS }, (_, c) => w[at + LONGEST * 3 + kindOf(c)]);
    const starts = Float32Array.from({ length: piece.length * LABELS }, (_, k) => (piece.places[Math.floor(k / LABELS)] < PLACES ? w[at + (LONGEST + 1) * 3 + piece.places[Math.floor(k / LABELS)]] : 0));
    const model = SemiMarkov.compile({ data: A, shape: [LABELS, LABELS] }, { data: durations, shape: [LONGEST, LABELS] }, { tail }), shape = [piece.length, LABELS];
    return new SemiMarkov(model, { data: contentOf(piece, w), shape }, places ? { starts: { data: starts, shape } } : {});
  };
  return {
    size: MOVES + 3 * (LONGEST + 1) + (places ? PLACES : 0),
    logLikelihood(pieces, w, g) {
      const at = CONTENT + MOVES;
      let total = 0;
      for (const piece of pieces) {
        const { value, grads } = made(piece, w).logProbWithGrad(segmentLabels(piece.segments));
        total += value[0];
        addContent(piece, grads.content.data, g);
        addMoves(grads.transitions.data, g);
        grads.durations.data.forEach((x, k) => (g[at + Math.floor(k / LABELS) * 3 + kindOf(k % LABELS)] += x));
        grads.tail!.data.forEach((x, c) => (g[at + LONGEST * 3 + kindOf(c)] += x));
        grads.starts?.data.forEach((x, k) => {
          const place = piece.places[Math.floor(k / LABELS)];
          if (place < PLACES) g[at + (LONGEST + 1) * 3 + place] += x;
        });
      }
      return total;
    },
    segments: (piece, w) => segmentsOf(made(piece, w).argmax().labels),
    beats: (piece, w) => likeliest(made(piece, w).marginals().unary.data),
  };
}

/** Weights by maximum likelihood less half the sum of their squares times `l2`. */
function trained(model: Model, pieces: readonly Piece[], l2: number, iterations: number, start?: Float64Array): Float64Array {
  const beats = pieces.reduce((sum, { length }) => sum + length, 0);
  const { x } = lbfgs((w, g) => {
    g.fill(0);
    const value = model.logLikelihood(pieces, w, g);
    let squares = 0;
    for (let k = 0; k < w.length; k++) {
      squares += w[k] * w[k];
      g[k] = (l2 * w[k] - g[k]) / beats;
    }
    return (0.5 * l2 * squares - value) / beats;
  }, Float64Array.from({ length: CONTENT + model.size }, (_, k) => start?.[k] ?? 0), { maxIterations: iterations, gradientTolerance: 1e-5, noise: 1e-7 });
  return x;
}

/** Segments found, given and both, of one song. */
export interface Counts {
  readonly found: number;
  readonly given: number;
  readonly right: number;
  readonly boundaries: number;
  readonly beats: number;
  readonly length: number;
}

/** A segment is right where its beginning, its end and its label are. */
export function countsOf(found: readonly Segment[], { segments, labels, length }: Piece): Counts {
  const key = ({ start, end, label }: Segment): string => `${start} ${end} ${label}`, given = new Set(segments.map(key)), begins = new Set(segments.map(({ start }) => start));
  return {
    found: found.length, given: segments.length, length, right: found.filter((one) => given.has(key(one))).length, boundaries: found.filter(({ start }) => begins.has(start)).length,
    beats: found.reduce((sum, { start, end, label }) => sum + labels.subarray(start, end).filter((y) => y === label).length, 0),
  };
}
/** A chain's weights as those of the same distribution over segments: each beat of staying is one of the duration. */
function asSegments(w: Float64Array): Float64Array {
  const stay = (kind: number): number => w[CONTENT + (kind === 2 ? MOVES - 1 : kind * 36)];
  return Float64Array.of(...w.subarray(0, CONTENT + MOVES), ...Array.from({ length: 3 * (LONGEST + 1) }, (_, k) => (k < 3 * LONGEST ? Math.floor(k / 3) : 1) * stay(k % 3)));
}

/** What is compared: a model, and where its training begins: at what another has learned. */
const MODELS = {
  chain: { model: chain(false), from: undefined },
  "semi-Markov": { model: semiMarkov(false), from: "chain" },
  "chain, places": { model: chain(true), from: "chain" },
  "semi-Markov, places": { model: semiMarkov(true), from: "semi-Markov" },
} as const;
/** Names of the models. */
export type ModelName = keyof typeof MODELS;
/** All of them. */
export const NAMES = Object.keys(MODELS) as ModelName[];

/** Counts of each test song, by model and by what is asked of it: the best segments, or the likeliest label of each beat, whose runs are the segments. */
export function run({ models = NAMES, train, test, iterations }: { readonly models?: readonly ModelName[]; readonly train: number; readonly test: number; readonly iterations: number }): Record<string, Counts[]> {
  const all = songs(), order = randomSource(1).permutation(all.length), pieces = (from: number, to: number): Piece[] => Array.from(order.subarray(from, to), (i) => pieceOf(all[i]));
  const fit = pieces(0, train), held = pieces(all.length - test, all.length), weights: Record<string, Float64Array> = {}, out: Record<string, Counts[]> = {};
  for (const name of models) {
    const { model, from } = MODELS[name];
    // Scores of places come last: the others keep their places.
    const w = (weights[name] = trained(model, fit, 3, iterations, from && (from === "chain" && name === "semi-Markov" ? asSegments(weights[from]) : weights[from])));
    out[name] = held.map((piece) => countsOf(model.segments(piece, w), piece));
    out[`${name}, beat by beat`] = held.map((piece) => countsOf(runsOf(model.beats(piece, w)), piece));
  }
  return out;
}

/** Twice the right among the found and the given. */
export function f1(counts: readonly Counts[], rows: ArrayLike<number> = counts.map((_, i) => i), of: "right" | "boundaries" = "right"): number {
  let right = 0, sum = 0;
  for (let i = 0; i < rows.length; i++) {
    right += counts[rows[i]][of];
    sum += counts[rows[i]].found + counts[rows[i]].given;
  }
  return (2 * right) / sum;
}

/** The difference of two models over the songs, the one less the other. */
export function difference(one: readonly Counts[], other: readonly Counts[], of: "right" | "boundaries" = "right"): PairedDifference {
  return bootstrapDifference(one.length, (rows) => [f1(one, rows, of), f1(other, rows, of)], { random: randomSource(7) });
}

if (process.argv[1] === import.meta.filename) {
  const began = process.cpuUsage().user, options = { train: 40, test: 100, iterations: 50 }, counts = run(options), round = (x: number): number => Number(x.toFixed(4)), total = (name: string, of: keyof Counts): number => counts[name].reduce((sum, one) => sum + one[of], 0);
  const compared = (one: string, other: string): object => Object.fromEntries((["right", "boundaries"] as const).map((of) => {
    const { value, interval } = difference(counts[one], counts[other], of);
    return [of === "right" ? "segments" : "boundaries", { difference: round(value), low: round(interval![0]), high: round(interval![1]) }];
  }));
  const result = {
    data: `pop909: ${options.train} songs to train on, ${options.test} others to test; ${total("chain", "given")} segments in ${total("chain", "length")} beats`,
    interval: "95 %, bootstrap over the test songs of the paired difference of F1",
    models: Object.keys(counts).map((model) => ({ model, f1: round(f1(counts[model])), boundaries: round(f1(counts[model], undefined, "boundaries")), beats: round(total(model, "beats") / total(model, "length")), found: total(model, "found") })),
    differences: NAMES.filter((name) => name.startsWith("semi")).flatMap((name) => ["", ", beat by beat"].map((asked) => [name + asked, name.replace("semi-Markov", "chain") + asked])).map(([one, other]) => ({ one, other, ...compared(one, other) })),
  };
  console.log(JSON.stringify(result, null, 1), `${((process.cpuUsage().user - began) / 1e6).toFixed(0)} s of processor time`);
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/chords.json"), `${JSON.stringify(result, null, 2)}\n`);
}
