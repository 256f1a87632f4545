import type { Control } from "../worker/protocol.ts";

/** A file of this page's own site, with progress. */
export async function fetched(url: string, text: string, control: Control): Promise<Uint8Array> {
  control.progress(0, text);
  const answer = await fetch(url, { signal: control.signal });
  if (!answer.ok) throw new Error(`The page's own file ${url} could not be read (${answer.status}).`);
  const total = Number(answer.headers.get("content-length") ?? 0), reader = answer.body!.getReader(), pieces: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    size += value.length;
    if (total > 0) control.progress(Math.min(1, size / total));
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
