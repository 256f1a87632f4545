/**
 * A sum of statistics over batches, so that a fit runs over streams, workers and machines.
 *
 * `merge` is associative and commutative up to rounding (1e-12 relative); a fixed tree of updates and merges gives the same bits everywhere.
 * A class that implements it also has `static fromBytes(bytes: Uint8Array)`, which checks every field and throws `FormatError`.
 */
export interface Accumulator<Batch, Result> {
  /** Takes a batch in. A batch that throws leaves the accumulator as it was. */
  update(batch: Batch): this;
  /** Takes in what another accumulator of the same settings has seen; `other` is not changed. */
  merge(other: this): this;
  /** All state, in a versioned little-endian format with a checksum. */
  toBytes(): Uint8Array;
  /** The result so far; the accumulator can go on. */
  finish(): Result;
}
