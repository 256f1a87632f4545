import { entropyGrad, logSoftmaxGrad, logSumExpGrad, softmaxGrad } from "./gradients.ts";
import { logitStatistics } from "./logitStatistics.ts";
import { mahalanobis } from "./mahalanobis.ts";
import { matmul } from "./matmul.ts";
import { nearestNeighbors } from "./nearestNeighbors.ts";
import { sampleTokens } from "./sampleTokens.ts";
import { argmax, max } from "./select.ts";
import { entropy, logSoftmax, logSumExp, softmax } from "./softmax.ts";
import { topK } from "./topK.ts";

/** All operations of the backend under their names, as a tensor brings them along (`x.operations`). */
export interface Operations {
  readonly argmax: typeof argmax;
  readonly entropy: typeof entropy;
  readonly entropyGrad: typeof entropyGrad;
  readonly logitStatistics: typeof logitStatistics;
  readonly logSoftmax: typeof logSoftmax;
  readonly logSoftmaxGrad: typeof logSoftmaxGrad;
  readonly logSumExp: typeof logSumExp;
  readonly logSumExpGrad: typeof logSumExpGrad;
  readonly mahalanobis: typeof mahalanobis;
  readonly matmul: typeof matmul;
  readonly max: typeof max;
  readonly nearestNeighbors: typeof nearestNeighbors;
  readonly sampleTokens: typeof sampleTokens;
  readonly softmax: typeof softmax;
  readonly softmaxGrad: typeof softmaxGrad;
  readonly topK: typeof topK;
}

export const OPERATIONS: Operations = { argmax, entropy, entropyGrad, logitStatistics, logSoftmax, logSoftmaxGrad, logSumExp, logSumExpGrad, mahalanobis, matmul, max, nearestNeighbors, sampleTokens, softmax, softmaxGrad, topK };
