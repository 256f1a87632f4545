export { findLinearHead, readLinearHead, type FindOptions, type OnnxLinearHead, type OnnxLinearWeights, type OnnxStorage, type ReadOptions } from "./findLinearHead.ts";
export { type ExternalFiles } from "./constant.ts";
export { type ExternalRange, type OnnxDType } from "./model.ts";
export { tap, type Tap, type TapOptions } from "./tap.ts";
export { HEAD_KEY, attach, detach, readHead, readMetadata } from "./attach.ts";
