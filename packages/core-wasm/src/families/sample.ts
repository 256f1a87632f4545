// Sampling.
export { gumbelSoftmax, gumbelSoftmaxGrad, type GumbelSoftmaxGradOptions, type GumbelSoftmaxOptions } from "../gumbelSoftmax.ts";
export { sampleCategorical, type SampleCategoricalOptions } from "../sampleCategorical.ts";
