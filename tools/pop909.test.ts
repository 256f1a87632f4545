import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { difference as chordDifference, f1 as chordF1, labelOf, pieceOf, run as chords, runsOf, songs } from "./experiments/chords.ts";
import { excerptOf, f1, run as melody } from "./experiments/melody.ts";

const stored = (name: string): any => JSON.parse(readFileSync(new URL(`../docs/data/experiments/${name}.json`, import.meta.url), "utf8"));

describe("POP909", () => {
  it("reads songs: counts of data/pop909/SOURCE.txt, beats and onsets in order", () => {
    const all = songs(), total = (of: (song: (typeof all)[number]) => number): number => all.reduce((sum, song) => sum + of(song), 0);
    expect([all.length, total(({ beats }) => beats.length), total(({ chords: names }) => names.length), total(({ notes }) => notes.length)]).toEqual([228, 76186, 31070, 75813]);
    for (const { beats, notes, chordBeats } of all) {
      expect(beats.every((time, i) => i === 0 || time > beats[i - 1])).toBe(true);
      expect(chordBeats.every((beat, i) => i === 0 || beat > chordBeats[i - 1])).toBe(true);
      expect(notes.every(({ on, off }, i) => off > on && (i === 0 || on >= notes[i - 1].on))).toBe(true);
    }
  });

  it("names chords by root and third", () => {
    expect(["C:maj", "Bb:min7", "F#:sus4(b7)", "Cb:hdim7/b5", "B#:7", "N"].map(labelOf)).toEqual([0, 22, 6, 23, 0, 24]);
    expect(runsOf([3, 3, 1])).toEqual([{ start: 0, end: 2, label: 3 }, { start: 2, end: 3, label: 1 }]);
  });

  it("segments cover a piece, and neighbours differ", () => {
    const { segments, length } = pieceOf(songs()[0]);
    expect(segments[0].start).toBe(0);
    expect(segments.at(-1)!.end).toBe(length);
    segments.forEach(({ start, label }, i) => expect(i === 0 || (segments[i - 1].end === start && segments[i - 1].label !== label)).toBe(true));
  });

  it("chords: durations of segments help where labels stay as they are in a reduced form of the experiment", () => {
    const counts = chords({ models: ["chain", "semi-Markov"], train: 4, test: 8, iterations: 9 });
    expect(chordF1(counts["semi-Markov"])).toBeGreaterThan(chordF1(counts.chain));
    expect(chordF1(counts["semi-Markov"], undefined, "boundaries")).toBeGreaterThan(chordF1(counts.chain, undefined, "boundaries"));
    expect(chordDifference(counts.chain, counts.chain).value).toBe(0);
  });

  it("melody: intervals find more notes than the best threshold in a reduced form of the experiment", () => {
    const { counts } = melody(0.75, { train: 3, test: 6, frames: 100, iterations: 10 });
    expect(f1(counts.intervals.notes)).toBeGreaterThan(f1(counts.threshold.notes));
  });

  it("excerpts of melodies have notes that do not overlap on a pitch", () => {
    for (const song of songs().slice(0, 40)) {
      const { notes, tracks, frames } = excerptOf(song, 150);
      for (const [i, { track, first, last }] of notes.entries()) {
        expect(track > 0 && track < tracks - 1 && first <= last && last < frames).toBe(true);
        expect(notes.slice(0, i).every((before) => before.track !== track || before.last < first)).toBe(true);
      }
    }
  });

  it("the page shows the stored runs", () => {
    const page = readFileSync(new URL("../docs/structured-prediction/music.md", import.meta.url), "utf8"), percent = (x: number): string => (100 * x).toFixed(1);
    const range = ({ difference, low, high }: any): string => `${difference < 0 ? "−" : "+"}${Math.abs(100 * difference).toFixed(1)} [${[low, high].map((x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(1)}`).join(", ")}]`;
    for (const { f1: segments, boundaries, beats, found } of stored("chords").models) expect(page).toContain(`| ${percent(segments)} | ${percent(boundaries)} | ${percent(beats)} | ${found.toLocaleString("en")} |`);
    for (const { segments } of stored("chords").differences) expect(page).toContain(range(segments));
    for (const { notes } of stored("melody").levels) expect(page).toContain(`| ${percent(notes.intervals)} | ${percent(notes.threshold)} | ${percent(notes.smoothed)} | ${range(notes["less threshold"])} | ${range(notes["less smoothed"])} |`);
  });
});
