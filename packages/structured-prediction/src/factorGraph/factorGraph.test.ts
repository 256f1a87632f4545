import { distributionChecks, expectClose, finiteDifferenceGradient, testRandom, type DistributionCase } from "@logits/testkit";
import { tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { LinearChain } from "../linearChain.ts";
import { FactorGraph, type Factor } from "./factorGraph.ts";
import { skipChain } from "./skipChain.ts";

const random = testRandom(21);
interface Plan { readonly name: string; readonly cardinalities: readonly number[]; readonly scopes: readonly (readonly number[])[]; readonly tree?: boolean }

const plans: readonly Plan[] = [
  { name: "a chain", cardinalities: [3, 3, 3, 3], scopes: [[0], [0, 1], [1, 2], [3, 2], [3]], tree: true },
  { name: "a star with a leaf of one value", cardinalities: [2, 3, 1, 4], scopes: [[1, 0], [1, 2], [3, 1], [1]], tree: true },
  { name: "a tree with a factor of three variables", cardinalities: [2, 2, 3, 2, 2], scopes: [[2, 0, 1], [3, 2], [4, 3]], tree: true },
  { name: "two parts and a variable alone", cardinalities: [2, 3, 2, 2, 3], scopes: [[0, 1], [3, 2]], tree: true },
  { name: "a loop", cardinalities: [2, 3, 2, 3], scopes: [[0, 1], [1, 2], [2, 3], [3, 0], [0]] },
  { name: "a grid", cardinalities: [2, 2, 2, 2, 2, 2], scopes: [[0, 1], [1, 2], [3, 4], [4, 5], [0, 3], [1, 4], [2, 5]] },
  { name: "a clique, and a pair twice", cardinalities: [2, 3, 2], scopes: [[0, 1], [1, 0], [1, 2], [2, 0], [0, 1, 2]] },
];
const size = (cardinalities: readonly number[], scope: readonly number[]): number => scope.reduce((product, v) => product * cardinalities[v], 1);
const drawn = ({ cardinalities, scopes }: Plan, scale: number, impossible: number): Factor[] => scopes.map((variables) => ({ variables, scores: Array.from({ length: size(cardinalities, variables) }, () => (random.uniform() < impossible ? -Infinity : scale * random.normal())) }));
const assignments = (cardinalities: readonly number[]): number[][] => cardinalities.reduce<number[][]>((all, c) => all.flatMap((y) => Array.from({ length: c }, (_, x) => [...y, x])), [[]]);
const element = (cardinalities: readonly number[], { variables }: Factor, y: readonly number[]): number => variables.reduce((at, v) => at * cardinalities[v] + y[v], 0);
const scoreOf = (cardinalities: readonly number[], factors: readonly Factor[], y: readonly number[]): number => factors.reduce((sum, f) => sum + f.scores[element(cardinalities, f, y)], 0);
const flat = ({ variables, factors }: { readonly variables: readonly Float64Array[]; readonly factors: readonly Float64Array[] }): number[] => [...variables, ...factors].flatMap((p) => [...p]);

function caseOf(plan: Plan, scale: number, impossible: number): DistributionCase<TensorLike, FactorGraph> {
  const { cardinalities } = plan, p = drawn(plan, scale, impossible), q = drawn(plan, scale, 0);
  const starts: number[] = [];
  let at = 0;
  for (const c of cardinalities) at = starts[starts.push(at) - 1] + c;
  for (const scope of plan.scopes) at = starts[starts.push(at) - 1] + size(cardinalities, scope);
  return {
    name: `${plan.name}, scale ${scale}, ${impossible} impossible`, make: () => new FactorGraph(cardinalities, p), other: () => new FactorGraph(cardinalities, q),
    structures: assignments(cardinalities).map((labels) => ({ labels, score: scoreOf(cardinalities, p, labels), other: scoreOf(cardinalities, q, labels) })),
    structure: (labels) => Int32Array.from(labels), marginals: (g) => flat(g.marginals()),
    parts: (y) => [...y.map((x, v) => starts[v] + x), ...p.map((f, k) => starts[cardinalities.length + k] + element(cardinalities, f, y))],
  };
}

describe("FactorGraph against enumeration [paper:an-introduction-to-conditional-random-fields]", () => {
  // float64 throughout: rounding alone.
  it.each(distributionChecks(plans.flatMap((plan) => [caseOf(plan, 1, 0), caseOf(plan, 5, 0.15), caseOf(plan, 1, 0.5)]), { log: 1e-12, probability: 1e-12 }))("$name", ({ run }) => run());

  it("has a width: 1 of trees, 2 of a loop, and refuses tables that are too large", () => {
    expect(plans.map((plan) => new FactorGraph(plan.cardinalities, drawn(plan, 1, 0)).width)).toEqual([1, 1, 2, 1, 2, 2, 2]);
    const side = 30, scopes = Array.from({ length: side * side }, (_, k) => [...(k % side < side - 1 ? [[k, k + 1]] : []), ...(k + side < side * side ? [[k, k + side]] : [])]).flat();
    const grid = new FactorGraph(new Array<number>(side * side).fill(2), scopes.map((variables) => ({ variables, scores: [0.2, 0, 0, 0.2] })));
    expect(() => grid.logPartition()).toThrow(/Use beliefPropagation/);
    const beliefs = grid.beliefPropagation();
    expect(beliefs.converged).toBe(true);
    // By symmetry.
    expectClose(beliefs.variables[400], [0.5, 0.5], { atol: 1e-9 });
  });

  it("has gradients of logProb and of the pseudo-likelihood that are central differences", () => {
    for (const plan of plans) {
      const { cardinalities, scopes } = plan, factors = drawn(plan, 1, 0), y = cardinalities.map((c) => random.integer(c));
      const at = Float64Array.from(factors.flatMap(({ scores }) => Array.from(scores)));
      const made = (x: Float64Array): FactorGraph => { let k = 0; return new FactorGraph(cardinalities, scopes.map((variables) => ({ variables, scores: x.slice(k, (k += size(cardinalities, variables))) }))); };
      const graph = made(at);
      expectClose(graph.logProbWithGrad(y).grads.flatMap((g) => [...g]), finiteDifferenceGradient((x) => made(x).logProb(y)[0], at), { atol: 1e-8 });
      const { value, grads } = graph.pseudoLogLikelihoodWithGrad(y);
      expectClose(grads.flatMap((g) => [...g]), finiteDifferenceGradient((x) => made(x).pseudoLogLikelihoodWithGrad(y).value[0], at), { atol: 1e-8 });
      const conditionals = cardinalities.map((c, v) => { const others = Array.from({ length: c }, (_, x) => Math.exp(scoreOf(cardinalities, factors, y.with(v, x)))); return Math.log(others[y[v]] / others.reduce((a, b) => a + b, 0)); });
      expectClose(value[0], conditionals.reduce((a, b) => a + b, 0), { atol: 1e-12 });
    }
  });
});

describe("belief propagation", () => {
  it("is exact on trees after one sweep, for sums and for maxima [paper:an-introduction-to-conditional-random-fields]", () => {
    for (const plan of plans.filter(({ tree }) => tree)) {
      for (const impossible of [0, 0.2]) {
        const graph = new FactorGraph(plan.cardinalities, drawn(plan, 2, impossible));
        if (graph.logPartition()[0] === -Infinity) continue;
        const beliefs = graph.beliefPropagation();
        expect([beliefs.converged, beliefs.iterations]).toEqual([true, 2]);
        expectClose(beliefs.logPartition, graph.logPartition()[0], { atol: 1e-11 });
        expectClose(flat(beliefs), flat(graph.marginals()), { atol: 1e-12 });
        expectClose(flat(graph.beliefPropagation({ maxIterations: 1 })), flat(beliefs), { atol: 1e-12 });
        const best = graph.beliefPropagation({ best: true });
        expect([...best.labels]).toEqual([...graph.argmax().labels.data]);
        expect(best.logPartition).toBeNaN();
      }
    }
  });

  it("says whether it converged on a loop, and is near where the loop is weak", () => {
    const loop = plans[4], weak = new FactorGraph(loop.cardinalities, drawn(loop, 0.2, 0)), beliefs = weak.beliefPropagation();
    expect(beliefs.converged).toBe(true);
    // Fourth order in the strength of the couplings.
    expectClose(beliefs.logPartition, weak.logPartition()[0], { atol: 0.01 });
    expectClose(beliefs.variables.flatMap((p) => [...p]), weak.marginals().variables.flatMap((p) => [...p]), { atol: 0.01 });
    // Frustrated and strong: an odd number of repulsions round a clique of four.
    const pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]], strong = new FactorGraph([2, 2, 2, 2], [...pairs.map((variables) => ({ variables, scores: [-9, 9, 9, -9] })), { variables: [0], scores: [0.3, 0] }]);
    const swinging = strong.beliefPropagation({ maxIterations: 30 });
    expect([swinging.converged, swinging.iterations]).toEqual([false, 30]);
    expect(swinging.residual).toBeGreaterThan(1e-3);
    expect(strong.beliefPropagation({ damping: 0.5, maxIterations: 2000 }).iterations).toBeLessThanOrEqual(2000);
  });
});

