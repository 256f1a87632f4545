import { expectClose } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import * as pml from "../presets/pytorch-metric-learning.ts";
import * as losses from "./index.ts";
import { extreme } from "./triplet.ts";
import { matrixRef } from "./tuples.ref.ts";

const { angularLoss, batchHardTriplets, circleLoss, contrastiveLoss, distanceWeightedTriplets, fastApLoss, generalizedLiftedStructureLoss, liftedStructureLoss, marginLoss, metrixLoss, multiSimilarityLoss, multiSimilarityPairs, nPairLoss, ncaLoss, proxyAnchorLoss, rankedListLoss, swapTripletMarginLoss, thresholdConsistentMarginLoss, tripletListLoss, tripletMarginLoss, tupletMarginLoss } = losses;
const pairs = { angularLoss, circleLoss, contrastiveLoss, fastApLoss, generalizedLiftedStructureLoss, liftedStructureLoss, marginLoss, multiSimilarityLoss, nPairLoss, ncaLoss, rankedListLoss, swapTripletMarginLoss, thresholdConsistentMarginLoss, tripletMarginLoss, tupletMarginLoss };
const z = [[0.3, 1, -0.5], [1, 0.2, 0], [-0.4, 0.7, 0.9], [0.1, -0.8, 0.5], [0.6, 0.6, 0.6]], y = [0, 1, 0, 1, 2];

describe.each(Object.entries(pairs))("%s", (_, loss) => {
  it("gives NaN where an embedding that takes part holds one, in value and gradient", () => {
    const broken = z.map((row, i) => (i === 2 ? [NaN, 0, 0] : row)), { loss: value, grad } = loss.withGrad(broken, y);
    expect(value.item()).toBeNaN();
    expect(grad.data[0]).toBeNaN();
    expect(loss(broken, y, { where: [1, 1, 0, 1, 1] }).item()).not.toBeNaN();
  });

  it("is finite and has a finite gradient where embeddings are equal, and where they are zero", () => {
    for (const same of [[1, 2, 3], [0, 0, 0]]) {
      const { loss: value, grad } = loss.withGrad([same, same, same, same], [0, 0, 1, 1]);
      for (const x of [...value.data, ...grad.data]) expect(Number.isFinite(x)).toBe(true);
    }
  });

  it("is 0 for one embedding, and for none", () => {
    expect(loss([[1, 2]], [0]).item()).toBe(0);
    expect(loss({ data: new Float32Array(0), shape: [0, 2] }, new Int32Array(0)).item()).toBe(0);
  });

  it("does not change where embeddings are moved, turned or scaled, as far as its distance does not", () => {
    const turned = z.map(([a, b, c]) => [0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b, c]);
    expectClose(loss(turned, y).item(), loss(z, y).item(), { rtol: 1e-5, atol: 1e-6 }); // rounding of the turned coordinates
    if ([circleLoss, multiSimilarityLoss, tupletMarginLoss, angularLoss, fastApLoss, thresholdConsistentMarginLoss].includes(loss as any)) expectClose(loss(z.map((row) => row.map((x) => 4 * x)), y).item(), loss(z, y).item(), { rtol: 1e-6, atol: 1e-7 });
    else if ((loss as any) !== nPairLoss) expectClose(loss(z.map((row) => row.map((x) => x + 0.5)), y).item(), loss(z, y).item(), { rtol: 1e-5, atol: 1e-6 });
  });
});

