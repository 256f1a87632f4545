import type { JSX } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import type { Draw, DrawnText, Rules, Stage, StageName } from "../jobs/decoding.ts";
import { count, fixed, percent, probability } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Slider, Stat, Stats } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const PROMPTS = ["what is the", "book a flight from", "how do i", "please tell me how"];
/** A rule of the panel: where its slider goes, and the value at which it changes nothing. */
interface Knob {
  readonly option: keyof Rules;
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly off: number;
  readonly digits: number;
}
const KNOBS: readonly Knob[] = [
  { option: "repetitionPenalty", label: "Repetition penalty", min: 1, max: 2, step: 0.05, off: 1, digits: 2 },
  { option: "presencePenalty", label: "Presence penalty", min: 0, max: 4, step: 0.1, off: 0, digits: 1 },
  { option: "frequencyPenalty", label: "Frequency penalty", min: 0, max: 4, step: 0.1, off: 0, digits: 1 },
  { option: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, off: 1, digits: 2 },
  { option: "topK", label: "Top-k", min: 1, max: 51, step: 1, off: 51, digits: 0 },
  { option: "topP", label: "Top-p", min: 0.05, max: 1, step: 0.05, off: 1, digits: 2 },
  { option: "minP", label: "Min-p", min: 0, max: 0.5, step: 0.01, off: 0, digits: 2 },
  { option: "typicalP", label: "Typical p", min: 0.05, max: 1, step: 0.05, off: 1, digits: 2 },
  { option: "eta", label: "Eta", min: 0, max: 0.1, step: 0.002, off: 0, digits: 3 },
];
const NAMES: Readonly<Record<StageName, string>> = { model: "The model", penalties: "Penalties", temperature: "Temperature", topK: "Top-k", topP: "Top-p", minP: "Min-p", typicalP: "Typical p", eta: "Eta" };
const START: Rules = { temperature: 0.8, topK: 20, topP: 0.9 };

