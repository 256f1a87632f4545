export { ABI_VERSION } from "./abi.ts";
export { Tensor, describe, sizeOf, type DataOf, type DType, type NestedArray } from "./tensor.ts";
export { asFloat32, asInt32, asMask, checkAttached, tensor, type NumericArray, type OnnxTensorLike, type PlainTensorLike, type TensorLike } from "./convert.ts";
export { asFloat16Bits, float16ToFloat32, float32ToFloat16 } from "./float16.ts";
export { isOnGpu } from "./isOnGpu.ts";
export { lastingData } from "./lastingData.ts";
export { asLengths, asOffsets } from "./sequences.ts";
export { checkCsr, isCsr, type CsrMatrix } from "./csr.ts";
export { checkAxis, checkInteger, checkLabels, checkNoNaN, checkPositive, checkShape } from "./check.ts";
export {
  BackendUnavailableError,
  ConvergenceError,
  DisposedError,
  FormatError,
  LogitsError,
  UnsupportedKernelError,
  message,
  rangeError,
  typeError,
} from "./errors.ts";
export { philox, randomSource, type RandomSource } from "./random.ts";
export { reduceRows, rowWeights, type Loss, type LossOptions, type Reduction } from "./loss.ts";
export { defineLoss, type LossPlan } from "./defineLoss.ts";
export { watchedOptions, type WatchedOptions } from "./watchedOptions.ts";
export { lossRows, scoreRows, type LossRows, type RowLossOptions, type ScoreRows } from "./lossRows.ts";
export { checkProbabilities } from "./probabilities.ts";
export { readJson, tensorToJSON, type JsonFields, type TensorJSON } from "./json.ts";
export { partOf, runSteps, runStepsAsync, type LongWorkOptions, type Steps } from "./longWork.ts";
