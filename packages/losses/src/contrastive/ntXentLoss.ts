import { asInt32, checkPositive, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { pairLoss, type PairLoss, type PairLossOptions } from "../pairs/pairLoss.ts";
import { crossEntropyRow, decoupledRow } from "../pairs/rows.ts";

/** Options of `ntXentLoss` and `decoupledContrastiveLoss`. */
export interface NtXentLossOptions extends PairLossOptions {
  /** T, above 0. Default 0.1. */
  readonly temperature?: number;
  /** int32 [N]: rows of one group (a cluster, a pseudo-label) are no negatives of each other. Not with `references`. */
  readonly groups?: TensorLike;
}

const ntXent = (name: string, decoupled: boolean): PairLoss<NtXentLossOptions> =>
  pairLoss(name, "cosine", ({ temperature = 0.1, groups, references }, { rowLabels, columnLabels, self, rows, batch: n, positives }, where) => {
    checkPositive(where, "temperature", temperature);
    if (groups !== undefined && references !== undefined) throw rangeError(where, "groups", "without `references`", "both");
    const m = columnLabels.length, kind = new Int8Array(m), q = new Float64Array(m), group = groups === undefined ? undefined : asInt32(where, "groups", groups);
    if (group) checkShape(where, "groups", group, [n]);
    const own = group && Int32Array.from(rows, (i) => group.data[i]), negatives = (i: number): number => {
      let count = 0;
      for (let j = 0; j < m; j++) {
        kind[j] = self && i === j ? 0 : columnLabels[j] === rowLabels[i] ? 1 : own && own[j] === own[i] ? 0 : -1;
        if (kind[j] < 0) count++;
      }
      return count;
    };
    return {
      counts: (i) => positives(i) > 0 && (!decoupled || negatives(i) > 0),
      row(i, s, coefficient) {
        negatives(i);
        if (!decoupled) return decoupledRow(s, 1 / temperature, kind, coefficient);
        const share = 1 / positives(i);
        for (let j = 0; j < m; j++) {
          q[j] = kind[j] > 0 ? share : 0;
          kind[j] = kind[j] < 0 ? 1 : 0;
        }
        return crossEntropyRow(s, 1 / temperature, q, kind, coefficient);
      },
    };
  });

/**
 * Normalised temperature-scaled cross-entropy of SimCLR. Rows of one label are views of one sample; where there are more than two, the value is the mean over positives, each against the negatives alone.
 *
 *   loss[i] = 1/|P(i)| sum_{p in P(i)} -log exp(cos(z_i, z_p) / T) / (exp(cos(z_i, z_p) / T) + sum_{n in N(i)} exp(cos(z_i, z_n) / T))
 *
 * For two views a and b of N samples: embeddings [a; b], labels 0..N-1 twice. With `groups` rows of the same group are no negatives (G-SimCLR).
 *
 * @param embeddings - float32 [N, F], F at least 1; cosines are taken, so lengths do not matter
 * @param labels - int32 [N], any integers: which sample a row is a view of
 * @param options - `temperature`, `groups`, `references` with `referenceLabels`; `reduction` over rows, `weight`, `where` and `ignoreIndex`: a row that takes no part is nobody's partner
 * @returns float32 [N] ("none") or []; `grad` [N, F]. A row without a positive has the value 0 and is left out of the mean; without a negative 0. NaN in a row that takes part: NaN
 * @throws RangeError for other shapes, a temperature that is not above 0
 * @example
 *   ntXentLoss([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1], { temperature: 1 }); // log(1 + 2 / e)
 * Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, equation 1; groups: Chakraborty, Gosthipaty, Paul, "G-SimCLR", 2020.
 */
export const ntXentLoss: PairLoss<NtXentLossOptions> = /* @__PURE__ */ ntXent("ntXentLoss", false);

/**
 * Decoupled contrastive learning: NT-Xent without the positive in the denominator, so that its gradient does not vanish with an easy positive.
 *
 *   loss[i] = -1/|P(i)| sum_{p in P(i)} cos(z_i, z_p) / T + log sum_{n in N(i)} exp(cos(z_i, z_n) / T)
 *
 * @param embeddings - float32 [N, F], F at least 1; cosines are taken
 * @param labels - int32 [N], any integers: which sample a row is a view of
 * @param options - as for `ntXentLoss`
 * @returns float32 [N] ("none") or []; `grad` [N, F]. May be negative. A row without a positive or without a negative has the value 0 and is left out of the mean
 * @throws RangeError for other shapes, a temperature that is not above 0
 * @example
 *   decoupledContrastiveLoss([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1], { temperature: 1 }); // log(2) - 1
 * Source: Yeh et al., "Decoupled Contrastive Learning", ECCV 2022, equation 6.
 */
export const decoupledContrastiveLoss: PairLoss<NtXentLossOptions> = /* @__PURE__ */ ntXent("decoupledContrastiveLoss", true);