export default function Decoding(): JSX.Element {
  const id = useId();
  const [typed, setTyped] = useState(PROMPTS[0]);
  const [prompt, setPrompt] = useState(PROMPTS[0]);
  const [rules, setRules] = useState<Rules>(START);
  const [seed, setSeed] = useState(0);
  const [wanted, setAt] = useState(0);
  const key = JSON.stringify(rules);
  const text = useJob((control) => run("decoding", "text", { prompt, seed, rules }, control), [prompt, seed, key]);
  const drawn = text.value, at = Math.min(wanted, (drawn?.words.length ?? 1) - 1);
  const step = useJob(drawn && !text.busy ? (control) => run("decoding", "draw", { prompt, seed, rules, at }, control) : undefined, [drawn, text.busy, at]);
  useEffect(() => setAt(0), [prompt]);
  const ask = (words: string): void => {
    setTyped(words);
    setPrompt(words);
  };
  const set = (knob: Knob, value: number): void => setRules((last) => {
    const { [knob.option]: _, ...rest } = last;
    return Math.abs(value - knob.off) < knob.step / 2 ? rest : { ...rest, [knob.option]: value };
  });
  return (
    <>
      <p class="lead">A language model gives a score to every word that could come next. Rules change these scores and leave words out, in a fixed order, and a random number takes one of what is left. Watch each rule do it.</p>
      <form class="card" aria-label="Text" onSubmit={(event) => { event.preventDefault(); setPrompt(typed); }}>
        <div class="field">
          <label for={`${id}prompt`}>Beginning of a sentence</label>
          <div class="ask"><input id={`${id}prompt`} name="prompt" type="text" value={typed} autocomplete="off" maxLength={120} onInput={(event) => setTyped(event.currentTarget.value)} /><button type="submit" name="continue">Continue</button></div>
        </div>
        <ul class="examples" aria-label="Examples">{PROMPTS.map((example) => <li key={example}><button type="button" class="link" onClick={() => ask(example)}>{example}</button></li>)}</ul>
        {drawn && <Text drawn={drawn} at={at} onAt={setAt} />}
        <div class="seed">
          <div class="row">
            <button type="button" class="small" name="previous" disabled={at === 0} onClick={() => setAt(at - 1)}>Previous word</button>
            <button type="button" class="small" name="next" disabled={!drawn || at >= drawn.words.length - 1} onClick={() => setAt(at + 1)}>Next word</button>
          </div>
          <p class="hint">Seed <strong data-name="seed">{seed}</strong>: the same seed gives the same text, in every browser.</p>
          <button type="button" class="small" name="reseed" onClick={() => setSeed(seed + 1)}>Another seed</button>
        </div>
        <Progress job={text} name="text" collapse />
      </form>
      <section class="card" aria-label="Rules">
        <h3>Rules, in the order in which they act</h3>
        <div class="knobs">
          {KNOBS.map((knob) => {
            const value = rules[knob.option] ?? knob.off;
            return <Slider key={knob.option} label={knob.label} name={knob.option} min={knob.min} max={knob.max} step={knob.step} value={value} shown={value === knob.off ? "off" : fixed(value, knob.digits)} onValue={(to) => set(knob, to)} />;
          })}
        </div>
        <div class="row">
          <button type="button" class="small" name="all-off" onClick={() => setRules({})}>All off</button>
          <button type="button" class="small" name="usual" onClick={() => setRules(START)}>A usual choice</button>
          <button type="button" class="small" name="greedy" onClick={() => setRules({ temperature: 0 })}>Always the best word</button>
        </div>
      </section>
      {step.value && <Step draw={step.value} />}
      <Progress job={step} name="step" collapse />
      {drawn && (
        <Promises
          promised={[
            "The same scores, rules, seed and position give the same word, bit for bit, in every engine.",
            "Each rule leaves at least one word, and no word outside what is shown as left can be drawn.",
            "Entropy, margin and log-probability are of the model's own distribution, before any rule.",
          ]}
          not={[
            `That the text is true or good: the model is a trigram model with Kneser-Ney smoothing, counted in this page from ${count(drawn.sentences)} requests to an assistant (CLINC150, S. Larson and others, 2019, CC BY 3.0). It sees two words back and knows ${count(drawn.vocabulary - 1)} words. A neural model gives rows of the same form.`,
            "That one rule is best: it depends on the model and on what the text is for.",
            "The same text after a rule has changed: another distribution answers to the same random number.",
          ]} />
      )}
    </>
  );
}

function Text({ drawn, at, onAt }: { readonly drawn: DrawnText; readonly at: number; readonly onAt: (at: number) => void }): JSX.Element {
  const unknown = drawn.prompt.filter(({ known }) => !known).map(({ word }) => word);
  return (
    <>
      <p class="continued" data-name="text">
        <span>{drawn.prompt.map(({ word }) => word).join(" ")}</span>
        {drawn.words.map(({ word, drawLogProbability }, i) => (
          <button type="button" key={i} aria-pressed={i === at} aria-label={`Word ${i + 1}: ${word === "⏎" ? "end of the sentence" : word}, drawn with probability ${probability(Math.exp(drawLogProbability))}`}
            style={{ "--strength": Math.exp(drawLogProbability) }} onClick={() => onAt(i)}>{word}</button>
        ))}
      </p>
      <p class="hint">Choose a word to see how it was drawn; the line under it is as strong as its probability was. ⏎ ends the sentence.{unknown.length > 0 && ` The model has never seen “${unknown.join("”, “")}”, and goes by what it knows without.`}</p>
    </>
  );
}

/** What a rule did, in words. */
function deed({ name, candidates, leftOut }: Stage, before: Stage | undefined): string {
  if (name === "model") return `${count(candidates)} words are possible.`;
  if (name === "penalties") return "Words of the text become less probable.";
  const gone = before!.candidates - candidates;
  if (name === "temperature" && gone === 0) return "Sharper below 1, flatter above.";
  return gone === 0 ? "Leaves out nothing here." : `Leaves out ${count(gone)} ${gone === 1 ? "word" : "words"} with ${probability(leftOut)} together.`;
}

