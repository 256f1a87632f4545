/** A noisy piano roll and the notes in it: by thresholds, frame by frame, and by scores of whole intervals. The experiment with melodies (tools/experiments/melody.ts) learns the weights; the panel shows them at work. */
import type { Plot, PlotSeries } from "@logits/metrics/plot";
import { IntervalCrf, type Interval } from "@logits/structured-prediction/segments";
import { Tensor, randomSource } from "@logits/tensor";

/** Length of a frame in milliseconds. */
export const FRAME = 40;

/** A note of track `track` that sounds in frames `first` to `last`. */
export interface Note extends Interval {
  readonly track: number;
}

/** Some seconds of a melody; track 0 is the pitch `low` (60 is middle C). */
export interface Excerpt {
  readonly song: string;
  readonly frames: number;
  readonly tracks: number;
  readonly low: number;
  readonly notes: readonly Note[];
}

/**
 * What a listener with errors hears, [T, K]: 1 where a note sounds, 1.5 in its first frame, where it is struck, 0 elsewhere; then, more of each with the level:
 * notes go on too long (up to 6 frames, at half their strength), have gaps (1 to 3 frames, one begins in 6 % of the frames), single cells are the other way round (2 %), and all values have noise (standard deviation 0.4).
 */
export function noisyRoll({ frames: T, tracks: K, notes }: Excerpt, level: number, seed: number): Float32Array {
  const random = randomSource(seed), x = new Float32Array(T * K);
  for (const { first, last, track } of notes.toReversed()) {
    const end = Math.min(T - 1, last + Math.floor(random.uniform() * (1 + 6 * level)));
    for (let t = first, silent = 0; t <= end; t++, silent--) {
      // What another note has struck since is louder than what rings on.
      if (t > last && x[t * K + track] > 0) break;
      if (random.uniform() < 0.06 * level) silent = 1 + random.integer(3);
      x[t * K + track] = silent > 0 ? 0 : t > last ? 0.5 : t === first ? 1.5 : 1;
    }
  }
  for (let i = 0; i < x.length; i++) {
    if (random.uniform() < 0.02 * level) x[i] = x[i] > 0 ? 0 : 1;
    // Four uniform numbers: nearly normal, the same in every engine.
    x[i] += 0.4 * level * Math.sqrt(3) * (random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2);
  }
  return x;
}

/** Notes of a roll frame by frame: runs of values of at least `threshold`, cut before frames where `strikes` is at least `cut`; shorter ones than `least` are left out. */
export function thresholdNotes(roll: Float32Array, tracks: number, threshold: number, { least = 1, strikes = roll, cut = Infinity }: { readonly least?: number; readonly strikes?: Float32Array; readonly cut?: number } = {}): Note[] {
  const T = roll.length / tracks, notes: Note[] = [];
  for (let track = 0; track < tracks; track++) {
    for (let t = 0, first = -1; t <= T; t++) {
      const i = t * tracks + track, on = t < T && roll[i] >= threshold;
      if (first >= 0 && (!on || (t - first >= least && strikes[i] >= cut))) {
        if (t - first >= least) notes.push({ track, first, last: t - 1 });
        first = -1;
      }
      if (on && first < 0) first = t;
    }
  }
  return notes;
}

/** Each value becomes the median of itself and `reach` frames on both sides. */
export function medians(roll: Float32Array, tracks: number, reach: number): Float32Array {
  const T = roll.length / tracks;
  return roll.map((_, i) => {
    const t = Math.floor(i / tracks), track = i % tracks, around = new Float32Array(2 * reach + 1);
    for (let u = -reach; u <= reach; u++) around[u + reach] = t + u >= 0 && t + u < T ? roll[(t + u) * tracks + track] : 0;
    return around.sort()[reach];
  });
}

/** Lengths with one weight, by their upper ends in frames; longer ones share the last. */
const LEADING = 8, LENGTHS = [1, 2, 4, 7, 12, 20];
/** Weights of an interval: frames, values inside, medians of five frames inside, rise and strike at the beginning, fall at the end, of the values and of the medians, strikes behind the beginning, then its length's. */
export const WEIGHTS: number = LEADING + LENGTHS.length + 1;
const binOf = (length: number): number => {
  const bin = LENGTHS.findIndex((most) => length <= most);
  return bin < 0 ? LENGTHS.length : bin;
};

/** What changes at the ends: the rise before each frame and the fall behind it, [T, K] each. */
function edges(roll: Float32Array, tracks: number): readonly [rise: Float32Array, fall: Float32Array] {
  const value = (i: number): number => (i < 0 || i >= roll.length ? 0 : roll[i]);
  return [roll.map((x, i) => x - value(i - tracks)), roll.map((x, i) => x - value(i + tracks))];
}

/** How far a value is above that of a note that goes on, to 1/2. */
const strikes = (roll: Float32Array): Float32Array => roll.map((x) => Math.max(0, Math.min(0.5, x - 1)));

