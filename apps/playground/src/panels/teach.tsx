import { randomSource } from "@logits/tensor";
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { DRAWN, SIDE, drawPicture, pictureFeatures, readPicture } from "../data/pictures.ts";
import type { Kind, Lesson, TaughtInfo } from "../jobs/teach.ts";
import { DecisionCard } from "../ui/decisionCard.tsx";
import { count, fixed, percent } from "../ui/format.ts";
import { Live, Progress, Promises, Select, Stat, Stats } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

interface Subject {
  readonly id: number;
  readonly name: string;
  readonly text: string;
  readonly pictures: readonly Float32Array[];
}

const THUMBS = 21, LEAST = 8, DRAWN_EACH = 60;
const ALPHAS = [["0.05", "at most 5 %"], ["0.1", "at most 10 %"], ["0.2", "at most 20 %"]] as const;
const DETECTORS: Readonly<Record<Kind, readonly (readonly [Lesson["detector"], string])[]>> = {
  texts: [["energy", "energy of the scores"], ["msp", "probability of the best class"]],
  pictures: [["knn", "distance to the nearest example"], ["energy", "energy of the scores"], ["msp", "probability of the best class"]],
};
let nextId = 1;
const subject = (name: string): Subject => ({ id: nextId++, name, text: "", pictures: [] });
const linesOf = (text: string): string[] => text.split("\n").map((line) => line.trim()).filter((line) => line !== "");

