import { FormatError, message } from "@logits/tensor";

/** What a model of CRFsuite holds. */
export interface CrfSuiteModel {
  readonly labels: readonly string[];
  readonly attributes: readonly string[];
  /** Weights of attributes with labels. */
  readonly states: readonly { readonly attribute: number; readonly label: number; readonly weight: number }[];
  /** Weights of label after label. */
  readonly transitions: readonly { readonly from: number; readonly to: number; readonly weight: number }[];
}

/**
 * Reads the file of a first-order CRF of CRFsuite ("lCRF", version 100). Numbers are little-endian; addresses count from the start of the file, those of a name
 * table from the start of the table.
 *
 *   header  "lCRF" size "FOMC" version features labels attributes, then the addresses of: features, label names, attribute names, references (not read)
 *   features  "FEAT" size count, then 20 bytes each: type (0 attribute with label, 1 label after label) from to weight f64
 *   names  "CQDB" size flag order back-count back-address, 256 hash tables (not read); back: address of the record of each id, or 0; record: id length name NUL
 */
export function readCrfSuite(where: string, bytes: Uint8Array): CrfSuiteModel {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fail = (expected: string, got: string): never => {
    throw new FormatError(message(where, "bytes", expected, got));
  };
  const u32 = (at: number, end = bytes.length): number => (at + 4 <= end ? view.getUint32(at, true) : fail("with everything inside the file", `a number at ${at} of ${end} bytes`));
  const tag = (at: number): string => (at + 4 <= bytes.length ? String.fromCharCode(...bytes.subarray(at, at + 4)) : "");
  const expectTag = (at: number, wanted: string): void => {
    if (tag(at) !== wanted) fail(`with "${wanted}" at ${at}`, JSON.stringify(tag(at)));
  };
  expectTag(0, "lCRF");
  expectTag(8, "FOMC");
  if (u32(12) !== 100) fail("of version 100", `${u32(12)}`);
  if (u32(4) > bytes.length) fail(`of ${u32(4)} bytes`, `${bytes.length}`);
  const featuresAt = u32(28), labelsAt = u32(32), attributesAt = u32(36);
  const names = (at: number, what: string, wanted: number): string[] => {
    expectTag(at, "CQDB");
    const end = at + u32(at + 4);
    if (end > bytes.length) fail("with everything inside the file", `a table of names that ends at ${end} of ${bytes.length} bytes`);
    if (u32(at + 12, end) !== 0x62445371) fail("of little-endian numbers", "another order of bytes");
    const count = u32(at + 16, end), back = at + u32(at + 20, end);
    if (count < wanted || back + 4 * count > end) fail(`with the names of ${wanted} ${what}`, `room for ${count}`);
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return Array.from({ length: wanted }, (_, id) => {
      const offset = u32(back + 4 * id, end), record = at + offset;
      if (offset === 0) fail(`with the names of ${wanted} ${what}`, `none of ${id}`);
      const size = u32(record + 4, end);
      if (u32(record, end) !== id || size < 1 || record + 8 + size > end) fail(`with the names of ${wanted} ${what}`, `a damaged record of ${id}`);
      return decoder.decode(bytes.subarray(record + 8, record + 8 + size - 1));
    });
  };
  const C = u32(20), A = u32(24);
  if (C < 1 || C > bytes.length / 8 || A > bytes.length / 8) fail("with counts that fit into the file", `${C} labels, ${A} attributes`);
  const labels = names(labelsAt, "labels", C), attributes = names(attributesAt, "attributes", A);
  if (new Set(labels).size !== C) fail("with different labels", "one twice");
  expectTag(featuresAt, "FEAT");
  const count = u32(featuresAt + 8);
  if (featuresAt + 12 + 20 * count > bytes.length) fail(`of ${count} features`, `room for ${Math.floor((bytes.length - featuresAt - 12) / 20)}`);
  const states: { attribute: number; label: number; weight: number }[] = [], transitions: { from: number; to: number; weight: number }[] = [];
  for (let k = 0; k < count; k++) {
    const at = featuresAt + 12 + 20 * k, type = u32(at), from = u32(at + 4), to = u32(at + 8), weight = view.getFloat64(at + 12, true);
    if (type > 1 || to >= C || from >= (type === 0 ? A : C) || weight - weight !== 0) fail("of features of attributes and labels that are there, with finite weights", `feature ${k}: type ${type}, ${from}, ${to}, weight ${weight}`);
    if (type === 0) states.push({ attribute: from, label: to, weight });
    else transitions.push({ from, to, weight });
  }
  return { labels, attributes, states, transitions };
}
