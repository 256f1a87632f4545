import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { FRAME, pitchName, rollPlot, type Note } from "../data/pianoRoll.ts";
import type { Found, Heard } from "../jobs/pianoRoll.ts";
import { Figure } from "../ui/figure.tsx";
import { count, fixed, percent } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Select, Slider, Stat, Stats } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const MELODIES = [["0", "first melody"], ["1", "second melody"], ["2", "third melody"], ["3", "fourth melody"]] as const;

export default function PianoRoll(): JSX.Element {
  const [melody, setMelody] = useState(0);
  const [level, setLevel] = useState(0.75);
  const [threshold, setThreshold] = useState(0.5);
  const [seed, setSeed] = useState(1);
  const job = useJob((control) => run("pianoRoll", "listen", { melody, level, threshold, seed }, control), [melody, level, threshold, seed]), heard = job.value;
  return (
    <>
      <p class="lead">A transcriber says for every pitch and every moment how strongly it seems to sound. Which notes were played? A threshold decides moment by moment: a gap cuts a note in two, a click becomes a note. Scores of whole intervals decide about notes, and the best set of them is found exactly.</p>
      <section class="card" aria-label="Noise and threshold">
        <div class="columns">
          <Slider label="Noise" name="level" min={0} max={1} step={0.05} value={level} shown={percent(level, 0)} onValue={setLevel} />
          <Slider label="Threshold, moment by moment" name="threshold" min={0.1} max={0.9} step={0.05} value={threshold} shown={fixed(threshold, 2)} onValue={setThreshold} />
          <Select label="Melody" name="melody" value={`${melody}`} options={MELODIES} onValue={(value) => setMelody(Number(value))} />
        </div>
        <button type="button" class="small" name="again" onClick={() => setSeed(seed + 1)}>Other noise</button>
        {heard && <Summary heard={heard} threshold={threshold} />}
        <Progress job={job} name="roll" />
      </section>
      {heard && (
        <>
          <Figure height={110 + 22 * heard.excerpt.tracks} plot={rollPlot("The melody, what the threshold finds, and what intervals find", heard.excerpt, [
            { name: "at least the threshold", notes: heard.threshold.notes, colour: "soft" }, { name: "true", notes: heard.excerpt.notes, colour: 1 }, { name: "by intervals", notes: heard.intervals.notes, colour: 2 },
          ])} />
          <Numbers caption="notes found by intervals" name="notes" head={["Pitch", "From, seconds", "To, seconds"]}
            rows={heard.intervals.notes.toSorted((a, b) => a.first - b.first || a.track - b.track).map((note) => row(note, heard.excerpt.low))} />
        </>
      )}
      <Promises
        promised={["The notes by intervals are the set with the highest score of all sets in which no two notes of a pitch overlap: no search is cut short.", "The same noise for both ways: it is made from the number of the draw."]}
        not={["That the best set is the true one: its scores were learned on other songs with this kind of noise, and real recordings have other noise.", "That a threshold does as badly on a good transcriber's output: with little noise both find nearly everything. Melodies: POP909, Z. Wang and others, ISMIR 2020, MIT."]} />
    </>
  );
}

function row({ track, first, last }: Note, low: number): readonly JSX.Element[] {
  return [<>{pitchName(low + track)}</>, <>{fixed((first * FRAME) / 1000, 2)}</>, <>{fixed(((last + 1) * FRAME) / 1000, 2)}</>];
}

function Summary({ heard, threshold }: { readonly heard: Heard; readonly threshold: number }): JSX.Element {
  const { excerpt: { notes }, intervals, threshold: frames } = heard, note = ({ notes: list, right }: Found): string => `${count(right)} of ${count(notes.length)} found, ${count(list.length - right)} others`;
  return (
    <>
      <Stats>
        <Stat name="intervals-f1" label="F1 by intervals" value={percent(intervals.f1)} note={note(intervals)} />
        <Stat name="threshold-f1" label="F1 by the threshold" value={percent(frames.f1)} note={note(frames)} />
      </Stats>
      <Live name="roll-summary">Right means the pitch, the onset within {FRAME} ms, and the end within {FRAME} ms or a fifth of the note. By intervals {note(intervals)}; at a threshold of {fixed(threshold, 2)} {note(frames)}.</Live>
    </>
  );
}