describe("skipChain", () => {
  it("is the linear chain where nothing is linked, also over 10,000 rows", () => {
    const list = (n: number): number[] => Array.from({ length: n }, () => Math.fround(random.normal()));
    for (const T of [1, 2, 7, 10_000]) {
      const C = 3, e = Array.from({ length: T }, () => list(C)), A = Array.from({ length: C }, () => list(C)), start = list(C), end = list(C);
      const graph = skipChain(tensor(e), A, { skips: [], scores: A, start, end }), chain = new LinearChain(LinearChain.compile(A, { start, end }), tensor(e));
      // The kernels' weights are float32.
      expectClose(graph.logPartition()[0], chain.logPartition()[0], { rtol: 1e-7, atol: 1e-6 });
      expectClose(graph.marginals().variables.flatMap((p) => [...p]), chain.marginals().unary.data, { atol: 3e-6 });
      expectClose(graph.argmax().score[0], chain.argmax().score[0], { rtol: 1e-12, atol: 1e-12 });
      if (T > 100) continue;
      expectClose(graph.beliefPropagation().logPartition, graph.logPartition()[0], { atol: 1e-10 });
    }
  });

  it("pulls linked rows to one label", () => {
    const e = [[2, 0], [0, 0], [0, 0], [0, 0.5]], A = [[0.1, 0], [0, 0.1]];
    const free = skipChain(e, A, { skips: [], scores: A }), linked = skipChain(e, A, { skips: [[0, 3]], scores: [[3, 0], [0, 3]] });
    expect(free.argmax().labels.at(3)).toBe(1);
    expect(linked.argmax().labels.at(3)).toBe(0);
    expect(linked.width).toBe(2);
    expect(linked.beliefPropagation().converged).toBe(true);
  });

  it("has messages that say what to do", () => {
    const refused = (f: () => unknown): string => { try { f(); } catch (error) { return (error as Error).message; } throw new Error("accepted"); };
    const graph = new FactorGraph([2, 2], [{ variables: [0, 1], scores: [0, -Infinity, -Infinity, 0] }]), none = new FactorGraph([2], [{ variables: [0], scores: [-Infinity, -Infinity] }]);
    expect([
      refused(() => new FactorGraph([0], [])), refused(() => new FactorGraph([2], [{ variables: [1], scores: [0, 0] }])), refused(() => new FactorGraph([2, 2], [{ variables: [1, 1], scores: [0, 0, 0, 0] }])),
      refused(() => new FactorGraph([2], [{ variables: [], scores: [0] }])), refused(() => new FactorGraph([2], [{ variables: [0], scores: [0] }])), refused(() => new FactorGraph([2], [{ variables: [0], scores: [0, NaN] }])),
      refused(() => graph.score([0])), refused(() => graph.score([0, 2])), refused(() => graph.pseudoLogLikelihoodWithGrad([0, 1])), refused(() => graph.crossEntropy(none)), refused(() => none.argmax()), refused(() => none.beliefPropagation()),
      refused(() => graph.beliefPropagation({ damping: 1 })), refused(() => graph.beliefPropagation({ tolerance: NaN })), refused(() => skipChain([[0, 0]], [[0, 0], [0, 0]], { skips: [[0, 0]], scores: [[0, 0], [0, 0]] })),
      refused(() => skipChain([[0]], [[0, 0], [0, 0]], { skips: [], scores: [[0]] })), refused(() => skipChain([[0, 0]], [[0, 0], [0, 0]], { skips: [[0, 1]], scores: [[0, 0]] })),
    ]).toMatchInlineSnapshot(`
      [
        "FactorGraph: expected \`cardinalities[0]\` an integer in [1, 8388607], got 0",
        "FactorGraph: expected \`factors[0].variables[0]\` an integer in [0, 0], got 1",
        "FactorGraph: expected \`factors[0].variables\` of different variables, got 1 twice",
        "FactorGraph: expected \`factors[0].variables\` of at least one variable, got none",
        "FactorGraph: expected \`factors[0].scores\` of 2 scores, got 1",
        "FactorGraph: expected \`factors[0].scores\` finite or -Infinity, got NaN at index 1",
        "FactorGraph.score: expected \`labels\` of shape [2], got [1]",
        "FactorGraph.score: expected \`labels[1]\` an integer in [0, 1], got 2",
        "FactorGraph.pseudoLogLikelihoodWithGrad: expected \`labels\` with a finite score, got impossible ones",
        "FactorGraph.crossEntropy: expected \`other\` with the same cardinalities and variables of factors, got another graph",
        "FactorGraph.argmax: expected \`factors\` with an assignment that has a finite score, got none",
        "FactorGraph.beliefPropagation: expected \`factors\` with an assignment that has a finite score, got none",
        "FactorGraph.beliefPropagation: expected \`damping\` in [0, 1), got 1",
        "FactorGraph.beliefPropagation: expected \`tolerance\` a number from 0 up, got NaN",
        "skipChain: expected \`skips[0]\` between different rows, got 0 and 0",
        "skipChain: expected \`emissions\` of shape [T, 2], got [1, 1]",
        "skipChain: expected \`scores\` of 4 scores, got shape [1, 2]",
      ]
    `);
    // Impossible under one, possible under the other: infinitely far.
    expect(new FactorGraph([2], [{ variables: [0], scores: [0, 0] }]).crossEntropy(new FactorGraph([2], [{ variables: [0], scores: [0, -Infinity] }]))[0]).toBe(Infinity);
    expectClose([new FactorGraph([], []).logPartition()[0], new FactorGraph([3], []).entropy()[0]], [0, Math.log(3)], { atol: 1e-15 });
  });
});
