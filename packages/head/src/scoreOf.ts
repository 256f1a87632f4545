import { log, logit } from "@logits/statistics";

/** What a probability stands for as a score: log(p / (1 - p)), where 0 and 1 count as 2^-149 and 1 - 2^-25, the ends of what float32 rounds there. */
export function scoreOf(p: number): number {
  return p === 0 ? log(2 ** -149) : p === 1 ? logit(1 - 2 ** -25) : logit(p);
}
