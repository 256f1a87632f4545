import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import type { GpuReport } from "../jobs/gpu.ts";
import { agrees, worthFrom, type Differences, type GpuFigure } from "../jobs/gpuFigures.ts";
import { count, percent, time } from "../ui/format.ts";
import { Live, Progress, Promises, Stat, Stats, Table } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

type Found = Exclude<GpuReport, { readonly missing: string }>;

export default function GpuPanel(): JSX.Element {
  const [round, setRound] = useState(0);
  const job = useJob(round > 0 ? (control) => run("gpu", "measure", null, control) : undefined, [round]);
  const report = job.value;
  return (
    <>
      <p class="lead">Does the WebGPU backend work on your machine, does it give the same answers as WebAssembly, and from which size on is it worth it? Press the button: nothing is asked of the GPU before.</p>
      <section class="card" aria-label="Measurement">
        <div class="row"><button type="button" name="measure" onClick={() => setRound(round + 1)} disabled={round > 0 && job.busy}>{report ? "Measure again" : "Measure (5 to 20 seconds)"}</button></div>
        {round > 0 && <Progress job={job} name="gpu" collapse />}
        {report && ("missing" in report ? <Missing reason={report.missing} /> : <Figures found={report} />)}
      </section>
      {report && !("missing" in report) && <Tables found={report} />}
      <Promises
        promised={["No time without a check: both backends compute from the same numbers first, and an operation whose results differ by more than rounding gets no time.", "The GPU, the GPU with reading, WebAssembly and copying run in turn; what is shown are medians of up to 5 samples.", "Nothing leaves the page: the figures are copied only where you paste them."]}
        not={["The way there: on the GPU the numbers are there already, as the outputs of a model that runs on it; for WebAssembly they are in memory. Moving them from one to the other is not in these times.", "That “GPU alone” is the GPU's own time: of small sizes it is what the browser needs to dispatch, and what lies in its caches can be faster than copying from its memory.", "Steady numbers: other tabs, power saving and a coarse browser clock move them. Measure again to see by how much."]} />
    </>
  );
}

function Missing({ reason }: { readonly reason: string }): JSX.Element {
  return (
    <>
      <div class="verdict plain" role="status" data-name="gpu-missing"><strong>The backend does not work here.</strong>{reason}.</div>
      <ul class="hint steps">
        <li>WebGPU needs https or localhost, and a recent browser: Chrome or Edge 113, Safari 26, or Firefox 141 on Windows, and later.</li>
        <li>Hardware acceleration must be switched on in the browser's settings. On Linux, and with drivers that the browser does not trust, WebGPU can be behind a switch: <code>chrome://gpu</code> or <code>about:support</code> says why.</li>
        <li>Without it the same operations run on WebAssembly, <code>@logits/core-wasm</code>: the panel <a href="#speed">Speed</a> measures them.</li>
      </ul>
    </>
  );
}

function isSoftware(adapter: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|basic render|software/i.test(adapter);
}

/** Bytes that are read and written once, in GB/s. */
function rate(elements: number, ms: number): number {
  return (8 * elements) / ms / 1e6;
}

/** What can be posted. */
function asJson({ adapter, subgroups, variant, version, figures, left }: Found): string {
  const rounded = (ms: number | undefined): number | undefined => ms && +ms.toPrecision(4);
  return JSON.stringify({
    adapter, subgroups, userAgent: navigator.userAgent, coreWasm: `${version} ${variant}`, unit: "ms",
    figures: figures.map(({ name, size, differences: { largest, allowed, relative, differing, integers }, times }) => ({
      name, size, largestDifference: largest, allowed, relative, integersThatDiffer: differing, integers, ...(times && { gpu: rounded(times.gpu), gpuAndRead: rounded(times.read), wasm: rounded(times.wasm), copy: rounded(times.copy), rounds: times.rounds }),
    })),
    left,
  }, null, 1);
}

