import type { Control, Modules, Reply, Request } from "./protocol.ts";

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (cause: Error) => void;
  readonly control: Control;
}

type Job<Module extends keyof Modules, Name extends keyof Modules[Module]> = Modules[Module][Name] extends (args: infer Args, control: Control) => infer Result
  ? { readonly args: Args; readonly result: Awaited<Result> }
  : never;

let worker: Worker | undefined;
let next = 1;
const waiting = new Map<number, Waiting>();

/** Runs a job in the Worker. The signal stops it: the promise rejects at once, the Worker at its next pause. */
export function run<Module extends keyof Modules, Name extends keyof Modules[Module] & string>(
  module: Module, name: Name, args: Job<Module, Name>["args"], control: Control,
): Promise<Job<Module, Name>["result"]> {
  return new Promise((resolve, reject) => {
    const id = next++, { signal } = control;
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    waiting.set(id, { resolve: resolve as (result: unknown) => void, reject, control });
    signal.addEventListener("abort", () => {
      if (!waiting.delete(id)) return;
      post({ kind: "stop", id });
      reject(signal.reason as Error);
    });
    post({ kind: "run", id, module, name, args });
  });
}

function post(message: Request): void {
  worker ??= started();
  worker.postMessage(message, []);
}

function started(): Worker {
  const fresh = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "logits" });
  fresh.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
    const entry = waiting.get(data.id);
    if (entry === undefined) return;
    if (data.kind === "progress") {
      entry.control.progress(data.share, data.text);
      return;
    }
    waiting.delete(data.id);
    if (data.kind === "done") entry.resolve(data.result);
    else entry.reject(Object.assign(new Error(data.message), { name: data.name }));
  });
  fresh.addEventListener("error", (event) => {
    event.preventDefault();
    const cause = new Error(`The Worker failed: ${event.message || "it could not be loaded"}`);
    for (const { reject } of waiting.values()) reject(cause);
    waiting.clear();
    worker = undefined;
  });
  return fresh;
}
