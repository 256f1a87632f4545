import { FormatError, message } from "@logits/tensor";
import { tap, type Tap, type TapOptions } from "./onnx/tap.ts";

/** A `fetch` as Transformers.js calls it. */
export type Fetch = (input: string | URL, init?: RequestInit) => Promise<Response>;

/**
 * A `fetch` that taps every ONNX file on its way, for `env.fetch` of Transformers.js: the models that it downloads return their penultimate tensor as well.
 *
 * What is cached is the tapped file; a file that was cached before stays as it is, so give the tapped ones a cache of their own (`env.cacheKey` in a browser, `cache_dir` in Node).
 * Requests for a part of a file and answers other than 200 go through untouched.
 *
 * @param options - as for `tap`, and `fetch` (default: that of the engine)
 * @returns a function that rejects, naming the address, for a file that `tap` refuses: RangeError for a model whose head is not one linear layer, FormatError for what is no model
 * @example
 *   env.fetch = tappedFetch();
 *   env.cacheKey = "tapped-models";
 *   const classifier = await pipeline("text-classification", "my/intents");
 *   const data = await collect(classifier, texts, labels, { features: true });
 * Source: `env.fetch` of @huggingface/transformers 4.3.1.
 */
export function tappedFetch(options: TapOptions & { readonly fetch?: Fetch } = {}): Fetch {
  const { fetch = (input, init) => globalThis.fetch(input, init), ...rest } = options;
  return async (input, init) => {
    const response = await fetch(input, init);
    if (response.status !== 200 || !/\.onnx(?:[?#]|$)/.test(`${input}`) || (init?.method ?? "GET") !== "GET") return response;
    const { bytes } = tapped(`${input}`, new Uint8Array(await response.arrayBuffer()), rest);
    const headers = new Headers(response.headers);
    headers.delete("content-encoding");
    headers.set("content-length", `${bytes.length}`);
    return new Response(bytes as Uint8Array<ArrayBuffer>, { status: 200, headers });
  };
}

function tapped(url: string, bytes: Uint8Array, options: TapOptions): Tap {
  try {
    return tap(bytes, options);
  } catch (cause) {
    const text = message("tappedFetch", url, "to be a model that can be tapped", (cause as Error).message, "Load models of other kinds with another env.fetch");
    throw cause instanceof FormatError ? new FormatError(text, { cause }) : new RangeError(text, { cause });
  }
}
