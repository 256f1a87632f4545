export {
  collect,
  guard,
  outputs,
  tappedFetch,
  type CollectOptions,
  type Collected,
  type Guarded,
  type Labels,
  type ModelRows,
} from "@logits/interop/transformers";
