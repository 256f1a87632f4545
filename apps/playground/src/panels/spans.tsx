import type { DecodedSpan } from "@logits/structured-prediction/spans";
import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { TaggerFigures, Way } from "../data/tagger.ts";
import type { SpansAnswer } from "../jobs/spans.ts";
import { count, percent, probability } from "../ui/format.ts";
import { Live, Numbers, Progress, Promises, Slider, Stat, Stats, Table } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

const EXAMPLES: readonly string[] = [
  "Watching Game of Thrones in Los Angeles with Kim Kardashian tonight", "The Empire State Building is in New York, says Anna Lovelace", "Barack Obama visits Harvard University in Boston",
  "Mark Zuckerberg says Facebook will open an office in Berlin", "Google Maps sent me to Brighton instead of Birmingham",
];
const WAYS: Readonly<Record<Way, string>> = { exact: "SpanDecoder", words: "SpanDecoder, whole words", simple: "simple", first: "first", average: "average", max: "max" };

export default function Spans(): JSX.Element {
  const id = useId();
  const [text, setText] = useState(EXAMPLES[0]);
  const [asked, setAsked] = useState(EXAMPLES[0]);
  const [constrained, setConstrained] = useState(true);
  const [whole, setWhole] = useState(false);
  const [least, setLeast] = useState(0.1);
  const loaded = useJob((control) => run("spans", "load", null, control), []);
  const job = useJob(loaded.value && ((control) => run("spans", "ask", { text: asked, whole }, control)), [asked, whole, loaded.value]);
  const answer = job.value, figures = loaded.value;
  const ask = (sentence: string): void => {
    setText(sentence);
    setAsked(sentence);
  };
  return (
    <>
      <p class="lead">A tagger scores every token on its own. Which names stand in the text, and how sure can one be? Read label by label, the answer may be no legal one, and its numbers are not probabilities of names. The exact ones take one forward and one backward pass.</p>
      <form class="card" aria-label="Your text" onSubmit={(event) => { event.preventDefault(); setAsked(text); }}>
        <div class="field">
          <label for={`${id}text`}>Your text</label>
          <div class="ask"><input id={`${id}text`} name="sentence" type="text" value={text} autocomplete="off" maxLength={280} onInput={(event) => setText(event.currentTarget.value)} /><button type="submit" name="ask" disabled={!figures}>Find names</button></div>
        </div>
        <ul class="examples" aria-label="Examples">{EXAMPLES.map((example) => <li key={example}><button type="button" class="link" onClick={() => ask(example)}>{example}</button></li>)}</ul>
        <fieldset>
          <label><input type="checkbox" name="constrained" checked={constrained} onChange={(event) => setConstrained(event.currentTarget.checked)} />Only labellings that BIO allows</label>
          <label><input type="checkbox" name="whole" checked={whole} disabled={!constrained} onChange={(event) => setWhole(event.currentTarget.checked)} />Names hold whole words</label>
        </fieldset>
        <Progress job={loaded} name="tagger" collapse />
        <Progress job={job} name="spans" collapse />
        {answer && <Marked answer={answer} constrained={constrained} />}
      </form>
      {answer && figures && answer.tokens.length > 0 && (
        <>
          <div class="figures">
            <section class="card" aria-label="Every span">
              <h3>Every span that may be there</h3>
              <Slider label="Probability of at least" name="least" min={0.02} max={0.9} step={0.01} value={least} shown={percent(least, 0)} onValue={setLeast} />
              <Candidates answer={answer} least={least} />
              <p class="hint">Blue: in the most probable labelling. The others are what it left out; from one half on, no two spans share a token.</p>
            </section>
            <section class="card" aria-label="Labellings">
              <h3>The best whole labellings</h3>
              <ol class="bars" data-name="labellings">
                {answer.labellings.map(({ spans, probability: p }) => (
                  <li class="bar stacked" key={named(answer.text, spans)}><span>{spans.length === 0 ? "no name at all" : named(answer.text, spans)}</span><span aria-hidden="true"><i style={{ width: `${100 * p}%` }} /></span><span>{probability(p)}</span></li>
                ))}
              </ol>
              <p class="hint">A span's probability is the sum over all labellings that hold exactly this span.</p>
            </section>
          </div>
          <Strategies answer={answer} figures={figures} whole={whole} />
          <Numbers caption="scores of the tokens" name="tokens" head={["Token", "Best label alone", "Its probability", "Legal there?", "In the best legal labelling"]}
            rows={answer.tokens.map(({ piece, best, probability: p, illegal, decoded }) => [piece, best, probability(p), illegal ? <span class="wrong">no</span> : "yes", decoded])} />
        </>
      )}
      {figures && (
        <Promises
          promised={[
            "Each probability is the exact sum over all labellings that BIO allows, under these token scores; tests compare it with enumeration.",
            "The spans that are shown with the constraint are those of the most probable legal labelling.",
          ]}
          not={[
            `That a probability of 0.8 means right in 80 % of cases: on new posts this tagger claims ${percent(figures.ways.exact.claimed, 0)} on average and is right in ${percent(figures.ways.exact.precision, 0)}. Exact is not calibrated: see the panel Calibrate.`,
            `That names are found: the tagger is a softmax regression on pieces of words, trained when this page was built on ${count(figures.trainPosts)} posts (WNUT-17, L. Derczynski and others, 2017, CC BY 4.0), a task of rare and new names. It finds ${percent(figures.ways.exact.recall, 0)} of the ${count(figures.testSpans)} names in ${count(figures.testPosts)} test posts. A neural tagger gives scores of the same form.`,
          ]} />
      )}
    </>
  );
}

