import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { IntentAnswer, IntentsInfo } from "../jobs/intents.ts";
import { DecisionCard } from "../ui/decisionCard.tsx";
import { count, fixed, percent, pValue, probability as shown } from "../ui/format.ts";
import { Live, Progress, Promises, Select, Stat, Stats } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";
import { NewIntents } from "./newIntents.tsx";

const EXAMPLES = ["what's the balance of my savings account", "wake me up at seven, please", "change my flight to the alarm", "do penguins have knees", "how do i sail to the moon"];
const SIZES = [["10", "10 sentences an intent"], ["30", "30 sentences an intent"], ["100", "all 100 an intent"]] as const;
type Order = { readonly kind: "train"; readonly examples: number; readonly round: number } | { readonly kind: "reset"; readonly round: number };

export default function Intents(): JSX.Element {
  const id = useId();
  const [text, setText] = useState(EXAMPLES[0]);
  const [asked, setAsked] = useState(EXAMPLES[0]);
  const [examples, setExamples] = useState("10");
  const [order, setOrder] = useState<Order | undefined>();
  const loaded = useJob((control) => run("intents", "load", null, control), []);
  const ordered = useJob(order && ((control) => (order.kind === "train" ? run("intents", "train", { examples: order.examples }, control) : run("intents", "reset", null, control))), [order]);
  const info = ordered.value ?? loaded.value;
  const answer = useJob(info && asked.trim() !== "" ? (control) => run("intents", "ask", { text: asked }, control) : undefined, [asked, info]);
  const ask = (sentence: string): void => {
    setText(sentence);
    setAsked(sentence);
  };
  return (
    <>
      <p class="lead">Type a sentence to an assistant that knows 150 intents, from booking a flight to the meaning of life. It answers with an intent, with several, or says that it does not know.</p>
      <form class="card" aria-label="Your sentence" onSubmit={(event) => { event.preventDefault(); setAsked(text); }}>
        <div class="field">
          <label for={`${id}text`}>Your sentence</label>
          <div class="ask"><input id={`${id}text`} name="sentence" type="text" value={text} autocomplete="off" maxLength={300} onInput={(event) => setText(event.currentTarget.value)} /><button type="submit" name="ask" disabled={!info}>Ask</button></div>
        </div>
        <ul class="examples" aria-label="Examples">{EXAMPLES.map((example) => <li key={example}><button type="button" class="link" onClick={() => ask(example)}>{example}</button></li>)}</ul>
        <p class="hint">The last one belongs to no intent, and the classifier that the page carries falls for it: it finds most outsiders, not all. The numbers are below.</p>
        <Progress job={loaded} name="intents" collapse />
        {answer.value && info && <Answer answer={answer.value} info={info} sentence={asked} />}
      </form>
      {info && (
        <>
          <section class="card" aria-label="The classifier">
            <h3>{info.origin === "carried" ? "The classifier that this page carries" : "The classifier that you trained"}</h3>
            <p class="hint">
              Trained on {info.figures.examples} sentences of each intent {info.origin === "carried" ? "when the page was built" : <>in this browser in <strong>{fixed(info.figures.seconds, 1)} s</strong>, and kept there</>}: n-grams of words and characters hashed into 4,096 buckets, a linear head, then temperature, sets and the detector “{info.detector}”.
              Measured on sentences that nothing has seen. Data: CLINC150, S. Larson and others, 2019 (CC BY 3.0).
            </p>
            <Stats>
              <Stat name="intent-accuracy" label="Most probable intent is right" value={percent(info.figures.accuracy)} note={`of ${count(info.figures.testRows)} sentences`} />
              <Stat name="intent-detected" label="Says unknown to outsiders" value={percent(info.figures.detected)} note={`of ${count(info.figures.outlierRows)} sentences of no intent`} />
              <Stat name="intent-false" label="Says unknown wrongly" value={percent(info.figures.falsePositives)} note="promised at most 2.5 %" />
              <Stat name="intent-coverage" label="Sets hold the right intent" value={percent(info.figures.coverage)} note={`promised 95 % on average; ${fixed(info.figures.meanSize, 2)} intents in a set`} />
            </Stats>
            <div class="train">
              <Select label="Train one yourself on" name="examples" value={examples} options={SIZES} onValue={setExamples} />
              <button type="button" name="train" disabled={ordered.busy && order !== undefined} onClick={() => setOrder({ kind: "train", examples: Number(examples), round: (order?.round ?? 0) + 1 })}>Train here</button>
              {info.origin === "trained" && <button type="button" class="small" name="reset" onClick={() => setOrder({ kind: "reset", round: (order?.round ?? 0) + 1 })}>Back to the carried one</button>}
            </div>
            <p class="hint">About 2 seconds with 10 sentences and 10 to 20 with all, depending on your machine.</p>
            {order && <Progress job={ordered} name="train" collapse />}
          </section>
          <Promises promised={info.promises} not={info.notPromised} />
          <NewIntents />
        </>
      )}
    </>
  );
}

function Answer({ answer, info, sentence }: { readonly answer: IntentAnswer; readonly info: IntentsInfo; readonly sentence: string }): JSX.Element {
  const { decision, top, pValue: p, words } = answer;
  const plain = (intent: string): string => intent.replaceAll("_", " ");
  const strongest = Math.max(1e-9, ...words.map(({ effect }) => Math.abs(effect)));
  return (
    <>
      <Live name="intents-summary"><span class="hint">“{sentence}”</span></Live>
      <DecisionCard decision={decision} plain={plain} />
      <div class="columns">
        <div>
          <h3 class="over">Calibrated probabilities</h3>
          <ul class="bars" data-name="top">
            {top.map(({ intent, probability, inSet }) => <li class={`bar${inSet ? "" : " out"}`} key={intent}><span>{plain(intent)}</span><span aria-hidden="true"><i style={{ width: `${100 * probability}%` }} /></span><span>{shown(probability)}</span></li>)}
          </ul>
          <p class="hint">Blue: in the set at α = 5 %. For a sentence of no intent these probabilities mean little: they must sum to one.</p>
        </div>
        <div>
          <h3 class="over">How unusual it is</h3>
          <p>p-value <strong data-name="intent-p-value">{pValue(p)}</strong>: {p < 0.001 ? "almost no" : `about ${Math.max(1, Math.round(p * 1000))} in 1,000`} known sentences are at least as unlike the training sentences, by “{info.detector}”.</p>
          {words.length > 0 && (
            <>
              <h3 class="next">Which words speak for “{plain(top[0].intent)}”</h3>
              <ul class="words" data-name="words">{words.map(({ word, effect }) => <li style={{ "--strength": Math.abs(effect) / strongest }} class={effect < 0 ? "against" : "for"}>{word} <small>{effect < 0 ? "" : "+"}{fixed(effect, 1)}</small></li>)}</ul>
              <p class="hint">The score with the word, less the score without it.</p>
            </>
          )}
        </div>
      </div>
    </>
  );
}
