import { PLAN, RedCheckError, alternate, compare, gate, type Clock, type Plan } from "../harness.ts";
import { oursOf, type CoreWasm } from "../ours.ts";
import { checkOf } from "../reference.ts";
import type { BenchRecord, Contender, Mode, Peer, Problem, Variant } from "../types.ts";

/** What a case needs to run. */
export interface Context {
  variant: Variant;
  library: CoreWasm;
  peers: readonly Peer[];
  seed: number;
  clock: Clock;
}

export type Outcome = Omit<BenchRecord, "suite" | "case" | "variant" | "meta">;

export interface Case {
  name: string;
  run(context: Context): Promise<Outcome>;
}

export interface Suite {
  name: string;
  /** One line for `--list`. */
  about: string;
  cases: readonly Case[];
}

/** Cases whose name contains the filter; a name that equals it is meant alone (50000x10 is part of 50000x100). */
export function casesOf(suite: Suite, filter: string): readonly Case[] {
  const exact = suite.cases.filter(({ name }) => name === filter);
  return exact.length > 0 ? exact : suite.cases.filter(({ name }) => name.includes(filter));
}

interface Settings {
  problem(seed: number): Problem;
  mode?: Mode;
  plan?: Partial<Plan>;
  /** Contenders that are neither ours nor a library: the multiply-add rate of the core. */
  extra?(variant: Variant): Map<string, Contender>;
  /** Derived figures from the medians in ms (`ours`, peers and extras by name). */
  figures(median: (name: string) => number): Record<string, number>;
  /** Peers that are shown without taking part in `ratio`. */
  shownOnly?: (name: string) => boolean;
}

/** A case that every peer may enter: prepare, check all against the definition, then time in turns. */
export function problemCase(name: string, settings: Settings): Case {
  return {
    name,
    async run(context): Promise<Outcome> {
      const { variant, library, peers, seed, clock } = context, { mode = "resident", plan, shownOnly = () => false } = settings;
      const problem = settings.problem(seed), check = checkOf(problem);
      const ours = oursOf(library, problem, mode), others = new Map<string, Contender>();
      for (const peer of peers) {
        const contender = await peer.prepare(problem, mode);
        if (contender !== undefined) others.set(peer.name, contender);
      }
      const { ulp, peersUlp, refused } = await gate(`${name} (${variant})`, ours, others, check);
      for (const refusedName of Object.keys(refused)) { others.get(refusedName)?.dispose(); others.delete(refusedName); }
      const extra = settings.extra?.(variant) ?? new Map<string, Contender>();
      const timings = await alternate(new Map([["ours", ours], ...others, ...extra]), { ...PLAN, clock, ...plan });
      // The last result is checked again: a kernel that goes wrong only when it runs often would be caught here.
      const after = check(await ours.read(), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${name} (${variant}): our result went wrong while timing: ${after.failure}`);
      for (const contender of [ours, ...others.values(), ...extra.values()]) contender.dispose();
      const own = timings.get("ours") as NonNullable<ReturnType<typeof timings.get>>;
      const counted = (who: string): boolean => peers.some(({ name, wasm }) => name === who && wasm) && !shownOnly(who);
      const median = (who: string): number => timings.get(who)?.median ?? Number.NaN;
      return {
        ours: own.median,
        peers: Object.fromEntries([...others.keys()].map((who) => [who, median(who)])),
        ...compare(own, new Map([...timings].filter(([who]) => counted(who)))),
        ulp, peersUlp, refused,
        figures: settings.figures(median),
        rounds: own.samples.length,
      };
    },
  };
}
