/** A noisy piano roll and the notes in it: by thresholds, frame by frame, and by scores of whole intervals. The experiment with melodies (tools/experiments/melody.ts) learns the weights; the panel shows them at work. */
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
 * What a listener with errors hears, [T, K]: 1 where a note sounds and 0 elsewhere, then, more of each with the level:
 * notes go on too long (up to 6 frames), have gaps (1 to 3 frames), single cells are the other way round (2 %), and all values have noise (standard deviation 0.4).
 */
export function noisyRoll({ frames: T, tracks: K, notes }: Excerpt, level: number, seed: number): Float32Array {
  const random = randomSource(seed), x = new Float32Array(T * K);
  for (const { first, last, track } of notes) {
    const end = Math.min(T - 1, last + Math.floor(random.uniform() * (1 + 6 * level)));
    for (let t = first, silent = 0; t <= end; t++, silent--) {
      if (random.uniform() < 0.08 * level) silent = 1 + random.integer(3);
      x[t * K + track] = silent > 0 ? 0 : 1;
    }
  }
  for (let i = 0; i < x.length; i++) {
    if (random.uniform() < 0.02 * level) x[i] = 1 - x[i];
    // Four uniform numbers: nearly normal, the same in every engine.
    x[i] += 0.4 * level * Math.sqrt(3) * (random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2);
  }
  return x;
}

/** Notes of a roll frame by frame: runs of values of at least `threshold`; shorter ones than `least` are left out. */
export function thresholdNotes(roll: Float32Array, tracks: number, threshold: number, least = 1): Note[] {
  const T = roll.length / tracks, notes: Note[] = [];
  for (let track = 0; track < tracks; track++) {
    for (let t = 0, first = -1; t <= T; t++) {
      if (t < T && roll[t * tracks + track] >= threshold) first = first < 0 ? t : first;
      else {
        if (first >= 0 && t - first >= least) notes.push({ track, first, last: t - 1 });
        first = -1;
      }
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
const LENGTHS = [1, 2, 4, 7, 12, 20, 35];
/** Weights of an interval: frames, values inside, rise at the beginning, fall at the end, then its length's. */
export const WEIGHTS: number = 4 + LENGTHS.length + 1;
const binOf = (length: number): number => {
  const bin = LENGTHS.findIndex((most) => length <= most);
  return bin < 0 ? LENGTHS.length : bin;
};

/** Features of the intervals that end in a frame, told one by one. */
function eachInterval(roll: Float32Array, tracks: number, visit: (at: number, frames: number, inside: number, rise: number, fall: number, bin: number) => void): void {
  const T = roll.length / tracks, value = (t: number, k: number): number => (t < 0 || t >= T ? 0 : roll[t * tracks + k]), bins = Uint8Array.from({ length: T + 1 }, (_, n) => binOf(n));
  for (let last = 0; last < T; last++) {
    for (let k = 0; k < tracks; k++) {
      const fall = value(last, k) - value(last + 1, k);
      for (let first = last, inside = 0; first >= 0; first--) {
        inside += roll[first * tracks + k];
        visit((last * T + first) * tracks + k, last - first + 1, inside, value(first, k) - value(first - 1, k), fall, bins[last - first + 1]);
      }
    }
  }
}

/** The distribution over sets of notes, given a roll and the weights. */
export function rollIntervals(roll: Float32Array, tracks: number, w: ArrayLike<number>): IntervalCrf {
  const T = roll.length / tracks, scores = new Float32Array(T * T * tracks);
  eachInterval(roll, tracks, (at, frames, inside, rise, fall, bin) => (scores[at] = w[0] * frames + w[1] * inside + w[2] * rise + w[3] * fall + w[4 + bin]));
  return new IntervalCrf(new Tensor("float32", [T, T, tracks], scores), { sharedEndpoints: false });
}

/** Log-likelihood of the notes; adds its gradient by the weights to `g`. */
export function rollLogLikelihood(roll: Float32Array, { tracks, notes }: Excerpt, w: ArrayLike<number>, g: Float64Array): number {
  const given = Array.from({ length: tracks }, (_, k) => notes.filter(({ track }) => track === k).toSorted((a, b) => a.first - b.first)), { value, grads: { scores: { data } } } = rollIntervals(roll, tracks, w).logProbWithGrad(given);
  eachInterval(roll, tracks, (at, frames, inside, rise, fall, bin) => {
    const d = data[at];
    if (d === 0) return;
    g[0] += d * frames;
    g[1] += d * inside;
    g[2] += d * rise;
    g[3] += d * fall;
    g[4 + bin] += d;
  });
  return value.reduce((a, b) => a + b, 0);
}

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