/** The words that a span stands on. */
function slice(text: string, { start, end }: DecodedSpan): string {
  return text.slice(start, end);
}

function named(text: string, spans: readonly DecodedSpan[]): string {
  return spans.map((span) => `${slice(text, span)} (${span.type})`).join(", ");
}

function Marked({ answer, constrained }: { readonly answer: SpansAnswer; readonly constrained: boolean }): JSX.Element {
  const { text, tokens, spans, strategies, legalShare } = answer, broken = tokens.filter(({ illegal }) => illegal);
  const shown = constrained ? spans : (strategies.find(({ strategy }) => strategy === "simple")?.spans ?? []);
  const pieces: JSX.Element[] = [];
  let at = 0;
  for (const span of shown) {
    const bad = !constrained && tokens[span.from].illegal;
    pieces.push(<>{text.slice(at, span.start)}</>, <mark class={bad ? "broken" : ""} style={{ "--strength": span.probability }}>{slice(text, span)}<small>{span.type} {probability(span.probability)}{bad && ", no beginning"}</small></mark>);
    at = span.end!;
  }
  return (
    <>
      <p class="spans" data-name="marked">{pieces}{text.slice(at)}</p>
      <Live name="spans-summary">
        {tokens.length === 0 ? "Nothing to read yet." : constrained
          ? `${spans.length === 0 ? "No name" : spans.length === 1 ? "One name" : `${spans.length} names`} in the most probable labelling; each number is the exact probability of that span.`
          : broken.length === 0 ? "Each token's best label on its own; here they happen to be a legal labelling. Each number is the mean of its tokens' probabilities."
            : `Each token's best label on its own: ${broken.length === 1 ? "one label continues" : `${broken.length} labels continue`} a name that never began (${broken.map(({ piece, best }) => `${best} at “${piece}”`).join(", ")}). Each number is the mean of its tokens' probabilities.`}
      </Live>
      {tokens.length > 0 && (
        <Stats>
          <Stat name="legal" label="Labels drawn one by one are legal" value={probability(legalShare)} note="the rest of the probability is on labellings that mean nothing" />
          <Stat name="broken" label="Best labels that cannot stand there" value={count(broken.length)} note={`of ${count(tokens.length)} tokens`} />
        </Stats>
      )}
    </>
  );
}

function Candidates({ answer, least }: { readonly answer: SpansAnswer; readonly least: number }): JSX.Element {
  const { text, spans, candidates } = answer, list = candidates.filter((span) => span.probability >= least).slice(0, 12);
  const held = (span: DecodedSpan): boolean => spans.some(({ type, from, to }) => type === span.type && from === span.from && to === span.to);
  if (list.length === 0) return <p>None.</p>;
  return (
    <ul class="bars" data-name="candidates">
      {list.map((span) => (
        <li class={`bar wide${held(span) ? "" : " out"}`} key={`${span.type} ${span.from} ${span.to}`}><span>{slice(text, span)} <small>{span.type}</small></span><span aria-hidden="true"><i style={{ width: `${100 * span.probability}%` }} /></span><span>{probability(span.probability)}</span></li>
      ))}
    </ul>
  );
}

function Strategies({ answer, figures, whole }: { readonly answer: SpansAnswer; readonly figures: TaggerFigures; readonly whole: boolean }): JSX.Element {
  const { text, spans, strategies, exact } = answer;
  const cell = (list: readonly DecodedSpan[], own: boolean): JSX.Element => (list.length === 0 ? <>nothing</> : (
    <ul class="plain">{list.map((span) => <li>{slice(text, span)} <small>{span.type}</small> {probability(span.probability)}{!own && <small> (exact {probability(exact[`${span.type} ${span.from} ${span.to}`])})</small>}</li>)}</ul>
  ));
  const own: Way = whole ? "words" : "exact", line = (way: Way, list: readonly DecodedSpan[]): JSX.Element[] => {
    const { precision, recall, f1, claimed } = figures.ways[way];
    return [<>{way === own ? <strong>{WAYS[way]}</strong> : WAYS[way]}</>, cell(list, way === own), <>{percent(precision)}</>, <>{percent(recall)}</>, <>{percent(f1)}</>, <>{percent(claimed)}</>];
  };
  return (
    <section class="card left-table" aria-label="The same scores, five ways">
      <h3>The same scores, five ways</h3>
      <Table name="strategies" caption="Spans of this text, and how each way fares on posts that nothing has seen" head={["Way", "In this text", "Right", "Found", "F1", "Its numbers claim"]}
        rows={[line(own, spans), ...strategies.map(({ strategy, spans: list }) => line(strategy, list))]} />
      <p class="hint">simple, first, average and max are the rules of Python's token-classification pipeline (<code>aggregateSpans</code>): their number is a mean over tokens or words, with the exact probability of that span behind it. Right: share of the spans given that are right. In {count(figures.illegal)} of {count(figures.testPosts)} test posts the best labels of the tokens are no legal labelling.</p>
    </section>
  );
}
