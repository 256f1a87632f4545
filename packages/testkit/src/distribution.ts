import { assert, runChecks, thrownBy, type Check, type Result } from "./checks.ts";
import { expectClose } from "./compare.ts";
import { testRandom } from "./random.ts";

/** What the battery needs of a distribution over structures; `Structure` is how one is handed over. */
export interface DistributionLike<Structure> {
  score(structure: Structure): ArrayLike<number>;
  logPartition(): ArrayLike<number>;
  logProb(structure: Structure): ArrayLike<number>;
  argmax(): { readonly labels: Result; readonly score: ArrayLike<number> };
  topK(k: number): { readonly labels: Result; readonly score: ArrayLike<number> };
  sample(random: { uint32(): number; uniform(): number; integer(n: number): number; permutation(n: number): Int32Array }, count: number): Result;
  entropy(): ArrayLike<number>;
  crossEntropy(other: this): ArrayLike<number>;
  klDivergence(other: this): ArrayLike<number>;
}

/** A distribution with all its structures. */
export interface DistributionCase<Structure, D extends DistributionLike<Structure> = DistributionLike<Structure>> {
  readonly name: string;
  /** One item: B = 1. */
  make(): D;
  /** Another distribution over the same structures, for cross-entropies. */
  other?(): D;
  /** Every structure as labels, with its score by the definition and that under `other`; impossible ones too. */
  readonly structures: readonly { readonly labels: readonly number[]; readonly score: number; readonly other?: number }[];
  /** Labels as the structure that is handed over. */
  structure(labels: readonly number[]): Structure;
  /** Marginals as one list, and the places in it of the parts of a structure. */
  marginals(distribution: D): ArrayLike<number>;
  parts(labels: readonly number[]): readonly number[];
  /** log of the number of possible structures, where the distribution says it. */
  logCount?(distribution: D): number;
}

/** Bounds of a battery. */
export interface DistributionTolerance {
  /** Absolute, of logarithms. Default 3e-6: float32 weights. */
  readonly log?: number;
  /** Absolute, of probabilities. Default 3e-6. */
  readonly probability?: number;
}

/** 99.9 % points of chi-square with 1 to 30 degrees of freedom, by Wilson and Hilferty beyond. */
function chiSquareLimit(degrees: number): number {
  const z = 3.0902, a = 2 / (9 * degrees);
  return degrees * (1 - a + z * Math.sqrt(a)) ** 3 + 1;
}

/**
 * The battery of a structured distribution, against the enumeration of all its structures.
 *
 * @example it.each(distributionChecks(cases))("$name", ({ run }) => run());
 */
