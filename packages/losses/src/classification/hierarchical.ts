import { exp } from "@logits/statistics";
import { asInt32, defineLoss, rangeError, scoreRows, type RowLossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import type { LabelLoss } from "../labelLoss.ts";
import { checkRange } from "../range.ts";
import { rowPlan } from "../rowLoss.ts";
import { setNegativeLog } from "./partialLabels.ts";

/** Options of `hierarchicalCrossEntropyLoss`. */
export interface HierarchicalCrossEntropyOptions extends RowLossOptions {
  /** int32 [nodes]: the parent of each node, -1 for the root. The first C nodes are the leaves, one for each logit. */
  readonly parents: TensorLike;
  /** How fast mistakes further up count less, >= 0: a step from a node of height h to its parent has the factor exp(-alpha h). Default 0: -log p of the label. */
  readonly alpha?: number;
}

/**
 * Cross-entropy over a tree of classes whose leaves are the logits: labels may be inner nodes, whose probability is the sum over their leaves.
 *
 *   P(node) = sum over its leaves of p;   loss = sum over n from the label to below the root of exp(-alpha height(n)) (log P(parent(n)) - log P(n)),   = -log P(label) for alpha = 0
 *
 * @param logits - float32 [B, C] or [B, ..., C], one for each leaf; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, nodes): leaves or inner nodes
 * @param options - those of every loss, `axis`, `alpha`, and `parents`, which must be given
 * @returns float32 of the labels' shape ("none") or []; +Infinity where no leaf of the label is possible; 0 for the root. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy` (labels in [0, nodes)), for parents that are no tree with the leaves first, a negative alpha
 * @example
 *   hierarchicalCrossEntropyLoss([[0, 0, 0]], [3], { parents: [3, 3, 4, 4, -1] }); // leaves 0 and 1: -log (2 / 3) = 0.4055
 * Source: Bertinetto, Mueller, Tertikas, Samangooei, Lord, "Making Better Mistakes", CVPR 2020, equation 3.
 */
export const hierarchicalCrossEntropyLoss: LabelLoss<HierarchicalCrossEntropyOptions> = /* @__PURE__ */ defineLoss("hierarchicalCrossEntropyLoss", 2, (where, [logits, labels], options) => {
  const rows = scoreRows(where, "logits", logits, options), { classes } = rows, { alpha = 0 } = options, parents = asInt32(where, "parents", options.parents).data.slice(), nodes = parents.length;
  const { y, weights } = labelled(where, labels, rows.shape, nodes, options), below = new Uint8Array(nodes * classes), height = new Int32Array(nodes);
  checkRange(where, "alpha", alpha, 0);
  if (nodes <= classes && !(nodes === 1 && classes === 1)) throw rangeError(where, "parents", `of more than ${classes} nodes`, `${nodes}`);
  for (let leaf = 0; leaf < classes; leaf++) {
    let node = leaf, steps = 0;
    for (; node !== -1; node = parents[node], steps++) {
      if (!(node >= 0 && node < nodes) || steps > nodes || (steps > 0 && node < classes)) throw rangeError(where, "parents", "a tree whose first nodes are the leaves", `${parents[steps > nodes ? leaf : node] ?? node} above leaf ${leaf}`);
      below[node * classes + leaf] = 1;
      height[node] = Math.max(height[node], steps);
    }
  }
  for (let node = classes; node < nodes; node++) if (height[node] === 0) throw rangeError(where, "parents", "a tree whose first nodes are the leaves", `no leaf below node ${node}`);
  if (parents.filter((p) => p === -1).length !== 1) throw rangeError(where, "parents", "with one root, -1", `${parents.filter((p) => p === -1).length}`);
  return rowPlan(where, { ...rows, weights }, (row, p, logP, pull) => {
    let value = 0;
    for (let node = y[row], before = 0; parents[node] !== -1; node = parents[node]) {
      const factor = exp(-alpha * height[node]);
      if (factor !== before) value += setNegativeLog((c) => below[node * classes + c] === 1, p, logP, pull, factor - before);
      if (value === Infinity) break;
      before = factor;
    }
    return value;
  });
});
