import { PLAN, RedCheckError, alternate, compare, gate, type Check } from "../harness.ts";
import type { Contender } from "../types.ts";
import type { Case, Context, Outcome } from "./suite.ts";

/** One round of work, and its result. */
export type Work = () => ArrayLike<number>;

/** What a case against plain JavaScript prepares. */
export interface Parts {
  readonly ours: Work;
  readonly loops: Work;
  /** Largest relative difference of the two results, of numbers below 1e-3 relative to that. */
  readonly tolerance: number;
  /** And absolute. */
  readonly absolute?: number;
  /** Timed beside them, without a check. */
  readonly beside?: Readonly<Record<string, () => void>>;
  readonly figures: (median: (who: string) => number) => Record<string, number>;
}

function contender(work: () => ArrayLike<number> | void): Contender {
  let values: ArrayLike<number> = [];
  return { run: () => void (values = work() ?? []), read: () => ({ values }), dispose: () => {} };
}

/** Ours against plain JavaScript, which is also what it is checked against. */
export function versus(name: string, reference: string, prepare: (context: Context) => Promise<Parts>): Case {
  return {
    name,
    async run(context): Promise<Outcome> {
      const { ours: work, loops, tolerance, absolute = 0, beside = {}, figures } = await prepare(context), label = `${name} (${context.variant})`;
      const want = Float64Array.from(loops());
      const check: Check = ({ values }) => {
        if (values.length !== want.length) return { failure: `${values.length} numbers instead of ${want.length}` };
        for (let i = 0; i < want.length; i++) if (!(Math.abs(values[i] - want[i]) <= absolute + tolerance * Math.max(1e-3, Math.abs(want[i])))) return { failure: `${values[i]} instead of ${want[i]} at ${i}` };
        return {};
      };
      const ours = contender(work);
      // The loops are what is checked against: nothing to refuse.
      const { refused } = await gate(label, ours, new Map(), check);
      const timings = await alternate(new Map([["ours", ours], ["loops", contender(loops)], ...Object.entries(beside).map(([who, run]) => [who, contender(run)] as const)]), { ...PLAN, clock: context.clock, rounds: 7 });
      const after = check(await ours.read(), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${label}: our result went wrong while timing: ${after.failure}`);
      const of = (who: string): NonNullable<ReturnType<typeof timings.get>> => timings.get(who) as NonNullable<ReturnType<typeof timings.get>>;
      return { ours: of("ours").median, peers: { loops: of("loops").median }, ...compare(of("ours"), new Map([["loops", of("loops")]])), refused, figures: figures((who) => timings.get(who)?.median ?? Number.NaN), rounds: 7, reference };
    },
  };
}
