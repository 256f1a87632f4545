export { attach, detach, findLinearHead, readHead, readLinearHead, tap } from "@logits/interop/onnx";
