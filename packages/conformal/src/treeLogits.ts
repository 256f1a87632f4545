import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { EXPECTED, faultOf } from "./labelTree.ts";

/**
 * Log-probabilities of the classes of a label tree from scores of its nodes: every node shares its probability among its children by their softmax, so that a parent has the probability of its children
 * together, at every node, whatever the scores.
 *
 *   log P(v) = log P(parent of v) + scores_v - log sum over siblings s of v (itself included) exp(scores_s),   log P(root) = 0
 *
 * With all classes below the root it is the log-softmax. The result are logits for every method here, `SplitConformal` with "tree" and the same parents among them.
 *
 * @param scores - float32 [N, V - 1], one for each node but the root; -Infinity = impossible
 * @param parents - int32 [V], as for `SplitConformal`: nodes 0 to C - 1 are the classes, a parent has a larger index than its children, the last node is the root, its parent -1
 * @param options - `classes`: C
 * @returns float32 [N, C], log-probabilities
 * @throws RangeError for another shape, parents that are no tree, NaN or Infinity, a possible node without a possible child (the row is named)
 * @example
 *   treeLogits([[1, 0, 2, 0, 0]], [3, 3, 4, 5, 5, -1], { classes: 3 }); // node 3 = {0, 1}, node 4 = {2}, node 5 the root
 * Source: Redmon and Farhadi, "YOLO9000", CVPR 2017, section 4 (a softmax over the siblings of each node).
 */
export function treeLogits(scores: TensorLike, parents: TensorLike, options: { readonly classes: number }): Tensor<"float32"> {
  const where = "treeLogits", { classes } = options;
  if (!(Number.isInteger(classes) && classes >= 1)) throw rangeError(where, "classes", "an integer >= 1", `${classes}`);
  const tree = asInt32(where, "parents", parents), nodes = tree.size;
  const fault = tree.shape.length === 1 ? faultOf(tree.data, classes) : `shape [${tree.shape.join(", ")}]`;
  if (fault !== undefined) throw rangeError(where, "parents", EXPECTED(classes), fault);
  const z = asFloat32(where, "scores", scores);
  checkShape(where, "scores", z, ["N", "V - 1"]);
  const [rows, width] = z.shape;
  if (width !== nodes - 1) throw rangeError(where, "scores", `of ${nodes - 1} nodes on the last axis, all but the root`, `shape [${rows}, ${width}]`);
  const out = new Float32Array(rows * classes), top = new Float64Array(nodes), sum = new Float64Array(nodes), logP = new Float64Array(nodes);
  for (let n = 0; n < rows; n++) {
    top.fill(-Infinity);
    sum.fill(0);
    const at = n * width;
    for (let v = 0; v < width; v++) {
      const score = z.data[at + v], parent = tree.data[v];
      if (!(score < Infinity)) throw rangeError(where, "scores", "finite or -Infinity", `${score} of node ${v} in row ${n}`);
      if (score > top[parent]) top[parent] = score;
    }
    for (let v = 0; v < width; v++) if (z.data[at + v] > -Infinity) sum[tree.data[v]] += exp(z.data[at + v] - top[tree.data[v]]);
    logP[nodes - 1] = 0;
    for (let v = nodes - 1; v >= 0; v--) {
      if (v < nodes - 1) logP[v] = z.data[at + v] === -Infinity ? -Infinity : logP[tree.data[v]] + (z.data[at + v] - top[tree.data[v]] - log(sum[tree.data[v]]));
      if (v >= classes && logP[v] > -Infinity && top[v] === -Infinity) throw rangeError(where, "scores", "with a possible child of every possible node", `none of node ${v} in row ${n}`);
      if (v < classes) out[n * classes + v] = logP[v];
    }
  }
  return new Tensor("float32", [rows, classes], out);
}
