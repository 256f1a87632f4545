export { argsort, type ArgsortOptions } from "./argsort.ts";
export { configureWasm, initWasm, type Variant, type WasmOptions } from "./family.ts";
export { core, ResidentTensor } from "./resident.ts";
export { type AxisOptions } from "./rows.ts";
export { logSoftmax, logSumExp, softmax, type SoftmaxOptions } from "./softmax.ts";
export { temperatureMoments, type TemperatureMoments, type TemperatureMomentsOptions } from "./temperatureMoments.ts";
export { topK, type TopK, type TopKOptions } from "./topK.ts";
