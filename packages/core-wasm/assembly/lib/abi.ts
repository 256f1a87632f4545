// Compared with `ABI_VERSION` of @logits/tensor when a binary is loaded.
export const ABI_VERSION: i32 = 1;
