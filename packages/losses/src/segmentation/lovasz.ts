import { argsort } from "@logits/core-wasm/select";
import { defineLoss, type TensorLike } from "@logits/tensor";
import { times } from "../elementLoss.ts";
import { regionsOf, type RegionLoss, type RegionOptions } from "./regions.ts";

/** The Lovasz extension of the Jaccard loss over errors: hinges of logits, or distances of probabilities. */
function lovaszLoss(name: string, defaults: Pick<RegionOptions, "activation" | "absent">, hinge: boolean): RegionLoss {
  return defineLoss(name, 2, (where, [logits, targets]: [TensorLike, TensorLike], options: RegionOptions) => {
    const { p, t, w, units, shape, weights, present, unit, gradient } = regionsOf(where, logits, targets, options, options.weight, defaults);
    return {
      shape,
      weights,
      pass(coefficients) {
        const values = new Float64Array(units), dp = new Float64Array(coefficients ? p.length : 0), members = Array.from({ length: units }, (): number[] => []);
        for (let i = 0; i < p.length; i++) if (w[i] !== 0) members[unit[i]].push(i);
        members.forEach((elements, u) => {
          if (weights[u] === 0 || (options.absent === "zero" && present[u] === 0)) return;
          const errors = Float64Array.from(elements, (i) => (hinge ? 1 - (2 * t[i] - 1) * p[i] : Math.abs(t[i] - p[i]))), total = elements.reduce((sum, i) => sum + t[i], 0);
          // An order does not exist with NaN.
          if (errors.some((e) => e !== e)) values[u] = NaN;
          let left = total, union = total, before = 0;
          for (const k of values[u] === values[u] ? argsort(Float32Array.from(errors), { descending: true }).data : errors.keys()) {
            const i = elements[k];
            left -= t[i];
            union += 1 - t[i];
            const step = 1 - left / union - before;
            before += step;
            if (hinge && errors[k] <= 0) continue;
            values[u] += times(step, errors[k]);
            if (coefficients) dp[i] = coefficients[u] * step * (values[u] === values[u] ? (hinge ? 1 - 2 * t[i] : p[i] < t[i] ? -1 : 1) : NaN);
          }
        });
        return { values, gradients: () => ({ grad: gradient(dp) }) };
      },
    };
  });
}

/**
 * Lovasz-softmax loss of each class: the Jaccard loss, made continuous by its Lovasz extension, of how far probabilities are from the labels.
 *
 *   loss[c] = sum_k e_k (J(k) - J(k - 1)),   e = |t - p| in falling order,   J(k) = 1 - intersection / union, were the first k pixels wrong
 *
 * @param logits - float32 [B, C] or [B, ..., C], [B, C, H, W] with `axis` 1
 * @param targets - as in `diceLoss`; masks of 0 and 1
 * @param options - those of `diceLoss` without smoothing; `absent` ("skip": only classes that occur)
 * @returns float32 [C], [B, C] ("none") or [], in [0, 1]. Probabilities of 0 and 1: the Jaccard loss. `withGrad`: `grad`; of equal errors the earlier pixel comes first
 * @throws RangeError as `diceLoss`
 * @example
 *   lovaszSoftmaxLoss([[4, 0], [0, 4]], [0, 1]); // 0.0180
 * Source: Berman, Triki, Blaschko, "The Lovasz-softmax loss", CVPR 2018, algorithm 1.
 */
export const lovaszSoftmaxLoss: RegionLoss = /* @__PURE__ */ lovaszLoss("lovaszSoftmaxLoss", {}, false);

/**
 * Lovasz hinge of each mask: the Lovasz extension of the Jaccard loss over hinges of the logits.
 *
 *   loss[c] = sum_k max(0, e_k) (J(k) - J(k - 1)),   e = 1 - (2 t - 1) logit in falling order
 *
 * @param logits - float32 [B, 1], [B, C] or more axes: one binary score for each mask
 * @param targets - masks of 0 and 1, the shape of the logits, or without the axis where C is 1
 * @param options - those of `lovaszSoftmaxLoss`; `activation` ("none"), `per` "image" as the authors take it, `absent` ("count": without a target, the largest hinge)
 * @returns float32 [C], [B, C] ("none") or []. `withGrad`: `grad`
 * @throws RangeError as `diceLoss`
 * @example
 *   lovaszHingeLoss([[2], [-1], [0.5]], [[1], [0], [0]]); // 0.75
 * Source: Yu and Blaschko, "The Lovasz hinge", 2015; Berman, Triki, Blaschko, CVPR 2018.
 */
export const lovaszHingeLoss: RegionLoss = /* @__PURE__ */ lovaszLoss("lovaszHingeLoss", { activation: "none", absent: "count" }, true);
