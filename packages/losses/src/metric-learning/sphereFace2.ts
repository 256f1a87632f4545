import { exp, log, pow, softplus } from "@logits/statistics";
import { checkPositive, rangeError } from "@logits/tensor";
import { checkChoice } from "../range.ts";
import { arcCosine, sineCosine } from "./angle.ts";
import { classLoss, type ClassLoss } from "./classCosines.ts";
import type { CosineSoftmaxOptions } from "./marginSoftmax.ts";

/** Options of `sphereFace2Loss` and `sphereFace2Bias`. */
export interface SphereFace2Options extends CosineSoftmaxOptions {
  /** "C": a difference of adjusted cosines, for all classes; "A": an angle in radians added for the label; "M": the label's angle multiplied. Default "C". */
  readonly kind?: "C" | "A" | "M";
  /** m; default 0.4, which for "M" would have to be above 1. */
  readonly margin?: number;
  /** t of g(z) = 2 ((z + 1) / 2)^t - 1; default 3. */
  readonly power?: number;
  /** lambda, weight of the label against the other classes, in (0, 1); default 0.7. */
  readonly balance?: number;
  /** b; default that of `sphereFace2Bias`. */
  readonly bias?: number;
  /** "official": as published, through the cosine alone, g and margin without a derivative. "exact": of the value. Default "official". */
  readonly gradient?: "official" | "exact";
}

/** What the margin makes of the label's cosine before g, and the derivative. */
function labelAngle(kind: "A" | "M", margin: number, c: number): [cosine: number, slope: number] {
  const theta = arcCosine(c), turned = kind === "A" ? theta + margin : theta * margin;
  if (turned >= Math.PI) return [-1, 0];
  const [sine, cosine] = sineCosine(turned);
  return [cosine, ((kind === "A" ? 1 : margin) * sine) / Math.max(Math.sqrt((1 - c) * (1 + c)), 1e-6)];
}

/**
 * SphereFace2: a binary decision for each class, instead of one softmax over them.
 *
 *   loss[b] = balance / s softplus(-(s f[b, y] + b)) + (1 - balance) / s sum_{c != y} softplus(s f[b, c] + b)
 *   kind "C": f[b, y] = g(cos theta_y) - m, f[b, c] = g(cos theta_c) + m;   "A": f[b, y] = g(cos min(pi, theta_y + m)), "M": f[b, y] = g(cos min(pi, m theta_y)), f[b, c] = g(cos theta_c)
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]; [C K, F] with `centers` K
 * @param labels - int32 [B], in [0, C)
 * @param options - `kind`, `margin` m, `power` t of g(z) = 2 ((z + 1) / 2)^t - 1, `balance`, `scale` s (default 40), `bias` b, `gradient`, `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`. The published code multiplies this by 50 C and divides by C: times 50. The bias is a number without a gradient
 * @throws RangeError as `marginSoftmaxLoss`, and for a balance outside (0, 1)
 * @example
 *   sphereFace2Loss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 1, margin: 0, power: 1, bias: 0, balance: 0.5 }); // (softplus(-1) + softplus(0)) / 2
 * Source: Wen et al., "SphereFace2: Binary Classification is All You Need for Deep Face Recognition", ICLR 2022, eq. 5 and section 3.3; its published code for the bias and the kinds.
 */
export const sphereFace2Loss: ClassLoss<SphereFace2Options> = /* @__PURE__ */ classLoss("sphereFace2Loss", (options: SphereFace2Options, { y, classes, target }, where) => {
  const { kind = "C", margin = 0.4, power = 3, balance = 0.7, scale = 40, gradient = "official" } = options;
  checkPositive(where, "scale", scale);
  checkPositive(where, "power", power);
  checkChoice(where, "kind", kind, ["C", "A", "M"]);
  checkChoice(where, "gradient", gradient, ["official", "exact"]);
  if (!(balance > 0 && balance < 1)) throw rangeError(where, "balance", "in (0, 1)", `${balance}`);
  const bias = options.bias ?? sphereFace2Bias(classes, options), exact = gradient === "exact", cut = kind === "C" ? margin : 0;
  return (f, i, coefficient) => {
    const label = y[i];
    let value = 0;
    for (let j = 0; j < classes; j++) {
      const own = j === label, c = own ? target(i) : f[j], sign = own ? -1 : 1, weight = (own ? balance : 1 - balance) / scale;
      const [turned, slope] = own && kind !== "C" ? labelAngle(kind, margin, c) : [c, 1], half = Math.max(0, (turned + 1) / 2), top = pow(half, power - 1);
      const score = sign * (scale * (2 * half * top - 1 + sign * cut) + bias);
      value += weight * softplus(score);
      if (coefficient !== undefined) f[j] = (coefficient * weight * sign * scale * (exact ? power * top * slope : 1)) / (1 + exp(-score));
    }
    return value;
  };
});

/**
 * The bias of SphereFace2 at which, with all cosines 0, the label's gradient balances that of the other classes together: where its training starts.
 *
 *   b = log(2 z) - a - log(1 - z + sqrt((1 - z)^2 + 4 z exp(a_y - a))),  z = balance / ((1 - balance) (C - 1)), a_y = s f(label), a = s f(others) at cosine 0
 *
 * @param classes - C >= 2
 * @param options - as for the loss
 * @returns b
 * @throws RangeError for fewer classes
 * @example
 *   sphereFace2Bias(10); // 12.95
 * Source: Wen et al., "SphereFace2", ICLR 2022, appendix; its published code.
 */
export function sphereFace2Bias(classes: number, options: SphereFace2Options = {}): number {
  const { kind = "C", margin = 0.4, power = 3, balance = 0.7, scale = 40 } = options;
  if (!(Number.isInteger(classes) && classes >= 2)) throw rangeError("sphereFace2Bias", "classes", "an integer >= 2", `${classes}`);
  const g = (c: number): number => 2 * pow((c + 1) / 2, power) - 1, cut = kind === "C" ? margin : 0, z = balance / ((1 - balance) * (classes - 1));
  const own = scale * (g(kind === "C" ? 0 : labelAngle(kind, margin, 0)[0]) - cut), other = scale * (g(0) + cut);
  return log(2 * z) - other - log(1 - z + Math.sqrt((1 - z) * (1 - z) + 4 * z * exp(own - other)));
}
