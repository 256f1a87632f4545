import { asFloat32, checkShape, defineLoss, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** The gradients of a loss of pairs. */
export interface PairGradients {
  readonly grads: { readonly chosen: Tensor<"float32">; readonly rejected: Tensor<"float32"> };
}

/** A loss of the log-probabilities of chosen and rejected answers. */
export type PairLoss<Options extends LossOptions = LossOptions> = Loss<[chosen: TensorLike, rejected: TensorLike], Options, PairGradients>;

/** The same against a reference model. */
export type ReferenceLoss<Options extends LossOptions = LossOptions> = Loss<[chosen: TensorLike, rejected: TensorLike, referenceChosen: TensorLike, referenceRejected: TensorLike], Options, PairGradients>;

/** The value of pair i and its derivatives by a and b: log-probabilities of the chosen and the rejected answer, or their logarithmic ratios to the reference. The second goes to another rejected answer than i where that is given. */
export type PairTerm = (a: number, b: number, i: number) => readonly [value: number, da: number, db: number, rejected?: number];

/** Reads float32 [B] arguments of one length. */
export function readLists(where: string, names: readonly string[], args: readonly unknown[]): Float32Array[] {
  let length = -1;
  return args.map((arg, i) => {
    const { shape, data } = asFloat32(where, names[i], arg as TensorLike);
    checkShape(where, names[i], { shape }, [length >= 0 ? length : "B"]);
    length = shape[0];
    return data;
  });
}

/** Makes a loss of pairs: one function gives a pair's value and derivatives. With four arguments it sees logarithmic ratios to the reference. */
export function pairLoss<Arguments extends readonly TensorLike[], Options extends LossOptions>(
  name: string,
  count: Arguments["length"],
  terms: (options: Options, where: string, ratios: (mine: Float32Array, reference: Float32Array | undefined) => Float64Array, lists: readonly Float32Array[], weights: Float32Array | undefined) => PairTerm,
): Loss<Arguments, Options, PairGradients> {
  return defineLoss<Arguments, Options, PairGradients>(name, count, (where, args, options) => {
    const lists = readLists(where, ["chosen", "rejected", "referenceChosen", "referenceRejected"], args), n = lists[0].length, shape = [n], weights = rowWeights(where, shape, options);
    const [a, b] = [ratios(lists[0], lists[2]), ratios(lists[1], lists[3])];
    const term = terms(options, where, ratios, lists, weights);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(n), chosen = new Float32Array(n), rejected = new Float32Array(n);
        for (let i = 0; i < n; i++) {
          if (weights?.[i] === 0) continue;
          const [value, da, db, other = i] = term(a[i], b[i], i);
          values[i] = value;
          if (coefficients === undefined || coefficients[i] === 0) continue;
          chosen[i] = coefficients[i] * da;
          rejected[other] = coefficients[i] * db;
        }
        return { values, gradients: () => ({ grads: { chosen: new Tensor("float32", shape, chosen), rejected: new Tensor("float32", shape, rejected) } }) };
      },
    };
  });
}

function ratios(mine: Float32Array, reference: Float32Array | undefined): Float64Array {
  return Float64Array.from(mine, (x, i) => x - (reference?.[i] ?? 0));
}
