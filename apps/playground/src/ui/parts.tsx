import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import type { JobState } from "../worker/useJob.ts";

/** A number with its name. `name` lets tests find it. */
export function Stat({ name, label, value, note }: { readonly name: string; readonly label: string; readonly value: string; readonly note?: ComponentChildren }): JSX.Element {
  return <div class="stat"><dt>{label}</dt><dd><span class="value" data-name={name}>{value}</span>{note !== undefined && <span class="note">{note}</span>}</dd></div>;
}

/** A row of numbers. */
export function Stats({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <dl class="stats">{children}</dl>;
}

interface SliderProps {
  readonly label: ComponentChildren;
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly value: number;
  /** The value as people read it; also what a screen reader says. */
  readonly shown: string;
  readonly onValue: (value: number) => void;
  /** A value worth finding again, with its name. */
  readonly mark?: { readonly value: number; readonly label: string };
}

/** A range input with its value in words, and a marked value. */
export function Slider({ label, name, min, max, step, value, shown, onValue, mark }: SliderProps): JSX.Element {
  const id = useId();
  const where = mark && (mark.value - min) / (max - min);
  return (
    <div class="field slider">
      <div class="slider-head"><label for={id}>{label}</label><output for={id} data-name={`${name}-shown`}>{shown}</output></div>
      <input id={id} name={name} type="range" min={min} max={max} step={step} value={value} aria-valuetext={shown} onInput={(event) => onValue(event.currentTarget.valueAsNumber)} />
      {where !== undefined && where >= 0 && where <= 1 && (
        <div class="slider-mark" aria-hidden="true"><span class={where > 0.66 ? "left" : ""} style={{ left: `calc(${where} * (100% - 20px) + 10px)` }}><i />{mark!.label}</span></div>
      )}
    </div>
  );
}

/** A choice among few. */
export function Select({ label, name, value, options, onValue }: {
  readonly label: ComponentChildren; readonly name: string; readonly value: string; readonly options: readonly (readonly [value: string, text: string])[]; readonly onValue: (value: string) => void;
}): JSX.Element {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} name={name} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {options.map(([key, text]) => <option key={key} value={key} selected={key === value}>{text}</option>)}
      </select>
    </div>
  );
}

/** What a job is doing, with a button that stops it; after a failure, why. */
export function Progress({ job, name, collapse = false }: {
  readonly job: JobState<unknown>; readonly name: string;
  /** Takes no room while nothing runs: for jobs that no slider starts. */
  readonly collapse?: boolean;
}): JSX.Element {
  const { busy, error, stopped, share, text, stop, again } = job;
  if (error !== undefined) return <div class="message bad" role="alert"><p>{error}</p><button type="button" onClick={again}>Try again</button></div>;
  if (stopped) return <div class="message" role="status"><p>Stopped.</p><button type="button" onClick={again}>Start again</button></div>;
  return (
    <div class={`progress${busy ? "" : collapse ? " idle gone" : " idle"}`} data-busy={busy ? "yes" : "no"} data-name={`${name}-job`}>
      <span>{busy ? (text ?? "Computing") : "Ready"}</span>
      <progress max={1} value={share} aria-label={text ?? "Computing"} hidden={!busy} />
      <button type="button" class="small" onClick={stop} disabled={!busy}>Stop</button>
    </div>
  );
}

/** A sentence that screen readers hear when it changes. */
export function Live({ children, name }: { readonly children: ComponentChildren; readonly name: string }): JSX.Element {
  return <p class="summary" role="status" data-name={name}>{children}</p>;
}

/** What a promise says and what it does not. */
export function Promises({ promised, not }: { readonly promised: readonly ComponentChildren[]; readonly not: readonly ComponentChildren[] }): JSX.Element {
  return (
    <div class="promises">
      <section><h3>What is promised</h3><ul>{promised.map((line) => <li>{coded(line)}</li>)}</ul></section>
      <section><h3>What is not</h3><ul>{not.map((line) => <li>{coded(line)}</li>)}</ul></section>
    </div>
  );
}

/** Text with its `names` set as code. */
function coded(line: ComponentChildren): ComponentChildren {
  return typeof line === "string" ? line.split("`").map((piece, i) => (i % 2 === 1 ? <code>{piece}</code> : piece)) : line;
}

/** A table that may be wider than a phone. */
export function Table({ caption, head, rows, name }: {
  readonly caption: string; readonly head: readonly string[]; readonly rows: readonly (readonly ComponentChildren[])[]; readonly name?: string;
}): JSX.Element {
  return (
    <div class="table" role="region" tabIndex={0} aria-label={caption}>
      <table data-name={name}>
        <caption>{caption}</caption>
        <thead><tr>{head.map((text) => <th scope="col">{text}</th>)}</tr></thead>
        <tbody>{rows.map((row) => <tr>{row.map((cell, i) => (i === 0 ? <th scope="row">{cell}</th> : <td>{cell}</td>))}</tr>)}</tbody>
      </table>
    </div>
  );
}

/** The numbers behind a picture. */
export function Numbers(props: Parameters<typeof Table>[0]): JSX.Element {
  return <details class="numbers"><summary>The numbers: {props.caption}</summary><Table {...props} /></details>;
}
