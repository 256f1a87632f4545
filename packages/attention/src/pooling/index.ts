export { attentionPooling, type AttentionPooling, type AttentionPoolingOptions, type AttentionPoolingParameters, type AttentionPoolingWithGrad } from "./attentionPooling.ts";
export { hopfieldRetrieve, hopfieldStep, type HopfieldOptions, type HopfieldRetrieveOptions, type HopfieldStep } from "./hopfield.ts";
export { slotAttention, type SlotAttention, type SlotAttentionOptions, type SlotAttentionWithGrad } from "./slotAttention.ts";
