export { DecisionHead, HashedNgrams, LinearHead, MultiLabelHead, PrototypeHead, ZeroShotScorer, hashedNgrams, type Decision, type Guarantee, type MultiLabelDecision } from "@logits/head";
export { TemperatureScaling, expectedCalibrationError, probabilitiesToLogits, reliabilityDiagram } from "@logits/calibration";
export { SplitConformal, coverageReport } from "@logits/conformal";
export { ConformalPValues, Threshold, fitDetector, type Detector } from "@logits/ood";
export { accuracy, auroc, falsePositiveRateAtRecall, negativeLogLikelihood, riskCoverage } from "@logits/metrics";
export { configureWasm, core, logSoftmax, logSumExp, logitStatistics, softmax, topK } from "@logits/core-wasm";
export { fromTopLogprobs } from "@logits/interop";
export { Tensor, randomSource, tensor, type TensorLike } from "@logits/tensor";
