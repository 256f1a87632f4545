// Each test project runs on the variant that its environment names.
import { configureWasm, type Variant } from "@logits/core-wasm";

configureWasm({ variant: process.env.LOGITS_VARIANT as Variant });