/** The distribution over sets of notes, given a roll and the weights. */
export function rollIntervals(roll: Float32Array, tracks: number, w: ArrayLike<number>): IntervalCrf {
  const T = roll.length / tracks, scores = new Float32Array(T * T * tracks), smooth = medians(roll, tracks, 2), [rise, fall] = edges(roll, tracks), [, fall2] = edges(smooth, tracks), struck = strikes(roll), lengths = Float64Array.from({ length: T + 1 }, (_, n) => w[LEADING + binOf(n)] + n * w[0]);
  for (let last = 0; last < T; last++) {
    for (let k = 0; k < tracks; k++) {
      const end = last * tracks + k, own = w[5] * fall[end] + w[6] * fall2[end];
      for (let first = last, inside = 0; first >= 0; first--) {
        const begin = first * tracks + k;
        inside += w[1] * roll[begin] + w[2] * smooth[begin];
        scores[last * T * tracks + begin] = own + inside + w[3] * rise[begin] + w[4] * struck[begin] + lengths[last - first + 1];
        inside += w[7] * struck[begin];
      }
    }
  }
  return new IntervalCrf(new Tensor("float32", [T, T, tracks], scores), { sharedEndpoints: false });
}

/** Log-likelihood of the notes; adds its gradient by the weights to `g`. */
export function rollLogLikelihood(roll: Float32Array, { tracks, notes }: Excerpt, w: ArrayLike<number>, g: Float64Array): number {
  const given = Array.from({ length: tracks }, (_, k) => notes.filter(({ track }) => track === k).toSorted((a, b) => a.first - b.first)), { value, grads: { scores: { data } } } = rollIntervals(roll, tracks, w).logProbWithGrad(given);
  const T = roll.length / tracks, smooth = medians(roll, tracks, 2), [rise, fall] = edges(roll, tracks), [, fall2] = edges(smooth, tracks), struck = strikes(roll), bins = Uint8Array.from({ length: T + 1 }, (_, n) => binOf(n));
  for (let last = 0; last < T; last++) {
    for (let k = 0; k < tracks; k++) {
      const end = last * tracks + k;
      for (let first = last, inside = 0, inside2 = 0, inner = 0; first >= 0; inner += struck[first * tracks + k], first--) {
        const begin = first * tracks + k, d = data[last * T * tracks + begin];
        inside += roll[begin];
        inside2 += smooth[begin];
        if (d === 0) continue;
        g[0] += d * (last - first + 1);
        g[1] += d * inside;
        g[2] += d * inside2;
        g[3] += d * rise[begin];
        g[4] += d * struck[begin];
        g[5] += d * fall[end];
        g[6] += d * fall2[end];
        g[7] += d * inner;
        g[LEADING + bins[last - first + 1]] += d;
      }
    }
  }
  return value.reduce((a, b) => a + b, 0);
}

/** The weights with another score for being a note at all. */
export const withBias = (w: ArrayLike<number>, bias: number): number[] => Array.from(w, (x, i) => (i < LEADING ? x : Number((x + bias).toFixed(4))));

/** The best set of notes. */
export function intervalNotes(roll: Float32Array, tracks: number, w: ArrayLike<number>): Note[] {
  return rollIntervals(roll, tracks, w).argmax().intervals.flatMap((set, track) => set.map(({ first, last }) => ({ track, first, last })));
}

/** Notes found, given, and right: of the same pitch, the onset within a frame and, with `ends`, the end within a frame or a fifth of the length. Each note is matched once, in the order of time. */
export function matchedNotes(found: readonly Note[], given: readonly Note[], ends: boolean): { readonly found: number; readonly given: number; readonly right: number } {
  const open = new Set(found.toSorted((a, b) => a.first - b.first));
  let right = 0;
  for (const note of given.toSorted((a, b) => a.first - b.first)) {
    for (const one of open) {
      if (one.track !== note.track || Math.abs(one.first - note.first) > 1 || (ends && Math.abs(one.last - note.last) > Math.max(1, 0.2 * (note.last - note.first + 1)))) continue;
      open.delete(one);
      right++;
      break;
    }
  }
  return { found: found.length, given: given.length, right };
}

/** Weights for a level between those that were learned. */
export function weightsFor(level: number, learned: readonly { readonly level: number; readonly weights: readonly number[] }[]): number[] {
  const above = Math.max(1, learned.findIndex((one) => one.level >= level)), from = learned[above - 1], to = learned[above], share = Math.min(1, Math.max(0, (level - from.level) / (to.level - from.level)));
  return from.weights.map((w, i) => w + share * (to.weights[i] - w));
}

const PITCHES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
/** The name of a pitch: 60 is C4. */
export const pitchName = (pitch: number): string => `${PITCHES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

/** A piano roll: time to the right, pitches upwards, the cells of a noisy roll behind the notes. */
export function rollPlot(title: string, { frames, tracks, low }: Excerpt, layers: readonly { readonly name: string; readonly notes: readonly Note[]; readonly colour: 1 | 2 | 3 | "soft" }[]): Plot {
  const lane = layers.filter(({ colour }) => colour !== "soft").length, series: PlotSeries[] = [];
  let drawn = 0;
  for (const { name, notes, colour } of layers) {
    const soft = colour === "soft", height = soft ? 1 : 0.8 / lane, shift = soft ? -0.5 : 0.4 - height * (drawn + 1);
    if (!soft) drawn++;
    series.push({
      kind: "bars", name, colour, along: "x", base: notes.map(({ first }) => (first * FRAME) / 1000), value: notes.map(({ last }) => ((last + 1) * FRAME) / 1000),
      low: notes.map(({ track }) => tracks - 1 - track + shift), high: notes.map(({ track }) => tracks - 1 - track + shift + height),
    });
  }
  return { title, x: { label: "seconds", domain: [0, (frames * FRAME) / 1000] }, y: { label: "", categories: Array.from({ length: tracks }, (_, k) => pitchName(low + tracks - 1 - k)) }, series };
}
