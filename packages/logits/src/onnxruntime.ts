export {
  collect,
  guard,
  outputs,
  type CollectOptions,
  type Collected,
  type Guarded,
  type Labels,
  type ModelRows,
} from "@logits/interop/onnxruntime";
