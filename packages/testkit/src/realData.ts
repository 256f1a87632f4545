/** Outputs of a real network with labels, row-major. */
export interface RealData {
  readonly shape: readonly [rows: number, classes: number];
  readonly labels: Int32Array;
}

interface NodeLike {
  getBuiltinModule(name: "node:fs"): { readFileSync(url: URL): Uint8Array };
}

function read(path: string): Uint8Array {
  const { process } = globalThis as unknown as { process: NodeLike };
  return process.getBuiltinModule("node:fs").readFileSync(new URL(`../../../data/${path}`, import.meta.url));
}

/** The body of a `.npy` of version 1 at `start`. */
function npyBody(bytes: Uint8Array, start: number): DataView {
  const header = bytes[start + 8] + 256 * bytes[start + 9];
  return new DataView(bytes.buffer, bytes.byteOffset + start + 10 + header);
}

/** Where a member of a stored zip begins. */
function zipMember(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
}

function float16(bits: number): number {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

/** data/cifar10-vgg16: probabilities float32 [10000, 10]. */
export function cifar10Vgg16(): RealData & { readonly probabilities: Float32Array } {
  const p = npyBody(read("cifar10-vgg16/probabilities.npy"), 0), y = npyBody(read("cifar10-vgg16/labels.npy"), 0);
  return { shape: [10000, 10], probabilities: Float32Array.from({ length: 100000 }, (_, i) => p.getFloat32(4 * i, true)), labels: Int32Array.from({ length: 10000 }, (_, i) => y.getUint8(i)) };
}

/** data/densenet-bc-100-cifar-100: log-probabilities [10000, 100]. */
export function densenetCifar100(): RealData & { readonly logits: Float32Array } {
  const bytes = read("densenet-bc-100-cifar-100/outputs.npz");
  const z = npyBody(bytes, zipMember(bytes, 0)), y = npyBody(bytes, zipMember(bytes, 2000188));
  return { shape: [10000, 100], logits: Float32Array.from({ length: 1000000 }, (_, i) => float16(z.getUint16(2 * i, true))), labels: Int32Array.from({ length: 10000 }, (_, i) => y.getUint8(i)) };
}