export function distributionChecks<Structure, D extends DistributionLike<Structure>>(cases: readonly DistributionCase<Structure, D>[], tolerance: DistributionTolerance = {}): Check[] {
  const { log: atol = 3e-6, probability = 3e-6 } = tolerance;
  return cases.flatMap((given): Check[] => {
    const { structures, structure } = given;
    const possible = structures.filter(({ score }) => score > -Infinity).toSorted((a, b) => b.score - a.score);
    const top = possible[0]?.score ?? -Infinity;
    const total = possible.reduce((sum, { score }) => sum + Math.exp(score - top), 0);
    const logZ = top + Math.log(total);
    const p = ({ score }: { readonly score: number }): number => Math.exp(score - logZ);
    const named = (name: string, run: (d: D) => void): Check => ({ name: `${given.name}: ${name}`, run: () => run(given.make()) });
    const scores = named("scores every structure", (d) => structures.forEach(({ labels, score }) => expectClose(d.score(structure(labels))[0], score, { atol: 1e-9, rtol: 1e-12, label: labels.join() })));
    if (possible.length === 0) {
      return [scores, named("has an empty support: log Z is -Infinity, the rest names it", (d) => {
        assert(d.logPartition()[0] === -Infinity, `log Z is ${d.logPartition()[0]}`);
        for (const query of ["argmax", "entropy"] as const) assert(/finite score/.test(thrownBy(query, () => d[query]()).message), `${query}: ${thrownBy(query, () => d[query]()).message}`);
        thrownBy("marginals", () => given.marginals(d));
        thrownBy("sample", () => d.sample(source(1), 1));
      })];
    }
    const scale = Math.max(1, Math.abs(logZ));
    return [
      scores,
      named("has the log partition of the enumeration", (d) => expectClose(d.logPartition()[0], logZ, { atol: atol * scale })),
      named("gives probabilities that sum to 1", (d) => expectClose(structures.reduce((sum, { labels }) => sum + Math.exp(d.logProb(structure(labels))[0]), 0), 1, { atol: 2 * atol * scale })),
      named("finds the best structure, and the k best in order", (d) => {
        const best = d.argmax();
        expectClose(best.score[0], top, { atol: 1e-9, rtol: 1e-12 });
        expectClose(d.score(structure(Array.from(best.labels.data)))[0], top, { atol: 1e-9, rtol: 1e-12 });
        const k = Math.min(possible.length + 1, 12), found = d.topK(k), size = found.labels.data.length / k;
        expectClose(Array.from(found.score), Array.from({ length: k }, (_, m) => possible[m]?.score ?? -Infinity), { atol: 1e-6, rtol: 1e-6 });
        const seen = new Set<string>();
        for (let m = 0; m < Math.min(k, possible.length); m++) {
          const labels = Array.from(found.labels.data).slice(m * size, (m + 1) * size);
          expectClose(d.score(structure(labels))[0], found.score[m], { atol: 1e-6, rtol: 1e-6 });
          seen.add(labels.join());
        }
        assert(seen.size === Math.min(k, possible.length), `${seen.size} different structures among the best ${k}`);
      }),
      named("has the marginals of the enumeration", (d) => {
        const got = given.marginals(d), want = new Float64Array(got.length);
        for (const s of possible) for (const part of given.parts(s.labels)) want[part] += p(s);
        expectClose(Array.from(got), want, { atol: probability });
      }),
      named("has the entropy of the enumeration", (d) => expectClose(d.entropy()[0], possible.reduce((sum, s) => sum - p(s) * (s.score - logZ), 0), { atol: 10 * atol * scale })),
      named("draws structures as often as they are probable", (d) => {
        const count = 4000, drawn = Array.from(d.sample(source(7), count).data), size = drawn.length / count;
        const seen = new Map<string, number>();
        for (let m = 0; m < count; m++) {
          const key = drawn.slice(m * size, (m + 1) * size).join();
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
        // Structures expected less than five times are one cell.
        let chi = 0, cells = 0, rareWant = 0, rareGot = count;
        for (const s of possible) {
          const want = count * p(s), got = seen.get(s.labels.join()) ?? 0;
          if (want < 5) {
            rareWant += want;
            continue;
          }
          rareGot -= got;
          chi += (got - want) ** 2 / want;
          cells++;
        }
        if (rareWant >= 1) {
          chi += (rareGot - rareWant) ** 2 / rareWant;
          cells++;
        } else assert(rareGot <= 12, `${rareGot} rare or impossible structures were drawn, ${rareWant.toFixed(2)} expected`);
        if (cells > 1) assert(chi < chiSquareLimit(cells - 1), `chi-square ${chi.toFixed(1)} over ${cells} cells`);
        for (const key of seen.keys()) assert(possible.some(({ labels }) => labels.join() === key), `${key} was drawn, which is impossible`);
      }),
      ...(given.other ? [named("has the cross-entropy and divergence of the enumeration, 0 to itself", (d) => {
        const q = given.other!(), others = structures.filter((s) => s.other! > -Infinity);
        const high = Math.max(...others.map((s) => s.other!)), logQ = high + Math.log(others.reduce((sum, s) => sum + Math.exp(s.other! - high), 0));
        const cross = possible.reduce((sum, s) => sum - p(s) * (s.other! - logQ), 0);
        const bound = { atol: 20 * atol * Math.max(scale, Math.abs(logQ)) };
        expectClose(d.crossEntropy(q)[0], cross, bound);
        expectClose(d.klDivergence(q)[0], cross - possible.reduce((sum, s) => sum - p(s) * (s.score - logZ), 0), bound);
        expectClose(d.klDivergence(d)[0], 0, bound);
      })] : []),
      ...(given.logCount ? [named("counts its possible structures", (d) => expectClose(given.logCount!(d), Math.log(possible.length), { atol: 1e-9 }))] : []),
    ];
  });
}

/** Runs the battery in one call; fails with the name of the assertion. */
export function checkDistribution<Structure, D extends DistributionLike<Structure>>(name: string, cases: readonly DistributionCase<Structure, D>[], tolerance: DistributionTolerance = {}): void {
  runChecks(name, distributionChecks(cases, tolerance));
}

function source(seed: number): { uint32(): number; uniform(): number; integer(n: number): number; permutation(n: number): Int32Array } {
  const random = testRandom(seed);
  return { uniform: () => Math.max(2 ** -53, random.uniform()), integer: random.integer, uint32: () => Math.floor(random.uniform() * 2 ** 32), permutation: (n) => Int32Array.from(random.permutation(n)) };
}
