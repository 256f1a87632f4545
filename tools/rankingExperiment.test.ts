import { expect, it } from "vitest";
import { ndcg, queries, run } from "./experiments/ranking.ts";

const mean = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;

it("reads the queries of the ranking experiment", () => {
  const train = queries("train"), test = queries("test");
  expect([train.offsets.length - 1, train.relevance.length, test.offsets.length - 1, test.relevance.length]).toEqual([201, 3005, 50, 768]);
  expect([0, 1, 2, 3, 4].map((grade) => train.relevance.filter((y) => y === grade).length)).toEqual([645, 1211, 858, 222, 69]);
});

it("ranks better than the order of the file in a reduced form of the experiment", () => {
  const { lambda } = run({ methods: ["lambda"], seeds: 1, epochs: 15, rates: [0.3], choosing: [50] }), test = queries("test");
  expect(mean(lambda.ndcg[10][0])).toBeGreaterThan(mean(ndcg(test.relevance.map((_, i) => -i), test, 10)) + 0.05);
});
