import { rangeError } from "@logits/tensor";
import { arcCosine, sineCosine } from "./angle.ts";

/** What a margin makes of the cosine with the label's class vector, and the derivative of that. */
export type TargetMargin = (cosine: number) => readonly [cosine: number, slope: number];

/** The sine is taken for at least this where a slope is divided by it: the slope is infinite at a cosine of 1 or -1. */
const LEAST_SINE = 1e-6;

/**
 * The margin of CosFace (AM-Softmax): a difference of cosines.
 *
 *   t(c) = c - margin
 *
 * @param margin - m; 0.35 in the paper for large sets
 * @returns the margin
 * @example
 *   cosFaceMargin(0.35)(0.9); // [0.55, 1]
 * Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, eq. 4.
 */
export function cosFaceMargin(margin: number): TargetMargin {
  return (c) => [c - margin, 1];
}

/**
 * The margin of ArcFace, an angle; without arc cosine.
 *
 *   t(c) = cos(theta + margin) = c cos margin - sqrt(1 - c^2) sin margin where theta <= pi - margin, else c - margin sin margin, which keeps it decreasing in theta
 *
 * @param margin - m in radians, in [0, pi]; 0.5 in the paper
 * @returns the margin. Its slope, cos m + c sin m / sin theta, divides by at least 1e-6: it is infinite at theta = 0 (the gradient of the embedding is not; nearer than 1e-6 radians it is too small)
 * @throws RangeError for another margin
 * @example
 *   arcFaceMargin(0.5)(0.9); // [0.5808, 1.8674]: from 0.451 to 0.951 radians
 * Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, eq. 3; the second branch from its published code.
 */
export function arcFaceMargin(margin: number): TargetMargin {
  if (!(margin >= 0 && margin <= Math.PI)) throw rangeError("arcFaceMargin", "margin", "in [0, pi]", `${margin}`);
  const [sine, cosine] = sineCosine(margin);
  return (c) => {
    const s = Math.sqrt((1 - c) * (1 + c));
    return c < -cosine ? [c - margin * sine, 1] : [c * cosine - s * sine, cosine + (c * sine) / Math.max(s, LEAST_SINE)];
  };
}

/**
 * The margin of SphereFace: a multiple of the angle, continued so that it decreases over [0, pi].
 *
 *   t(c) = (-1)^k cos(margin theta) - 2k,  theta in [k pi / margin, (k + 1) pi / margin]
 *
 * @param margin - m, an integer >= 1; 4 in the paper
 * @returns the margin; a polynomial on each piece, so its slope is finite everywhere
 * @throws RangeError for another margin
 * @example
 *   sphereFaceMargin(2)(0.5); // [-0.5, 2]: from pi / 3 to twice that
 * Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", CVPR 2017, eq. 7.
 */
export function sphereFaceMargin(margin: number): TargetMargin {
  if (!(Number.isInteger(margin) && margin >= 1)) throw rangeError("sphereFaceMargin", "margin", "an integer >= 1", `${margin}`);
  const edges = Array.from({ length: margin - 1 }, (_, k) => sineCosine(((k + 1) * Math.PI) / margin)[1]);
  return (c) => {
    // Chebyshev: cos(m theta) and sin(m theta) / sin(theta).
    let [t, before, u, under] = [c, 1, 1, 0];
    for (let n = 1; n < margin; n++) [t, before, u, under] = [2 * c * t - before, t, 2 * c * u - under, u];
    const k = edges.filter((edge) => c < edge).length, sign = k % 2 === 0 ? 1 : -1;
    return [sign * t - 2 * k, sign * margin * u];
  };
}

/**
 * The margins of the ArcFace paper's appendix in one.
 *
 *   t(c) = cos(multiple theta + angle) - cosine
 *
 * @param multiple - m1 > 0; 1 = none
 * @param angle - m2 in radians, in [0, pi]; 0 = none
 * @param cosine - m3; 0 = none
 * @returns the margin. With m1 = 1 it is that of `arcFaceMargin` less m3, past pi too; with another m1 it increases again where m1 theta + m2 > pi, as in the published code. Its slope divides by a sine of at least 1e-6
 * @throws RangeError for another multiple or angle
 * @example
 *   combinedMargin(1, 0.3, 0.2)(0.9); // [0.5310, 1.5655]
 * Source: Deng et al., CVPR 2019, eq. 4.
 */
export function combinedMargin(multiple: number, angle: number, cosine: number): TargetMargin {
  if (!(multiple > 0 && multiple < 8)) throw rangeError("combinedMargin", "multiple", "in (0, 8)", `${multiple}`);
  const arc = arcFaceMargin(angle);
  return (c) => {
    if (multiple === 1) {
      const [t, slope] = arc(c);
      return [t - cosine, slope];
    }
    const [sin, t] = sineCosine(multiple * arcCosine(c) + angle);
    return [t - cosine, (multiple * sin) / Math.max(Math.sqrt((1 - c) * (1 + c)), LEAST_SINE)];
  };
}
