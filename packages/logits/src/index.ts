export { DecisionHead, type Decision, type Guarantee } from "@logits/head";
export { TemperatureScaling, expectedCalibrationError, probabilitiesToLogits, reliabilityDiagram } from "@logits/calibration";
export { SplitConformal, coverageReport } from "@logits/conformal";
export { accuracy, negativeLogLikelihood, riskCoverage } from "@logits/metrics";
export { configureWasm, core, logSoftmax, logSumExp, softmax, topK } from "@logits/core-wasm";
export { Tensor, randomSource, tensor, type TensorLike } from "@logits/tensor";
