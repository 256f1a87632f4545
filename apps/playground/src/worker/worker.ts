import type { Control, Modules, Reply, Request } from "./protocol.ts";

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
const running = new Map<number, AbortController>();

const modules: { readonly [Name in keyof Modules]: () => Promise<Modules[Name]> } = {
  data: () => import("../jobs/data.ts"),
  calibrate: () => import("../jobs/calibrate.ts"),
  compare: () => import("../jobs/compare.ts"),
  unknown: () => import("../jobs/unknown.ts"),
  shift: () => import("../jobs/shift.ts"),
  sets: () => import("../jobs/sets.ts"),
  intents: () => import("../jobs/intents.ts"),
  newIntents: () => import("../jobs/newIntents.ts"),
  teach: () => import("../jobs/teach.ts"),
  decoding: () => import("../jobs/decoding.ts"),
  spans: () => import("../jobs/spans.ts"),
  pianoRoll: () => import("../jobs/pianoRoll.ts"),
  speed: () => import("../jobs/speed.ts"),
  gpu: () => import("../jobs/gpu.ts"),
};

const reply = (message: Reply): void => scope.postMessage(message, []);

scope.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.kind === "stop") running.get(data.id)?.abort(new DOMException("Stopped", "AbortError"));
  else void run(data);
});

async function run({ id, module, name, args }: Request & { kind: "run" }): Promise<void> {
  const controller = new AbortController(), { signal } = controller;
  running.set(id, controller);
  let told = 0;
  const control: Control = {
    signal,
    progress: (share, text) => {
      const now = performance.now();
      if (text === undefined && share < 1 && now - told < 50) return;
      told = now;
      reply({ kind: "progress", id, share, text });
    },
  };
  try {
    const jobs = (await modules[module]()) as unknown as Record<string, (args: unknown, control: Control) => unknown>;
    // A slider sends many jobs: those that were replaced while they waited are never begun.
    await new Promise((resume) => setTimeout(resume));
    signal.throwIfAborted();
    const result = await jobs[name](args, control);
    signal.throwIfAborted();
    reply({ kind: "done", id, result });
  } catch (cause) {
    const { name, message } = cause instanceof Error || cause instanceof DOMException ? cause : new Error(String(cause));
    reply({ kind: "failed", id, name, message });
  } finally {
    running.delete(id);
  }
}
