import type { Answer, Contender } from "./types.ts";

export interface Timing {
  median: number;
  /** Milliseconds of one run, one value per round; NaN for a round that this one sat out. */
  samples: number[];
}

/** `wall` is the time that passes; `cpu` is the time that this thread was running, which other processes on the machine do not lengthen. Idle machine: the same. */
export type Clock = "wall" | "cpu";

const CLOCKS: Record<Clock, () => number> = {
  wall: () => performance.now(),
  cpu() {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** Linux brings the thread's time up to date every 4 ms only. */
const SHORTEST: Record<Clock, number> = { wall: 0, cpu: 80 };

export interface Plan {
  clock: Clock;
  /** Each contender runs at least this long before anything is written down: V8 compiles hot WASM and JavaScript a second time within the first 0.3 to 0.6 s. */
  warmUpMs: number;
  /** A sample repeats short runs until it lasts about this long. */
  sampleMs: number;
  rounds: number;
  /** Of a contender whose samples would last longer than this in all, only as many are taken as fit, and three at least. The first one, ours, is sampled in every round. */
  budgetMs: number;
}

export const PLAN: Plan = { clock: "wall", warmUpMs: 600, sampleMs: 15, rounds: 11, budgetMs: 1200 };
const FEWEST = 3;

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median: expected at least one value, got none");
  const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("geometricMean: expected at least one value, got none");
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Milliseconds of one run, as the mean of `count` runs. Asynchronous contenders are awaited, synchronous ones are not. */
async function sample(contender: Contender, count: number, now: () => number): Promise<number> {
  const start = now();
  for (let i = 0; i < count; i++) {
    const pending = contender.run();
    if (pending !== undefined) await pending;
  }
  return (now() - start) / count;
}

/**
 * Times all contenders in turns, so that a change of the machine's speed meets each of them.
 * The order rotates from round to round: nobody always runs in the cache that the same neighbour left.
 */
export async function alternate(contenders: ReadonlyMap<string, Contender>, plan: Plan = PLAN): Promise<Map<string, Timing>> {
  const names = [...contenders.keys()], now = CLOCKS[plan.clock];
  const counts = new Map<string, number>(), shares = new Map<string, number>();
  for (const name of names) {
    const contender = contenders.get(name) as Contender;
    const start = performance.now(), sampleMs = Math.max(plan.sampleMs, SHORTEST[plan.clock]);
    // The count is found by the wall clock, and grows at most tenfold at a time: a first run may be compiled, or a clock may stand still.
    let count = 1, one = 0;
    do {
      one = await sample(contender, count, CLOCKS.wall);
      count = Math.max(1, Math.min(count * 10, Math.ceil(sampleMs / Math.max(one, 1e-6))));
    } while (performance.now() - start < plan.warmUpMs);
    counts.set(name, count);
    shares.set(name, name === names[0] ? plan.rounds : Math.min(plan.rounds, Math.max(FEWEST, Math.floor(plan.budgetMs / Math.max(one * count, 1e-6)))));
  }
  const samples = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = 0; round < plan.rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length], share = shares.get(name) as number;
      // Evenly over the rounds, the last one always.
      const takesPart = Math.floor(((round + 1) * share) / plan.rounds) > Math.floor((round * share) / plan.rounds);
      (samples.get(name) as number[]).push(takesPart ? await sample(contenders.get(name) as Contender, counts.get(name) as number, now) : Number.NaN);
    }
  }
  return new Map([...samples].map(([name, values]) => [name, { median: median(taken(values)), samples: values }]));
}

const taken = (values: readonly number[]): number[] => values.filter((ms) => !Number.isNaN(ms));

/** Fastest peer by median, its ratio to ours, and the median of the ratios within each round. */
export function compare(ours: Timing, peers: ReadonlyMap<string, Timing>): { ratio: number | null; fastest: string | null; pairedRatio: number | null } {
  let fastest: string | null = null;
  for (const [name, timing] of peers) if (fastest === null || timing.median < (peers.get(fastest) as Timing).median) fastest = name;
  if (fastest === null) return { ratio: null, fastest, pairedRatio: null };
  const best = peers.get(fastest) as Timing;
  return { ratio: best.median / ours.median, fastest, pairedRatio: median(taken(best.samples.map((ms, i) => ms / ours.samples[i]))) };
}

export class RedCheckError extends Error {
  override name = "RedCheckError";
}

export type Check = (answer: Answer, whose: "ours" | "peer") => { ulp?: number; failure?: string };

/**
 * Runs every contender once and holds its answer against the definition. Ours must pass: a red check throws, so no number is printed.
 * A peer that fails is left out and named.
 */
export async function gate(
  label: string, ours: Contender, peers: ReadonlyMap<string, Contender>, check: Check,
): Promise<{ ulp?: number; peersUlp: Record<string, number>; refused: Record<string, string> }> {
  const judge = async (contender: Contender, whose: "ours" | "peer"): Promise<ReturnType<Check>> => {
    await contender.run();
    return check(await contender.read(), whose);
  };
  const own = await judge(ours, "ours");
  if (own.failure !== undefined) throw new RedCheckError(`${label}: our result is wrong: ${own.failure}`);
  const peersUlp: Record<string, number> = {}, refused: Record<string, string> = {};
  for (const [name, peer] of peers) {
    const { ulp, failure } = await judge(peer, "peer");
    if (failure !== undefined) refused[name] = `wrong result: ${failure}`;
    else if (ulp !== undefined) peersUlp[name] = ulp;
  }
  return { ulp: own.ulp, peersUlp, refused };
}
