// Selection and order.
export { topK, type TopK, type TopKOptions } from "../topK.ts";
export { argsort, type ArgsortOptions } from "../argsort.ts";
