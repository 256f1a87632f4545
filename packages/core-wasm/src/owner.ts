import { rangeError, type Tensor } from "@logits/tensor";
import { version } from "#wasm/version";

/** Identity of this copy of the package: resident tensors of another copy live in another memory. */
export const OWNER: { readonly version: string } = { version };

/** Byte address of a tensor in this memory; 0 if it is an ordinary one. */
export function pointerOf(where: string, argument: string, x: Tensor): number {
  const { owner, pointer } = x as Tensor & { readonly owner?: { readonly version: string }; readonly pointer?: number };
  if (owner === undefined) return 0;
  if (owner !== OWNER) throw rangeError(where, argument, `of this copy of @logits/core-wasm (${version})`, `a resident tensor of another copy (${owner.version})`, "Install one version of all @logits packages");
  return pointer!;
}
