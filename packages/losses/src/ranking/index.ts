export { listMleLoss, listNetLoss, listwiseSoftmaxLoss, plackettLuceLoss, type ListMleOptions } from "./listwise.ts";
export { approxNdcgLoss, lambdaLoss, mannWhitneyLoss, rankNetLoss, type ApproxNdcgOptions, type LambdaOptions, type MannWhitneyOptions, type NdcgOptions } from "./pairwise.ts";
export type { ListLoss, ListOptions } from "./listLoss.ts";
