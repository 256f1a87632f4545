// Decoding of @logits/attention; not part of the package's index.
export { attentionDecode, type DecodeProblem } from "../attentionDecode.ts";
export { cacheFormat, type CacheDType, type CacheFormat, type CacheSizes } from "../cacheFormat.ts";