export default function Teach(): JSX.Element {
  const id = useId();
  const [kind, setKind] = useState<Kind>("texts");
  const [subjects, setSubjects] = useState<readonly Subject[]>(() => [subject("first class"), subject("second class")]);
  const [detector, setDetector] = useState<Lesson["detector"]>("energy");
  const [alpha, setAlpha] = useState("0.1");
  const [lesson, setLesson] = useState<Lesson | undefined>();
  const [file, setFile] = useState<File | undefined>();
  const [filling, setFilling] = useState(0);
  const [problem, setProblem] = useState<string | undefined>();
  const taughtJob = useJob(lesson && ((control) => run("teach", "teach", lesson, control)), [lesson]);
  const openedJob = useJob(file && (async (control) => run("teach", "open", { bytes: new Uint8Array(await file.arrayBuffer()) }, control)), [file]);
  const fill = useJob(filling > 0 ? (control) => run("teach", "exampleTexts", null, control) : undefined, [filling]);
  const info = file ? openedJob.value : taughtJob.value;

  useEffect(() => {
    if (fill.value) setSubjects(fill.value.map(({ name, texts }) => ({ ...subject(name), text: texts.join("\n") })));
  }, [fill.value]);

  const change = (own: Subject, by: Partial<Subject>): void => setSubjects((all) => all.map((entry) => (entry.id === own.id ? { ...entry, ...by } : entry)));
  const addPictures = async (own: Subject, files: FileList | null): Promise<void> => {
    setProblem(undefined);
    try {
      const fresh: Float32Array[] = [];
      for (const picture of files ?? []) fresh.push(await readPicture(picture));
      change(own, { pictures: [...own.pictures, ...fresh] });
    } catch (cause) {
      setProblem((cause as Error).message);
    }
  };
  const drawExamples = async (): Promise<void> => {
    const random = randomSource(7, 31), fresh: Subject[] = [];
    for (const name of DRAWN.slice(0, 3)) {
      const pictures: Float32Array[] = [];
      while (pictures.length < DRAWN_EACH) {
        pictures.push(pictureFeatures(drawPicture(name, () => random.uniform())));
        // A canvas belongs to the page's own thread: a few pictures at a time keep it free.
        if (pictures.length % 6 === 0) await new Promise((resume) => setTimeout(resume));
      }
      fresh.push({ ...subject(name), pictures });
    }
    setSubjects(fresh);
  };
  const switchTo = (next: Kind): void => {
    setKind(next);
    setDetector(DETECTORS[next][0][0]);
    setSubjects([subject("first class"), subject("second class")]);
    setLesson(undefined);
    setFile(undefined);
  };
  const sizes = subjects.map((own) => (kind === "texts" ? linesOf(own.text).length : own.pictures.length));
  const names = subjects.map((own) => own.name.trim());
  const missing = names.some((name) => name === "") ? "Give every class a name."
    : new Set(names).size !== names.length ? "Two classes have the same name."
      : sizes.some((size) => size < LEAST) ? `Each class needs at least ${LEAST} examples: half train, half calibrate.` : undefined;
  const teach = (): void => {
    setFile(undefined);
    setLesson({ kind, names, examples: subjects.map((own) => (kind === "texts" ? linesOf(own.text) : own.pictures)), detector, alpha: Number(alpha), seed: 0 });
  };
  return (
    <>
      <p class="lead">Give a few dozen examples of two or more classes. In a second or two you have a classifier with calibrated probabilities, sets and an “I do not know”, in a file of a few kilobytes that runs anywhere. Nothing leaves this page.</p>
      <section class="card" aria-label="Examples">
        <fieldset>
          <legend class="legend">What do you teach?</legend>
          {(["texts", "pictures"] as const).map((each) => <label key={each}><input type="radio" name="kind" value={each} checked={kind === each} onChange={() => switchTo(each)} /> {each}</label>)}
        </fieldset>
        <p class="hint">
          {kind === "texts" ? "A text becomes n-grams of its words and characters, hashed into 1,024 numbers. It sees words, not meaning." : "A picture becomes the mean colours of 8 × 8 areas, 192 numbers: what you see below is all that the head sees. It tells a sunset from a forest, not a cat from a dog."}
        </p>
        <div class="row">
          {kind === "texts"
            ? <button type="button" class="small" name="example-texts" onClick={() => setFilling(filling + 1)}>Fill in examples: four intents, 100 sentences each</button>
            : <button type="button" class="small" name="example-pictures" onClick={() => void drawExamples()}>Draw examples: three kinds, {DRAWN_EACH} pictures each</button>}
          {filling > 0 && fill.busy && <Progress job={fill} name="fill" collapse />}
        </div>
        <ul class="classes">
          {subjects.map((own, i) => (
            <li key={own.id}>
              <div class="field"><label for={`${id}n${own.id}`}>Name of class {i + 1}</label><input id={`${id}n${own.id}`} type="text" value={own.name} onInput={(event) => change(own, { name: event.currentTarget.value })} /></div>
              {kind === "texts" ? (
                <div class="field"><label for={`${id}t${own.id}`}>Examples, one on each line ({count(sizes[i])})</label><textarea id={`${id}t${own.id}`} value={own.text} onInput={(event) => change(own, { text: event.currentTarget.value })} /></div>
              ) : (
                <>
                  <div class="field"><label for={`${id}p${own.id}`}>Pictures ({count(sizes[i])})</label><input id={`${id}p${own.id}`} type="file" accept="image/*" multiple onChange={(event) => void addPictures(own, event.currentTarget.files)} /></div>
                  {own.pictures.length > 0 && <div class="thumbs" role="img" aria-label={`The first ${Math.min(THUMBS, sizes[i])} of ${sizes[i]} pictures as the head sees them`}>{own.pictures.slice(0, THUMBS).map((picture) => <Thumb features={picture} />)}</div>}
                </>
              )}
              <button type="button" class="small" disabled={subjects.length <= 2} onClick={() => setSubjects(subjects.filter((entry) => entry !== own))}>Remove class {i + 1}</button>
            </li>
          ))}
        </ul>
        {problem !== undefined && <div class="message bad" role="alert"><p>{problem}</p></div>}
        <div class="row"><button type="button" class="small" name="add-class" onClick={() => setSubjects([...subjects, subject(`class ${subjects.length + 1}`)])}>Add a class</button></div>
        <div class="columns">
          <Select label="Sets may miss the right class" name="teach-alpha" value={alpha} options={ALPHAS} onValue={setAlpha} />
          <Select label="What tells unlike rows" name="teach-detector" value={detector} options={DETECTORS[kind]} onValue={(value) => setDetector(value as Lesson["detector"])} />
        </div>
        <div class="row"><button type="button" name="teach" disabled={missing !== undefined} onClick={teach}>Teach</button>{missing !== undefined && <p class="hint">{missing}</p>}</div>
        {lesson && !file && <Progress job={taughtJob} name="teach" collapse />}
        <div class="train">
          <div class="field"><label for={`${id}open`}>Or open a head that you saved</label><input id={`${id}open`} name="open-head" type="file" accept=".safetensors" onChange={(event) => setFile(event.currentTarget.files?.[0])} /></div>
        </div>
        {file && <Progress job={openedJob} name="open-head" collapse />}
      </section>
      {info && <Taught info={info} />}
    </>
  );
}

