import { checkInteger, rangeError } from "@logits/tensor";
import type { Rule } from "./scores.ts";
import type { SplitConformalOptions } from "./splitConformal.ts";

export const METHODS = ["lac", "aps", "raps", "saps", "topk", "margin", "tree"] as const;

/**
 * "lac": least ambiguous sets, the smallest on average. "aps": adaptive sets, larger where the model is unsure. "raps": aps with a price on every rank, for many classes. "saps": the largest
 * probability and the rank alone. "topk": the rank alone. "margin": the distance to the best other class. "tree": sets that are the classes below one node of a tree.
 */
export type ConformalMethod = (typeof METHODS)[number];

/** Whether the score of the method has steps that a uniform number breaks. */
export function isRandom(method: ConformalMethod): boolean {
  return method !== "lac" && method !== "margin";
}

/** Whether ranks have a price. */
export function hasPenalty(method: ConformalMethod): boolean {
  return method === "raps" || method === "saps";
}

/** The checked method and its options. */
export function ruleOf(where: string, { method = "lac", penalty, freeRanks }: Pick<SplitConformalOptions, "method" | "penalty" | "freeRanks">): Rule {
  if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((name) => `"${name}"`).join(" or "), `${method}`);
  if (penalty !== undefined && !hasPenalty(method)) throw rangeError(where, "penalty", 'only with "raps" or "saps"', `${penalty} with "${method}"`);
  if (freeRanks !== undefined && method !== "raps") throw rangeError(where, "freeRanks", 'only with "raps"', `${freeRanks} with "${method}"`);
  if (penalty !== undefined && !(penalty >= 0 && penalty <= 1e6)) throw rangeError(where, "penalty", "in [0, 1e6]", `${penalty}`);
  if (freeRanks !== undefined) checkInteger(where, "freeRanks", freeRanks, 0, 4194304);
  return { method, penalty: hasPenalty(method) ? (penalty ?? (method === "raps" ? 0.1 : 0.2)) : 0, freeRanks: method === "raps" ? (freeRanks ?? 1) : 0 };
}
