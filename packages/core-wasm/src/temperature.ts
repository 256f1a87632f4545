import { rangeError } from "@logits/tensor";

/** 1 / T. Beyond [2^-126, 2^126] the quotient is no normal float32 any more, and 0 * Infinity would turn scores into NaN: an error. */
export function inverseTemperature(where: string, temperature: number): number {
  if (!(temperature >= 2 ** -126 && temperature <= 2 ** 126)) throw rangeError(where, "temperature", "in [2^-126, 2^126]", `${temperature}`);
  return 1 / temperature;
}
