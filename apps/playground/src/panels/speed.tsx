import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Timing } from "../jobs/speed.ts";
import { time } from "../ui/format.ts";
import { Live, Progress, Promises, Table } from "../ui/parts.tsx";
import { run } from "../worker/client.ts";
import { useJob } from "../worker/useJob.ts";

function ratio({ library, plain }: Timing): string {
  if (library === undefined || plain === undefined) return "no number";
  return plain >= library ? `${(plain / library).toFixed(1)} × faster` : `${(library / plain).toFixed(1)} × slower`;
}

export default function Speed(): JSX.Element {
  const [round, setRound] = useState(0);
  const job = useJob(round > 0 ? (control) => run("speed", "measure", null, control) : undefined, [round]);
  const table = job.value;
  const fastest = table?.timings.filter((timing) => timing.library !== undefined).map((timing) => timing.plain! / timing.library!);
  return (
    <>
      <p class="lead">How fast is it on your machine? The same work by this library (WebAssembly SIMD) and by plain JavaScript loops as a careful programmer writes them.</p>
      <section class="card" aria-label="Measurement">
        <div class="row"><button type="button" name="measure" onClick={() => setRound(round + 1)} disabled={round > 0 && job.busy}>{table ? "Measure again" : "Measure (about 3 seconds)"}</button></div>
        {round > 0 && <Progress job={job} name="speed" collapse />}
        {table && (
          <>
            <Table caption="Median time of one call" name="speed" head={["Operation", "Library", "This library", "Plain loops", "Results differ by"]} rows={table.timings.map((timing) => [
              <>{timing.name} <small>{timing.size}</small></>, <strong>{ratio(timing)}</strong>, timing.library === undefined ? "–" : time(timing.library), timing.plain === undefined ? "–" : time(timing.plain),
              timing.error === 0 ? "nothing" : <span class={timing.error <= timing.allowed ? "" : "wrong"}>{timing.error.toExponential(1)}</span>,
            ])} />
            <Live name="speed-summary">{fastest!.length === table.timings.length
              ? `All ${table.timings.length} results agree. The library takes from ${(1 / Math.max(...fastest!)).toFixed(2)} to ${(1 / Math.min(...fastest!)).toFixed(2)} of the time of plain loops here.`
              : `${table.timings.length - fastest!.length} of ${table.timings.length} results differ by more than rounding: no time is shown for them.`}</Live>
            <p class="hint">Instruction set: <strong data-name="variant">{table.variant}</strong>. {navigator.userAgent}</p>
          </>
        )}
      </section>
      <Promises
        promised={["No time without a check: both results are compared first, and a pair that differs by more than rounding gets no number.", "Library and loops run in turn, each sample at least 20 ms of repeated calls; what is shown is the median of 9 samples."]}
        not={["That your program gains as much: times include the library's copies into WebAssembly memory, but not what surrounds the call.", "Steady numbers: other tabs, power saving and a coarse browser clock move them. Measure again to see by how much.", "That the library always wins: small rows can be faster in plain loops."]} />
    </>
  );
}