function Figures({ found }: { readonly found: Found }): JSX.Element {
  const { adapter, subgroups, figures, left, rounds } = found, same = figures.filter(({ differences }) => agrees(differences)), fewest = Math.min(...same.map(({ times }) => times!.rounds));
  const wins = (way: "gpu" | "read"): number => same.filter(({ times }) => times![way] < times!.wasm).length;
  const [copied, setCopied] = useState<boolean | undefined>();
  const json = asJson(found);
  return (
    <>
      <Stats>
        <Stat name="adapter" label="Adapter" value={adapter || "not named"} note={isSoftware(adapter) ? "software: these are figures of the processor, not of a GPU" : adapter ? undefined : "the browser keeps the name to itself"} />
        <Stat name="subgroups" label="Subgroups" value={subgroups ? "used" : "not used"} note={subgroups ? "lanes add up among themselves" : "the device has none"} />
        <Stat name="agreeing" label="Results as WebAssembly's" value={`${same.length} of ${figures.length}`} note={<>of <code>@logits/core-wasm</code> ({found.variant}) and <code>@logits/sampling</code></>} />
      </Stats>
      <Live name="gpu-summary">
        {same.length === figures.length ? `All ${same.length} results agree.` : `${figures.length - same.length} of ${figures.length} results differ by more than rounding: no time is shown for them. Please report it, with the figures.`}
        {same.length > 0 && ` Where results stay on the GPU, it takes less time than WebAssembly in ${wins("gpu")} of ${same.length} cases; where a small result is read each time, in ${wins("read")}.`}
        {fewest < rounds && ` The device is slow for these sizes: some medians are of ${fewest === 1 ? "1 sample" : `${fewest} samples`} instead of ${rounds}.`}
        {left.length > 0 && ` Time was up before ${left.length} of ${figures.length + left.length} cases, which are left out.`}
      </Live>
      <div class="row">
        <button type="button" class="small" name="copy" onClick={() => {
          // Without the permission, or in an old browser, the text is shown instead.
          Promise.resolve().then(() => navigator.clipboard.writeText(json)).then(() => setCopied(true), () => setCopied(false));
        }}>Copy as JSON</button>
        <span role="status" data-name="copied">{copied === true ? "Copied: adapter, browser and all figures." : copied === false ? "The browser does not allow copying. The text:" : ""}</span>
      </div>
      {copied === false && <textarea readOnly aria-label="Figures as JSON" name="json" rows={10} value={json} onFocus={(event) => event.currentTarget.select()} />}
    </>
  );
}

function apart({ largest, allowed, relative, differing, integers }: Differences): JSX.Element {
  const parts = [...(integers > 0 ? [`${count(differing)} of ${count(integers)} ${integers === 1 ? "integer" : "integers"}`] : []), ...(integers === 0 || largest > 0 ? [largest === 0 ? "nothing" : `${largest.toExponential(1)}${relative ? " of the value" : ""}`] : [])];
  return <span class={largest <= allowed && differing === 0 ? "" : "wrong"}>{parts.join(", ")}</span>;
}

function faster({ times }: GpuFigure): ComponentChildren {
  if (!times) return "no time";
  const { read, wasm } = times, ratio = Math.max(read, wasm) / Math.min(read, wasm), text = `${ratio < 99.5 ? ratio.toPrecision(2) : Math.round(ratio)}\u00a0×`;
  return read < wasm ? <strong>GPU {text}</strong> : <>WebAssembly {text}</>;
}

function Tables({ found: { figures } }: { readonly found: Found }): JSX.Element {
  const names = [...new Set(figures.map(({ name }) => name))], ofName = (name: string): GpuFigure[] => figures.filter((figure) => figure.name === name);
  const worth = (list: readonly GpuFigure[], way: "gpu" | "read"): ComponentChildren => {
    const from = worthFrom(list, way);
    return from === undefined ? "not at the sizes measured" : <strong>from {from.size}</strong>;
  };
  const copies = figures.filter(({ times }) => times?.copy !== undefined);
  return (
    <>
      <section class="card left-table" aria-label="From which size on">
        <Table caption="From which size on the GPU takes less time than WebAssembly" name="gpu-worth" head={["Operation", "The result stays on the GPU", "A small result is read each time"]}
          rows={names.map((name) => [name, worth(ofName(name), "gpu"), worth(ofName(name), "read")])} />
      </section>
      <section class="card" aria-label="Every operation">
        <Table caption="Median time of one call, after the results were compared" name="gpu-times" head={["Operation", "Results differ by", "GPU alone", "GPU, and read", "WebAssembly", "Faster, with reading"]} rows={figures.map((figure) => {
          const { name, size, differences, times } = figure, cell = (ms: number | undefined): string => (ms === undefined ? "–" : time(ms));
          return [<>{name} <small>{size}</small></>, apart(differences), cell(times?.gpu), cell(times?.read), cell(times?.wasm), faster(figure)];
        })} />
        <p class="hint">GPU alone: many calls are dispatched, then one wait, divided by their number. And read: each call waits for its integers (the indices, the largest classes, the tokens), or for one element where it has none. Integers that differ are counted; of other numbers it is the largest difference from WebAssembly's.</p>
      </section>
      {copies.length > 0 && (
        <section class="card" aria-label="Memory">
          <Table caption="softmax beside copying as many bytes from buffer to buffer" name="gpu-rates" head={["Size", "softmax, GB/s", "Copying, GB/s", "Share"]} rows={copies.map(({ size, work, times }) => [
            size, rate(work, times!.gpu).toPrecision(3), rate(work, times!.copy!).toPrecision(3), percent(times!.copy! / times!.gpu, 0),
          ])} />
          <p class="hint">Every number read and written once, 8 bytes. An operation that did nothing but that would reach 100 %.</p>
        </section>
      )}
    </>
  );
}
