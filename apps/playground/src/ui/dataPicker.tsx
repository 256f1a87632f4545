import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { EMBEDDED } from "../data/catalogue.ts";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";
import { Progress } from "./parts.tsx";
import { count } from "./format.ts";
import type { Shared } from "./shared.ts";

const OWN = "own";

interface Chosen {
  readonly files: readonly File[];
  readonly input: "logits" | "probabilities";
}

/** Which of the files are what, by their names; undefined: not clear. */
function roles(files: readonly File[]): { readonly logits: File; readonly labels: File | undefined; readonly outliers: File | undefined } | string {
  const outliers = files.find((file) => /outlier|ood|unknown/i.test(file.name));
  const rest = files.filter((file) => file !== outliers);
  const labels = rest.find((file) => /label|target|truth|(?:^|[^a-z])y(?:[^a-z]|$)/i.test(file.name));
  const scores = rest.filter((file) => file !== labels);
  if (scores.length !== 1) return scores.length === 0 ? "There is no file of scores among them." : `Which is which? Name the file of the labels “labels…”, that of the outliers “outliers…”: ${scores.map((file) => file.name).join(", ")}.`;
  return { logits: scores[0], labels, outliers };
}

/** Chooses the data of the panels: an embedded set or the visitor's files. */
export function DataPicker({ shared }: { readonly shared: Shared }): JSX.Element {
  const { set, choose, info, setJob, seed, setSeed } = shared;
  const id = useId();
  const [mode, setMode] = useState(EMBEDDED.some((entry) => entry.key === set) ? set : OWN);
  const [chosen, setChosen] = useState<Chosen | undefined>();
  const [input, setInput] = useState<"logits" | "probabilities">("logits");
  const [over, setOver] = useState(false);
  const found = chosen && roles(chosen.files);
  const job = useJob(chosen && typeof found === "object" ? (control) => run("data", "open", { ...found, input: chosen.input }, control).then((opened) => {
    choose(opened.key);
    return opened;
  }) : undefined, [chosen]);
  const take = (files: Iterable<File> | null): void => {
    const list = [...(files ?? [])];
    if (list.length > 0) setChosen({ files: list, input });
  };
  return (
    <section class="card data" aria-label="Data">
      <div class="field">
        <label for={`${id}set`}>Data</label>
        <select id={`${id}set`} name="set" value={mode} onChange={(event) => {
          setMode(event.currentTarget.value);
          if (event.currentTarget.value !== OWN) choose(event.currentTarget.value);
        }}>
          {EMBEDDED.map(({ key, title }) => <option key={key} value={key} selected={mode === key}>{title}</option>)}
          <option value={OWN} selected={mode === OWN}>Your own files…</option>
        </select>
      </div>
      {mode === OWN && (
        <div class={`drop${over ? " over" : ""}`}
          onDragOver={(event) => { event.preventDefault(); setOver(true); }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer?.files ?? null); }}>
          <div class="field">
            <label for={`${id}files`}>Drop or choose files: scores [rows × classes] and labels</label>
            <input id={`${id}files`} name="files" type="file" multiple accept=".npy,.npz,.csv,.tsv,.json,.ndjson,.jsonl,.safetensors,.parquet" onChange={(event) => take(event.currentTarget.files)} />
          </div>
          <div class="field">
            <label for={`${id}input`}>The scores are</label>
            <select id={`${id}input`} name="input" value={input} onChange={(event) => {
              const value = event.currentTarget.value as "logits" | "probabilities";
              setInput(value);
              if (chosen) setChosen({ ...chosen, input: value });
            }}>
              <option value="logits">logits (or log-probabilities)</option>
              <option value="probabilities">probabilities</option>
            </select>
          </div>
          <p class="hint">.npy, .npz, .csv, .json, .safetensors or .parquet. One file with the keys “logits” and “labels”, or two with “labels” in the name of one; a third with “outliers” in its name holds scores of rows that belong to no class. The files stay on this machine.</p>
          {typeof found === "string" && <div class="message bad" role="alert"><p>{found}</p></div>}
          {chosen && typeof found === "object" && <Progress job={job} name="open" collapse />}
        </div>
      )}
      {mode !== OWN || job.value ? (
        <p class="hint" data-name="set-info">
          {info ? <>{info.about} <strong>{count(info.rows)}</strong> rows, <strong>{info.classes}</strong> classes{info.outliers > 0 && <>, <strong>{count(info.outliers)}</strong> rows of no class</>}. {info.notes.length > 0 && `Note: ${info.notes.join("; ")}. `}</> : "Loading. "}
        </p>
      ) : null}
      {setJob.error !== undefined && <Progress job={setJob} name="set" />}
      <div class="seed">
        <p class="hint">Split by seed <strong data-name="seed">{seed}</strong>: one half of the rows fits, a quarter calibrates, a quarter tests. No row serves twice.</p>
        <button type="button" class="small" name="split" onClick={() => setSeed(seed + 1)}>Split anew</button>
      </div>
    </section>
  );
}
