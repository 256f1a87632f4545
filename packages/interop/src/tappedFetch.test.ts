import { onnxModel } from "@logits/testkit";
import { describe, expect, it, vi } from "vitest";
import { tap } from "./onnx/tap.ts";
import { tappedFetch } from "./tappedFetch.ts";

const model = onnxModel({
  inputs: [{ name: "x", shape: ["batch", 4] }], outputs: [{ name: "logits", shape: ["batch", 3] }],
  nodes: [{ type: "Relu", inputs: ["x"], outputs: ["hidden"] }, { type: "Gemm", inputs: ["hidden", "W"], outputs: ["logits"] }],
  initializers: [{ name: "W", type: "float32", shape: [4, 3], data: new Float32Array(12) }],
});

const answer = (status = 200, body = model) => async (_input: string | URL, _init?: RequestInit): Promise<Response> => new Response(body as Uint8Array<ArrayBuffer>, { status, headers: { "content-length": `${body.length}`, "content-type": "application/octet-stream" } });
const bytesOf = async (response: Response): Promise<Uint8Array> => new Uint8Array(await response.arrayBuffer());

describe("tappedFetch", () => {
  it.each(["https://host/my/intents/resolve/main/onnx/model_quantized.onnx", "/models/model.onnx?download=true"])("taps %s", async (url) => {
    const response = await tappedFetch({ fetch: answer() })(url);
    expect(await bytesOf(response)).toEqual(tap(model).bytes);
    expect(response.headers.get("content-length")).toBe(`${tap(model).bytes.length}`);
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
  });

  it("passes on what `tap` is told", async () => {
    const response = await tappedFetch({ fetch: answer(), tensor: "hidden" })(new URL("https://host/model.onnx"));
    expect(await bytesOf(response)).toEqual(tap(model, { tensor: "hidden" }).bytes);
  });

  it.each([
    ["other files", "https://host/config.json", undefined, 200], ["data files", "https://host/model.onnx_data", undefined, 200],
    ["parts of files", "https://host/model.onnx", { headers: { range: "bytes=0-0" } }, 206], ["what is not there", "https://host/model.onnx", undefined, 404],
    ["questions", "https://host/model.onnx", { method: "HEAD" }, 200],
  ] as const)("leaves %s alone", async (_, url, init, status) => {
    const fetch = vi.fn(answer(status));
    const response = await tappedFetch({ fetch })(url, init);
    expect(await bytesOf(response)).toEqual(model);
    expect(fetch).toHaveBeenCalledWith(url, init);
  });

  it("names the file that cannot be tapped", async () => {
    const damaged = tappedFetch({ fetch: answer(200, Uint8Array.of(1, 2, 3)) })("https://host/model.onnx");
    await expect(damaged).rejects.toMatchObject({ code: "FORMAT", cause: { code: "FORMAT" } });
    await expect(damaged).rejects.toThrowErrorMatchingInlineSnapshot(`[FormatError: tappedFetch: expected \`https://host/model.onnx\` to be a model that can be tapped, got tap: expected \`bytes\` to be an ONNX model, got field number 0 at byte 0. Load models of other kinds with another env.fetch]`);
    await expect(tappedFetch({ fetch: answer(), tensor: "no" })("https://host/encoder_model.onnx")).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: tappedFetch: expected \`https://host/encoder_model.onnx\` to be a model that can be tapped, got tap: expected \`tensor\` to be the name of a tensor that a node of the main graph makes, got "no", which no node makes. Load models of other kinds with another env.fetch]`);
  });

  it("uses the engine's fetch", async () => {
    const fetch = vi.spyOn(globalThis, "fetch").mockImplementation(answer() as typeof globalThis.fetch);
    expect(await bytesOf(await tappedFetch()("https://host/a.onnx"))).toEqual(tap(model).bytes);
    fetch.mockRestore();
  });
});