function Thumb({ features }: { readonly features: Float32Array }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!, image = context.createImageData(SIDE, SIDE);
    for (let i = 0; i < SIDE * SIDE; i++) image.data.set([255 * features[3 * i], 255 * features[3 * i + 1], 255 * features[3 * i + 2], 255], 4 * i);
    context.putImageData(image, 0, 0);
  }, [features]);
  return <canvas ref={canvas} width={SIDE} height={SIDE} />;
}

function Taught({ info }: { readonly info: TaughtInfo }): JSX.Element {
  const id = useId();
  const [text, setText] = useState("");
  const [row, setRow] = useState<string | Float32Array | undefined>();
  const [problem, setProblem] = useState<string | undefined>();
  const [address, setAddress] = useState("");
  const answer = useJob(row === undefined ? undefined : (control) => run("teach", "ask", { row }, control), [row, info]);
  useEffect(() => {
    const url = URL.createObjectURL(new Blob([info.bytes as Uint8Array<ArrayBuffer>], { type: "application/octet-stream" }));
    setAddress(url);
    setRow(undefined);
    return () => URL.revokeObjectURL(url);
  }, [info]);
  const { lesson } = info;
  return (
    <>
      <section class="card" aria-label="The head">
        <h3>{lesson ? "Your head" : "The head that you opened"}</h3>
        <Stats>
          {lesson && <Stat name="taught-in" label="Taught in" value={`${fixed(lesson.milliseconds / 1000, 2)} s`} note={`on ${count(lesson.trainRows)} examples`} />}
          {lesson && <Stat name="taught-right" label="Right on held-out examples" value={percent(lesson.right / lesson.heldOut)} note={`${lesson.right} of ${lesson.heldOut} that the scores never saw`} />}
          {lesson && <Stat name="taught-calibration" label="Rows behind the promises" value={count(lesson.calibrationRows)} note={`${lesson.fitRows} others fitted temperature and detector`} />}
          <Stat name="taught-size" label="The file" value={`${fixed(info.bytes.length / 1024, 1)} KiB`} note={`${info.classes.length} classes, guard “${info.detector ?? "none"}”`} />
        </Stats>
        <Live name="teach-summary">{lesson ? `Taught in ${fixed(lesson.milliseconds / 1000, 2)} seconds; right on ${lesson.right} of ${lesson.heldOut} held-out examples.` : `Opened a head of ${info.classes.length} classes: ${info.classes.join(", ")}.`}</Live>
        <div class="row"><a class="button" href={address} download="head.safetensors" data-name="download">Save the head</a><p class="hint">A safetensors file: <code>DecisionHead.fromBytes</code> reads it in any engine{info.kind === "texts" ? <>; features by <code>hashedNgrams(texts, {"{ buckets: 1024 }"})</code></> : "; features are the mean colours of 8 × 8 areas, row by row"}.</p></div>
      </section>
      <section class="card" aria-label="Try it">
        <h3>Try it</h3>
        {info.kind === "texts" ? (
          <form class="field" onSubmit={(event) => { event.preventDefault(); setRow(text); }}>
            <label for={`${id}try`}>A new text</label>
            <div class="ask"><input id={`${id}try`} name="try-text" type="text" value={text} maxLength={500} onInput={(event) => setText(event.currentTarget.value)} /><button type="submit" name="try">Decide</button></div>
          </form>
        ) : (
          <>
            <div class="field"><label for={`${id}try`}>A new picture</label><input id={`${id}try`} name="try-picture" type="file" accept="image/*" onChange={(event) => {
              const picture = event.currentTarget.files?.[0];
              setProblem(undefined);
              if (picture) readPicture(picture).then(setRow, (cause: Error) => setProblem(cause.message));
            }} /></div>
            <div class="row">{DRAWN.map((each) => <button key={each} type="button" class="small" name={`try-${each}`} onClick={() => {
              const random = randomSource(crypto.getRandomValues(new Uint32Array(1))[0], 0);
              setRow(pictureFeatures(drawPicture(each, () => random.uniform())));
            }}>Draw a {each}</button>)}</div>
            {row instanceof Float32Array && <div class="big-thumb" role="img" aria-label="The picture as the head sees it"><Thumb features={row} /></div>}
          </>
        )}
        {problem !== undefined && <div class="message bad" role="alert"><p>{problem}</p></div>}
        {answer.error !== undefined && <Progress job={answer} name="answer" collapse />}
        {answer.value && row !== undefined && <DecisionCard decision={answer.value} />}
      </section>
      <Promises promised={info.promises} not={info.notPromised} />
    </>
  );
}