function Step({ draw }: { readonly draw: Draw }): JSX.Element {
  const { at, seed, word, vocabulary, stages, words, drawn } = draw, most = Math.max(...stages.flatMap(({ probabilities }) => probabilities.map((p) => p ?? 0)));
  const plain = (name: string): string => (name === "⏎" ? "⏎ end" : name), chosen = plain(words[drawn]);
  return (
    <section class="card" aria-label="The draw, rule by rule" data-name="step">
      <h3>Word {at + 1}: “{chosen}”</h3>
      <Live name="decoding-summary">
        The model gives “{chosen}” probability {probability(Math.exp(word.logProbability))}; after the rules it is {probability(Math.exp(word.drawLogProbability))}. {count(word.candidates)} of {count(vocabulary)} words were left.
      </Live>
      <Stats>
        <Stat name="entropy" label="Entropy of the model" value={`${fixed(word.entropy, 3)} nats`} note={`as unsure as among ${fixed(Math.exp(word.entropy), 1)} equal words`} />
        <Stat name="nucleus" label="Nucleus of 90 %" value={count(word.nucleus)} note="words hold nine tenths of the model's probability" />
        <Stat name="margin" label="Margin" value={fixed(word.margin, 3)} note={`the best word is ${fixed(Math.exp(word.margin), 1)} times as probable as the second`} />
        <Stat name="candidates" label="Candidates" value={count(word.candidates)} note="words that the rules left" />
      </Stats>
      <ol class="stages">
        {stages.map((stage, k) => (
          <li key={stage.name} data-name={`stage-${stage.name}`}>
            <h4>{NAMES[stage.name]}</h4>
            <p class="hint">{deed(stage, stages[k - 1])} Entropy {fixed(stage.entropy, 2)}.</p>
            <ul class="bars">
              {words.map((name, i) => {
                const p = stage.probabilities[i], before = stages[k - 1]?.probabilities[i];
                return (
                  <li key={name} class={`bar${p === undefined ? " gone" : ""}${i === drawn ? " drawn" : ""}`}>
                    <span>{i === drawn && <span aria-hidden="true">▸ </span>}{plain(name)}</span>
                    <span aria-hidden="true" class="track">{before !== undefined && <b style={{ width: `${(100 * before) / most}%` }} />}{p !== undefined && <i style={{ width: `${(100 * p) / most}%` }} />}</span>
                    <span>{p === undefined ? "out" : probability(p)}</span>
                  </li>
                );
              })}
            </ul>
          </li>
        ))}
      </ol>
      <p class="hint">The model's most probable words and the one that was drawn (▸). The upright line is the probability before the rule; what is left is made to sum to 1 again.</p>
      <h3>The draw</h3>
      {draw.u === undefined ? <p>At temperature 0 nothing is drawn: the best word is taken.</p> : (
        <>
          <div class="strip" data-name="strip" role="img" aria-label={`The number ${fixed(draw.u, 4)} falls on “${chosen}”, which takes ${percent(Math.exp(word.drawLogProbability), 2)} of the strip.`}>
            {draw.strip.map((part, i) => <span key={i} class={part.drawn ? "drawn" : part.word === undefined ? "many" : ""} style={{ flexGrow: part.to - part.from }}>{part.word !== undefined && part.to - part.from > 0.08 ? plain(part.word) : ""}</span>)}
            <i style={{ left: `${100 * draw.u}%` }} />
          </div>
          <p class="hint">All probabilities side by side, in the order of the model's words. Number {at} of seed {seed} is <strong data-name="u">{fixed(draw.u, 4)}</strong>, and it falls on “{chosen}”.</p>
        </>
      )}
      <Numbers caption="probability of each word after each rule" name="stages" head={["Word", ...stages.map(({ name }) => NAMES[name])]} rows={words.map((name, i) => [plain(name), ...stages.map(({ probabilities: { [i]: p } }) => (p === undefined ? "out" : percent(p, 3)))])} />
    </section>
  );
}
