import { sigmoid, softplus, sortOrder } from "@logits/statistics";
import { asFloat32, defineLoss, rangeError, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { labelled } from "../labelled.ts";
import { floats } from "../shaped.ts";
import { RowSums, type RowGradient } from "./rowGradient.ts";

/** A binary tree whose leaves are words: the way from the root to each. */
export interface WordTree {
  readonly words: number;
  /** Inner nodes; V - 1 of a full tree. */
  readonly nodes: number;
  /** [V + 1]: steps of word v are indptr[v] to indptr[v + 1]. */
  readonly indptr: Int32Array;
  /** The node of each step, in [0, nodes), and the side it takes: 1 or -1. */
  readonly path: Int32Array;
  readonly side: Int8Array;
}

/**
 * Huffman's tree of counts: frequent words have short ways, and no binary tree has a shorter expected one.
 *
 * @param counts - float32 [V], V >= 2, finite, not negative
 * @returns the tree; node V - 2 is the root
 * @throws RangeError for other counts
 * @example
 *   huffmanTree([5, 1, 1]).indptr; // 0, 1, 3, 5: one step, then two and two
 * Source: Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952; two sorted queues: van Leeuwen, 1976.
 */
export function huffmanTree(counts: TensorLike): WordTree {
  const where = "huffmanTree", given = asFloat32(where, "counts", counts).data, words = given.length, bad = given.findIndex((n) => !(n >= 0 && n < Infinity));
  if (words < 2) throw rangeError(where, "counts", "of at least 2 words", `${words}`);
  if (bad >= 0) throw rangeError(where, "counts", "finite and not negative", `${given[bad]} at index ${bad}`);
  const nodes = words - 1, leaves = sortOrder(given), mass = new Float64Array(words + nodes), parent = new Int32Array(words + nodes), side = new Int8Array(words + nodes);
  mass.set(given);
  let leaf = 0, inner = words;
  for (let node = words; node < words + nodes; node++) {
    for (const s of [1, -1]) {
      const least = leaf < words && (inner === node || mass[leaves[leaf]] <= mass[inner]) ? leaves[leaf++] : inner++;
      mass[node] += mass[least];
      parent[least] = node;
      side[least] = s;
    }
  }
  const indptr = new Int32Array(words + 1), path: number[] = [], sides: number[] = [];
  for (let v = 0; v < words; v++) {
    const way: number[] = [];
    for (let at = v; at !== words + nodes - 1; at = parent[at]) way.unshift(at);
    for (const at of way) {
      path.push(parent[at] - words);
      sides.push(side[at]);
    }
    indptr[v + 1] = path.length;
  }
  return { words, nodes, indptr, path: Int32Array.from(path), side: Int8Array.from(sides) };
}

/** Options of `hierarchicalSoftmaxLoss`. */
export interface HierarchicalSoftmaxOptions extends LossOptions {
  readonly tree: WordTree;
}

/**
 * Hierarchical softmax: the probability of a word is that of its way from the root of a tree, one binary decision at each node. Costs the length of the way, not V.
 *
 *   loss[b] = sum over the steps of labels[b]: softplus(-side hidden[b] . nodes[node])
 *
 * @param hidden - float32 [B, D]
 * @param nodes - float32 [nodes, D], a vector for each inner node
 * @param labels - int32 [B], in [0, V)
 * @param options - `tree` (needed); those of every loss
 * @returns float32 [B] ("none") or []; a row with NaN: NaN. `withGrad`: `grads.hidden`, and `grads.nodes`, 0 outside the ways of the labels (`denseRows` makes it a matrix)
 * @throws RangeError for shapes that do not fit, a label outside [0, V) (with its index)
 * @example
 *   hierarchicalSoftmaxLoss([[0]], [[1], [1]], [1], { tree: huffmanTree([5, 1, 1]) }); // 2 log 2: two steps
 * Source: Morin and Bengio, "Hierarchical Probabilistic Neural Network Language Model", AISTATS 2005; Mikolov et al., NeurIPS 2013, eq. 3.
 */
export const hierarchicalSoftmaxLoss: Loss<[hidden: TensorLike, nodes: TensorLike, labels: TensorLike], HierarchicalSoftmaxOptions, { readonly grads: { readonly hidden: Tensor<"float32">; readonly nodes: RowGradient } }> = /* @__PURE__ */ defineLoss(
  "hierarchicalSoftmaxLoss", 3, (where, [hidden, nodes, labels]: [TensorLike, TensorLike, TensorLike], options: HierarchicalSoftmaxOptions) => {
    const x = floats(where, "hidden", hidden, ["B", "D"]), [rows, width] = x.shape, { tree } = options, w = floats(where, "nodes", nodes, [tree.nodes, width]), { y, weights: weighting } = labelled(where, labels, [rows], tree.words, options);
    return {
      shape: [rows],
      weights: weighting,
      pass(coefficients) {
        const values = new Float64Array(rows), dx = new Float32Array(x.size), sums = new RowSums([tree.nodes, width]), row = new Float64Array(width);
        for (let i = 0; i < rows; i++) {
          if (weighting?.[i] === 0) continue;
          row.fill(0);
          for (let step = tree.indptr[y[i]]; step < tree.indptr[y[i] + 1]; step++) {
            const from = tree.path[step] * width, side = tree.side[step];
            let z = 0;
            for (let d = 0; d < width; d++) z += x.data[i * width + d] * w.data[from + d];
            values[i] += softplus(-side * z);
            if (coefficients === undefined) continue;
            const slope = -coefficients[i] * side * sigmoid(-side * z);
            for (let d = 0; d < width; d++) row[d] += slope * w.data[from + d];
            sums.add(tree.path[step], slope, x.data, i * width);
          }
          dx.set(row, i * width);
        }
        return { values, gradients: () => ({ grads: { hidden: new Tensor("float32", x.shape, dx), nodes: sums.finish() } }) };
      },
    };
  },
);
