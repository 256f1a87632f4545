import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { IntentGroup, RefusedInfo } from "../jobs/newIntents.ts";
import { count, fixed, percent } from "../ui/format.ts";
import { Live, Progress, Stat, Stats, Table } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

/** The second act: what was refused becomes groups, a group gets a name, and is a class. */
export function NewIntents(): JSX.Element {
  const [begun, setBegun] = useState(false);
  const grouped = useJob(begun ? (control) => run("newIntents", "group", null, control) : undefined, [begun]);
  return (
    <section class="card" aria-label="New intents">
      <h3>New intents, from what it refused</h3>
      <p class="hint">
        Here a classifier of class means learns all intents but ten. Sentences of those ten come in without labels, among sentences of no intent. What it calls unknown is grouped; you look at a group, name it, and it is a class, without training. A name is proposed where the data set has the same intent for the five sentences nearest to the middle.
      </p>
      <div class="train"><button type="button" name="group" disabled={begun} onClick={() => setBegun(true)}>Group what it refuses</button><p class="hint">10 to 30 seconds, in this browser.</p></div>
      {begun && <Progress job={grouped} name="group" collapse />}
      {grouped.value && <Groups info={grouped.value} />}
    </section>
  );
}

function Groups({ info }: { readonly info: RefusedInfo }): JSX.Element {
  const intents = [...new Set(info.groups.flatMap(({ name }) => name ?? []))];
  const [names, setNames] = useState<Readonly<Record<string, string>>>({});
  const [chosen, setChosen] = useState<readonly string[]>(intents);
  const [order, setOrder] = useState<readonly string[] | undefined>();
  const added = useJob(order && ((control) => run("newIntents", "add", { intents: order }, control)), [order]);
  const shown = (intent: string): string => names[intent] ?? intent.replaceAll("_", " ");
  const taken = chosen.map(shown), missing = taken.some((name) => name.trim() === "") ? "Give every class a name." : new Set(taken).size < taken.length ? "Two classes have the same name." : undefined;
  const { value } = added;
  return (
    <>
      <Live name="groups-summary">{`Of ${info.stream} sentences ${info.refused} were refused; ${info.groups.length} groups stand out among them (p = ${info.pValue.toPrecision(2)} against rows without groups).`}</Live>
      <ul class="classes">
        {info.groups.map((group, i) => <li key={i}><Group group={group} chosen={group.name !== undefined && chosen.includes(group.name)} name={group.name && shown(group.name)}
          onChosen={(on) => setChosen(on ? [...chosen, group.name!] : chosen.filter((other) => other !== group.name))} onName={(name) => setNames({ ...names, [group.name!]: name })} /></li>)}
      </ul>
      <div class="train">
        <button type="button" name="add-intents" disabled={chosen.length === 0 || missing !== undefined || added.busy && order !== undefined} onClick={() => setOrder([...chosen])}>{`Add ${chosen.length} ${chosen.length === 1 ? "class" : "classes"}`}</button>
        {missing !== undefined && <p class="hint">{missing}</p>}
      </div>
      {order && <Progress job={added} name="add" collapse />}
      {value && (
        <>
          <Stats>
            <Stat name="added-in" label="Added in" value={`${fixed(value.milliseconds.add / 1000, 2)} s`} note={`${value.added.length} classes to ${value.known}, promises included`} />
            <Stat name="added-right" label="Right on the new classes" value={percent(value.after.added)} note={`of ${count(value.rows.added)} test sentences; before: none`} />
            <Stat name="kept-right" label="Right on the others" value={percent(value.after.known)} note={`before: ${percent(value.before.known)}`} />
            <Stat name="added-false" label="Says unknown wrongly" value={percent(value.after.falseAlarms)} note={`promised at most ${percent(value.maxFalsePositiveRate)}; before: ${percent(value.before.falseAlarms)}`} />
          </Stats>
          <Table caption="On test sentences, before and after" name="act" head={["", "before", "after", "of"]} rows={[
            ["right, of the intents known from the beginning", percent(value.before.known), percent(value.after.known), count(value.rows.known)],
            [`right, of ${value.added.map(shown).join(", ")}`, percent(value.before.added), percent(value.after.added), count(value.rows.added)],
            ["called unknown though known", percent(value.before.falseAlarms), percent(value.after.falseAlarms), count(value.rows.known + value.rows.added)],
            ["of no intent, called unknown", percent(value.before.detected), percent(value.after.detected), count(value.rows.outside)],
          ]} />
          <p class="hint">The promise rests on validation sentences with labels, also of the new classes. Grouped sentences cannot carry it: they were refused and lie near the middle of their group, and sentences to come lie wider.</p>
        </>
      )}
    </>
  );
}

function Group({ group, chosen, name, onChosen, onName }: { readonly group: IntentGroup; readonly chosen: boolean; readonly name: string | undefined; readonly onChosen: (on: boolean) => void; readonly onName: (name: string) => void }): JSX.Element {
  const id = useId();
  return (
    <>
      <p><strong>{count(group.size)} sentences</strong>, silhouette {fixed(group.silhouette, 2)}</p>
      <ul>{group.nearest.map((sentence) => <li>{sentence}</li>)}</ul>
      {name === undefined ? <p class="hint">These five do not mean the same: no name.</p> : (
        <>
          <div class="field"><label for={`${id}n`}>Its name</label><input id={`${id}n`} name="group-name" type="text" value={name} maxLength={60} onInput={(event) => onName(event.currentTarget.value)} /></div>
          <label><input type="checkbox" checked={chosen} onChange={(event) => onChosen(event.currentTarget.checked)} /> make it a class</label>
        </>
      )}
    </>
  );
}