describe("limits", () => {
  const cosines = matrixRef(z.flat(), 3, "cosine"), split = (i: number): [number[], number[]] => [0, 1].map((far) => cosines[i].filter((__, j) => j !== i && (y[j] === y[i]) === (far === 0))) as [number[], number[]];

  it("multi-similarity becomes the hardest positive and the hardest negative as alpha and beta grow [paper:multi-similarity-loss-with-general-pair-weighting-for-deep]", () => {
    const got = multiSimilarityLoss(z, y, { alpha: 1e4, beta: 1e4, mining: false, reduction: "none" }).data;
    z.forEach((_, i) => {
      const [p, n] = split(i);
      expectClose(got[i], Math.max(0, ...p.map((s) => 0.5 - s)) + Math.max(0, ...n.map((s) => s - 0.5)), { atol: 3e-4 }); // log(N) / 1e4
    });
  });

  it("multi-similarity mines the pairs of its definition", () => {
    const { positives, negatives } = multiSimilarityPairs(z, y, { epsilon: 0.3 }), want: [number[], number[]] = [[], []];
    z.forEach((_, i) => {
      const [p, n] = split(i);
      y.forEach((label, j) => {
        if (j === i) return;
        if (label === y[i] && cosines[i][j] - 0.3 < Math.max(...n)) want[0].push(i, j);
        if (label !== y[i] && cosines[i][j] + 0.3 > Math.min(...p)) want[1].push(i, j);
      });
    });
    expect([...positives.data]).toEqual(want[0]);
    expect([...negatives.data]).toEqual(want[1]);
  });

  it("hard mining is the loss of the hardest triplets, and a smooth triplet loss of one positive and one negative is N-pair's", () => {
    const triplets = batchHardTriplets(z, y), euclidean = matrixRef(z.flat(), 3, "euclidean");
    expect(triplets.shape).toEqual([4, 3]);
    expectClose(tripletListLoss(z, triplets, { margin: 1, reduction: "none" }).data, [...tripletMarginLoss(z, y, { mining: "hard", margin: 1, reduction: "none" }).data].slice(0, 4), { atol: 1e-6 });
    for (let k = 0; k < 4; k++) expect(triplets.data[3 * k + 2]).toBe(extreme(euclidean[k], Int32Array.from([0, 1, 2, 3, 4].filter((j) => y[j] !== y[k])), -1));
    const three = z.slice(0, 3), labels = [0, 1, 0];
    expectClose(nPairLoss(three, labels).item(), tripletMarginLoss(three, labels, { smooth: true, margin: 0, distance: "dot" }).item(), { rtol: 1e-6 });
  });

  it("class means as the memory bank: each row against its own and the other one", () => {
    const means = [0, 1].map((c) => z[0].map((__, f) => z.filter((___, i) => y[i] === c).reduce((sum, row) => sum + row[f] / 2, 0))), got = tripletMarginLoss(z.slice(0, 4), y.slice(0, 4), { references: means, referenceLabels: [0, 1], margin: 1, reduction: "none" }).data;
    z.slice(0, 4).forEach((row, i) => {
      const d = means.map((m) => Math.hypot(...m.map((v, f) => v - row[f])));
      expectClose(got[i], Math.max(0, d[y[i]] - d[1 - y[i]] + 1), { atol: 1e-6 });
    });
  });

  it("Metrix with an agreement of 0 and 1 is multi-similarity without mining [paper:it-takes-two-to-tango-mixup-for-deep-metric]", () => {
    const bank = z.slice(2), labels = y.slice(2), agreement = [0, 1].map((i) => labels.map((label) => Number(label === y[i])));
    expectClose(metrixLoss(z.slice(0, 2), bank, agreement, { reduction: "none" }).data, multiSimilarityLoss(z.slice(0, 2), y.slice(0, 2), { references: bank, referenceLabels: labels, mining: false, reduction: "none" }).data, { rtol: 1e-6, atol: 1e-7 });
  });

  it("the threshold-consistent margin is 0 where every positive and negative is beyond it [paper:threshold-consistent-margin-loss-for-open-world-deep-metric]", () => {
    const tight = [[1, 0.01], [1, 0.02], [0, 1], [0.02, 1]], { loss, grad } = thresholdConsistentMarginLoss.withGrad(tight, [0, 0, 1, 1]);
    expect(loss.item()).toBe(0);
    expect(grad.data).toEqual(new Float32Array(8));
    expectClose(thresholdConsistentMarginLoss([[1, 0], [0, 1], [0.6, 0.8]], [0, 0, 1], { reduction: "none" }).data, [0.9 + 0.1, 0.9 + 0.3, 0.2], { atol: 1e-6 });
  });

  it("proxies on their own class: the value of the definition by hand", () => {
    expectClose(proxyAnchorLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 1, margin: 0 }).item(), (2 * Math.log(1 + Math.exp(-1)) + Math.log(2)) / 2, { rtol: 1e-6 });
  });
});

describe("presets of pytorch-metric-learning", () => {
  it("average over positive pairs, and a row without a positive stays a negative", () => {
    const labels = [0, 0, 1, 2, 0], values = tupletMarginLoss(z, labels, { margin: (5.73 * Math.PI) / 180, reduction: "none" }).data, pairsOf = [2, 2, 0, 0, 2];
    expectClose(pml.tupletMarginLoss(z, labels).item(), values.reduce((sum, v, i) => sum + pairsOf[i] * v, 0) / 6, { rtol: 1e-6 });
    expect(pml.tupletMarginLoss.withGrad(z, labels).grad.row(3).data.some((g) => g !== 0)).toBe(true);
  });

  it("are 0 where nothing is above 0, and upstream multiplies the gradient", () => {
    const far = [[1, 0], [1, 0], [-1, 0], [-1, 0]], { loss, grad } = pml.tripletMarginLoss.withGrad(far, [0, 0, 1, 1]);
    expect(loss.item()).toBe(0);
    expect(grad.data).toEqual(new Float32Array(8));
    const one = pml.contrastiveLoss.withGrad(z, y).grad.data, three = pml.contrastiveLoss.withGrad(z, y, { upstream: 3 }).grad.data;
    expectClose(three, one.map((g) => 3 * g), { rtol: 1e-6, atol: 1e-7 });
    expect(pml.contrastiveLoss([[0, 0], [1, 1]], [0, 0]).item()).toBeCloseTo(1, 6);
  });
});

