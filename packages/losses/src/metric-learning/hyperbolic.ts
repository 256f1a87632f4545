import { exp, log, log1p } from "@logits/statistics";
import { checkPositive, defineLoss, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { labelled, takingPart } from "../labelled.ts";
import { floats } from "../shaped.ts";

/** Options of hyperbolic losses. */
export interface HyperbolicOptions extends LossOptions {
  /** c > 0, minus the curvature of the ball. Default 1. */
  readonly curvature?: number;
  /** r: longer embeddings are shortened to it; `false`: none is. Default 1. */
  readonly clip?: number | false;
}

/** A point of the ball and how the gradient goes back to the vector that it was made of. */
interface BallPoint {
  readonly x: Float64Array;
  readonly square: number;
  /** 1 - c |x|^2, without cancellation. */
  readonly rest: number;
  back(gradient: Float64Array, out: Float64Array): void;
}

/** exp_0(clip(v)) = tanh(sqrt(c) |v|) v / (sqrt(c) |v|). */
function ballPoint(v: Float32Array, c: number, clip: number | false): BallPoint {
  let square = 0;
  for (const k of v) square += k * k;
  const given = Math.sqrt(square), cut = clip !== false && given > clip, n = cut ? clip : given, root = Math.sqrt(c), e = exp(-2 * root * n), rest = (4 * e) / ((1 + e) * (1 + e)), tiny = c * n * n < 1e-10;
  const f = tiny ? 1 : (1 - e) / (1 + e) / (root * n), scale = cut ? (f * clip) / given : f, x = Float64Array.from(v, (k) => scale * k);
  return {
    x,
    square: f * f * n * n,
    rest,
    back(gradient, out) {
      let along = 0;
      for (let k = 0; k < v.length; k++) along += gradient[k] * v[k];
      // Radially d(f n)/dn = rest inside the clip, 0 beyond it; across, f n / |v|.
      const share = square === 0 ? 0 : along / square;
      for (let j = 0; j < v.length; j++) out[j] += scale * (gradient[j] - share * v[j]) + (cut ? 0 : rest) * share * v[j];
    },
  };
}

function points(data: Float32Array, features: number, rows: readonly number[], c: number, clip: number | false): BallPoint[] {
  return rows.map((i) => ballPoint(data.subarray(i * features, (i + 1) * features), c, clip));
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
};

/**
 * Cross-entropy over hyperbolic logistic regression: embeddings and class points go into the Poincaré ball, a class's logit is the signed distance to its hyperplane.
 *
 *   x = exp_0(clip(embeddings[b])), p = exp_0(points[k]), exp_0(v) = tanh(sqrt(c) |v|) v / (sqrt(c) |v|);   m = -p (+) x by Möbius addition
 *   logit[b, k] = 2 |a| / sqrt(c) asinh(2 sqrt(c) m . a / ((1 - c |m|^2) |a|)),  a = normals[k];   loss[b] = log sum_k exp(logit[b, k]) - logit[b, y]
 *
 * @param embeddings - float32 [B, F], vectors at the origin of the ball
 * @param points - float32 [C, F], vectors of the points on the hyperplanes
 * @param normals - float32 [C, F], their normals; a normal of zeros has the logit and the gradient 0
 * @param labels - int32 [B], in [0, C)
 * @param options - `curvature` c (1), `clip` r (1); those of every loss
 * @returns float32 [B] ("none") or []. `withGrad`: `grads.embeddings`, `grads.points`, `grads.normals`: the derivative of the value, not rescaled by the metric as Riemannian descent does. As c goes to 0 a logit goes to 4 (x - p) . a
 * @throws RangeError for shapes that do not fit, a label outside [0, C), a curvature that is not above 0
 * @example
 *   hyperbolicCrossEntropy([[0.5, 0]], [[0, 0], [0, 0]], [[1, 0], [-1, 0]], [0]); // logits 2 asinh(sinh(1)) = 2 and -2: log(1 + exp(-4))
 * Source: Ganea, Bécigneul, Hofmann, "Hyperbolic Neural Networks", NeurIPS 2018, eq. 25; Narayan and Patel, "Hyp-OC", FG 2024; Guo et al., "Clipped Hyperbolic Classifiers Are Super-Hyperbolic Classifiers", CVPR 2022, for the clip.
 */
export const hyperbolicCrossEntropy: Loss<
  [embeddings: TensorLike, points: TensorLike, normals: TensorLike, labels: TensorLike],
  HyperbolicOptions,
  { readonly grads: { readonly embeddings: Tensor<"float32">; readonly points: Tensor<"float32">; readonly normals: Tensor<"float32"> } }
> = /* @__PURE__ */ defineLoss("hyperbolicCrossEntropy", 4, (where, args: [TensorLike, TensorLike, TensorLike, TensorLike], options: HyperbolicOptions) => {
  const { curvature: c = 1, clip = 1 } = options, z = floats(where, "embeddings", args[0], ["B", "F"]), [rows, features] = z.shape, p = floats(where, "points", args[1], ["C", features]), [classes] = p.shape;
  const a = floats(where, "normals", args[2], [classes, features]);
  checkPositive(where, "curvature", c);
  const { y, weights } = labelled(where, args[3], [rows], classes, options), active = takingPart(rows, weights), each = Array.from({ length: classes }, (_, k) => k);
  return {
    shape: [rows],
    ...(weights && { weights }),
    pass(coefficients) {
      const values = new Float64Array(rows), P = points(p.data, features, each, c, false), X = points(z.data, features, active, c, clip), root = Math.sqrt(c);
      const A = each.map((k) => Float64Array.from(a.data.subarray(k * features, (k + 1) * features))), sizes = A.map((n) => Math.sqrt(dot(n, n))), dP = each.map(() => new Float64Array(features)), dA = each.map(() => new Float64Array(features));
      const [dz, dp] = [z, p].map((x) => new Float64Array(coefficients ? x.size : 0));
      active.forEach((i, at) => {
        const { x, square, rest, back } = X[at], logits = new Float64Array(classes), us = new Float64Array(classes), dots: [xp: number, xa: number, pa: number][] = [];
        for (let k = 0; k < classes; k++) {
          const xp = dot(x, P[k].x), xa = dot(x, A[k]), pa = dot(P[k].x, A[k]), num = P[k].rest * xa - (1 - 2 * c * xp + c * square) * pa, u = sizes[k] === 0 ? 0 : (2 * root * num) / (sizes[k] * rest * P[k].rest), w = Math.abs(u);
          dots.push([xp, xa, pa]);
          us[k] = u;
          logits[k] = ((2 * sizes[k]) / root) * Math.sign(u) * log1p(w + (w * w) / (1 + Math.sqrt(1 + w * w)));
        }
        const top = logits.reduce((most, v) => Math.max(most, v), -Infinity), shares = logits.map((v) => exp(v - top)), sum = shares.reduce((s, v) => s + v, 0);
        values[i] = log(sum) + top - logits[y[i]];
        if (coefficients === undefined) return;
        const dx = new Float64Array(features);
        for (let k = 0; k < classes; k++) {
          if (sizes[k] === 0) continue;
          const g = coefficients[i] * (shares[k] / sum - (k === y[i] ? 1 : 0)), [xp, xa, pa] = dots[k], u = us[k], slope = ((g * 2 * sizes[k]) / root) / Math.sqrt(1 + u * u), gn = (slope * 2 * root) / (sizes[k] * rest * P[k].rest);
          const gxp = 2 * c * pa * gn, gxa = P[k].rest * gn, gpa = -(1 - 2 * c * xp + c * square) * gn, gx = 2 * (slope * u * (c / rest) - c * pa * gn), gp = 2 * (slope * u * (c / P[k].rest) - c * xa * gn), ga = ((g * logits[k] - slope * u) / sizes[k]) / sizes[k];
          for (let f = 0; f < features; f++) {
            dx[f] += gxp * P[k].x[f] + gxa * A[k][f] + gx * x[f];
            dP[k][f] += gxp * x[f] + gpa * A[k][f] + gp * P[k].x[f];
            dA[k][f] += gxa * x[f] + gpa * P[k].x[f] + ga * A[k][f];
          }
        }
        back(dx, dz.subarray(i * features, (i + 1) * features));
      });
      if (coefficients) each.forEach((k) => P[k].back(dP[k], dp.subarray(k * features, (k + 1) * features)));
      const tensor = (like: Tensor, data: Float64Array): Tensor<"float32"> => new Tensor("float32", like.shape, Float32Array.from(data));
      return {
        values,
        gradients: () => ({ grads: { embeddings: tensor(z, dz), points: tensor(p, dp), normals: tensor(a, Float64Array.from({ length: a.size }, (_, k) => dA[Math.floor(k / features)][k % features])) } }),
      };
    },
  };
});

/**
 * Mean hyperbolic distance of each embedding to the others of its batch: the pairwise confusion of one-class training, which draws a class together until it no longer tells its members apart.
 *
 *   loss[i] = mean_{j != i} 2 / sqrt(c) artanh(sqrt(c) |-x[i] (+) x[j]|) = mean of 1 / sqrt(c) arcosh(1 + 2 c |x[i] - x[j]|^2 / ((1 - c |x[i]|^2) (1 - c |x[j]|^2))),  x = exp_0(clip(embeddings))
 *
 * @param embeddings - float32 [N, F], of the class that is to be known; others through `where`
 * @param options - `curvature` c (1), `clip` r (1); those of every loss
 * @returns float32 [N] ("none") or []; an embedding without another counts for nothing. `withGrad`: `grad`; 0 between equal points
 * @throws RangeError for another shape, a curvature that is not above 0
 * @example
 *   hyperbolicConfusionLoss([[0, 0], [0.5, 0]]); // 2 * 0.5: geodesics from the origin keep their length, times 2
 * Source: Narayan and Patel, "Hyp-OC: Hyperbolic One Class Classification for Face Anti-Spoofing", FG 2024; its published code has arctan in place of artanh and pairs only the two halves of a batch.
 */
export const hyperbolicConfusionLoss: Loss<[embeddings: TensorLike], HyperbolicOptions> = /* @__PURE__ */ defineLoss("hyperbolicConfusionLoss", 1, (where, [embeddings]: [TensorLike], options: HyperbolicOptions) => {
  const { curvature: c = 1, clip = 1 } = options, z = floats(where, "embeddings", embeddings, ["N", "F"]);
  checkPositive(where, "curvature", c);
  const [n, features] = z.shape, share = rowWeights(where, n, options), rows = takingPart(n, share), count = rows.length, weights = share ?? new Float32Array(n).fill(1);
  if (count < 2) weights.fill(0);
  return {
    shape: [n],
    weights,
    pass(coefficients) {
      const values = new Float64Array(n), grad = new Float64Array(z.size), X = points(z.data, features, rows, c, clip), dX = X.map(() => new Float64Array(features));
      for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) {
        const [a, b] = [X[i], X[j]];
        let square = 0;
        for (let f = 0; f < features; f++) square += (a.x[f] - b.x[f]) * (a.x[f] - b.x[f]);
        // sinh^2(d sqrt(c) / 2) = c |x - x'|^2 / (rest rest').
        const h = (c * square) / (a.rest * b.rest), s = Math.sqrt(h), d = (2 / Math.sqrt(c)) * log1p(s + h / (1 + Math.sqrt(1 + h)));
        values[rows[i]] += d / (count - 1);
        values[rows[j]] += d / (count - 1);
        if (coefficients === undefined || h === 0) continue;
        const g = (coefficients[rows[i]] + coefficients[rows[j]]) / (count - 1) / Math.sqrt(c * h * (1 + h)), k = (2 * c * g) / (a.rest * b.rest);
        for (let f = 0; f < features; f++) {
          const across = k * (a.x[f] - b.x[f]);
          dX[i][f] += across + 2 * c * g * h * (a.x[f] / a.rest);
          dX[j][f] += 2 * c * g * h * (b.x[f] / b.rest) - across;
        }
      }
      if (coefficients) rows.forEach((at, i) => X[i].back(dX[i], grad.subarray(at * features, (at + 1) * features)));
      return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, Float32Array.from(grad)) }) };
    },
  };
});
