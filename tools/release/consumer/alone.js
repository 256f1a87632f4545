import { softmax } from "@logits/core-wasm";

globalThis.result = softmax([1, 2]);