describe("distanceWeightedTriplets", () => {
  it("draws negatives by the weights of the definition", () => {
    const counts = new Map<number, number>(), angles = [0.3, 0.8, 1.2, 1.4, 3], points = [[1, 0, 0], [1, 0, 0], ...angles.map((t) => [Math.cos(t), Math.sin(t), 0])], labels = [0, 0, 1, 2, 3, 4, 5], random = randomSource(4), draws = 6000;
    for (let k = 0; k < draws; k++) {
      const { data } = distanceWeightedTriplets(points, labels, random);
      counts.set(data[2], (counts.get(data[2]) ?? 0) + 1);
    }
    const weights = angles.map((t) => {
      const d = Math.max(0.5, 2 * Math.sin(t / 2));
      return d >= 1.4 ? 0 : 1 / d;
    }), sum = weights.reduce((a, b) => a + b, 0);
    weights.forEach((w, k) => expect(Math.abs((counts.get(k + 2) ?? 0) / draws - w / sum)).toBeLessThan(4 * Math.sqrt(0.25 / draws))); // four standard errors
    expect(counts.get(6)).toBeUndefined();
  });
});

it("messages", () => {
  const message = (f: () => unknown): string => {
    try {
      f();
    } catch (error) {
      return (error as Error).message;
    }
    return "none";
  };
  expect([
    () => tripletMarginLoss([1, 2], [0]),
    () => tripletMarginLoss([[1, 2]], [0, 1]),
    () => multiSimilarityLoss([[1, 2]], [0], { beta: 0 }),
    () => fastApLoss([[1, 2]], [0], { bins: 0 }),
    () => angularLoss([[1, 2]], [0], { angle: 2 }),
    () => swapTripletMarginLoss([[1, 2]], [0, 1]),
    () => tripletListLoss([[1, 2]], [[0, 0, 1]]),
    () => tripletListLoss([[1, 2]], [[0, 0]]),
    () => proxyAnchorLoss([[1, 2]], [[1, 2]], [1]),
    () => metrixLoss([[1, 2]], [[1, 2, 3]], [[1]]),
    () => metrixLoss([[1, 2]], [[1, 2]], [[1, 0]]),
    () => metrixLoss([[1, 2]], [[1, 2]], [[1.5]]),
    () => multiSimilarityPairs([[1, 2]], [0, 1]),
    () => losses.hyperbolicCrossEntropy([[1, 2]], [[1, 2]], [[1, 2], [1, 2]], [0]),
    () => losses.hyperbolicConfusionLoss([[1, 2]], { curvature: 0 }),
    () => tripletMarginLoss([[1, 2]], [0], { mining: "hardest" as "hard" }),
    () => tripletMarginLoss([[1, 2]], [0], { distance: "manhattan" as "euclidean" }),
    () => losses.contrastiveLoss([[1, 2]], [0], { power: 3 as 2 }),
    () => losses.batchHardTriplets([[1, 2]], [0], { distance: "dot" as "cosine" }),
    () => losses.sphereFace2Loss([[1, 2]], [[1, 2]], [0], { kind: "B" as "C" }),
  ].map(message)).toMatchInlineSnapshot(`
    [
      "tripletMarginLoss: expected \`embeddings\` of shape [N, F], F >= 1, got [2]",
      "tripletMarginLoss: expected \`labels\` of shape [1], got [2]",
      "multiSimilarityLoss: expected \`beta\` a finite number > 0, got 0",
      "fastApLoss: expected \`bins\` an integer in [1, 4096], got 0",
      "angularLoss: expected \`angle\` below pi / 2, got 2",
      "swapTripletMarginLoss: expected \`labels\` of shape [1], got [2]",
      "tripletListLoss: expected \`triplets\` rows in [0, 1), got 1 in triplet 0",
      "tripletListLoss: expected \`triplets\` of shape [T, 3], got [1, 2]",
      "proxyAnchorLoss: expected \`labels\` in [0, 1), got 1 at index 0",
      "metrixLoss: expected \`mixed\` of shape [M, 2], got [1, 3]",
      "metrixLoss: expected \`agreement\` of shape [1, 1], got [1, 2]",
      "metrixLoss: expected \`agreement\` in [0, 1], got 1.5 in row 0, column 0",
      "multiSimilarityPairs: expected \`labels\` of shape [1], got [2]",
      "hyperbolicCrossEntropy: expected \`normals\` of shape [1, 2], got [2, 2]",
      "hyperbolicConfusionLoss: expected \`curvature\` a finite number > 0, got 0",
      "tripletMarginLoss: expected \`mining\` "all", "hard" or "semihard", got "hardest"",
      "tripletMarginLoss: expected \`distance\` "euclidean", "squaredEuclidean", "cosine" or "dot", got "manhattan"",
      "contrastiveLoss: expected \`power\` 1 or 2, got 3",
      "batchHardTriplets: expected \`distance\` "euclidean", "squaredEuclidean" or "cosine", got "dot"",
      "sphereFace2Loss: expected \`kind\` "C", "A" or "M", got "B"",
    ]
  `);
});
