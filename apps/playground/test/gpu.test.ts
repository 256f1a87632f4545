import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { SIZES, TOP_P, scoresOf, uniformsOf } from "../src/jobs/gpu.ts";
import { agrees, compare, worthFrom, type GpuFigure } from "../src/jobs/gpuFigures.ts";
import { expectAccessible, launch, newContext, openPage, shown } from "./browser.ts";

/** Chromium's software adapter. */
const SOFTWARE = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
const assets = join(import.meta.dirname, "..", "dist", "assets");

describe("GPU", () => {
  test("is loaded when it is asked for; results agree with WebAssembly before they are timed; the figures can be copied", { timeout: 150_000 }, async () => {
    const backend = readdirSync(assets).filter((name) => name.endsWith(".js") && readFileSync(join(assets, name), "utf8").includes("requestAdapter"));
    expect(backend).toHaveLength(1);
    const browser = await launch(SOFTWARE), context = await newContext(browser, { serviceWorkers: "block", permissions: ["clipboard-read", "clipboard-write"] });
    const complaints: string[] = [], asked: string[] = [];
    context.on("request", (request) => asked.push(request.url().split("/").at(-1)!));
    const page = await openPage(context, "gpu", complaints);
    await page.waitForLoadState("networkidle");
    expect(asked).not.toContain(backend[0]);
    await page.locator("button[name=measure]").click();
    await page.locator("[data-name=gpu-missing], [data-name=gpu-summary]").waitFor({ timeout: 120_000 });
    expect(asked).toContain(backend[0]);
    if ((await page.locator("[data-name=gpu-missing]").count()) > 0) {
      const reason = await shown(page, "gpu-missing");
      console.log(`GPU panel: no adapter in this Chromium (${reason})`);
      if (process.env.EXPECT_WEBGPU === "1") expect(reason).toBe("");
      await browser.close();
      return;
    }
    const summary = await shown(page, "gpu-summary"), adapter = await shown(page, "adapter"), rows = await page.locator("table[data-name=gpu-times] tbody tr").count();
    console.log(`GPU panel: ${adapter}: ${summary}`);
    // One size of each operation at least, however slow the adapter is.
    expect(rows).toBeGreaterThanOrEqual(5);
    expect(summary).toContain(`All ${rows} results agree.`);
    expect(await shown(page, "agreeing")).toBe(`${rows} of ${rows}`);
    expect(await page.locator("table[data-name=gpu-times] .wrong").count()).toBe(0);
    expect(await page.locator("table[data-name=gpu-worth] tbody tr").count()).toBe(5);
    expect(await page.locator("table[data-name=gpu-rates] tbody tr").count()).toBeGreaterThanOrEqual(1);

    await page.locator("button[name=copy]").click();
    await expect.poll(() => shown(page, "copied")).toContain("Copied");
    const text = await page.evaluate(() => navigator.clipboard.readText()), json = JSON.parse(text) as Record<string, unknown> & { figures: Record<string, number>[]; left: string[] };
    expect([json.adapter, json.subgroups, json.userAgent, json.unit]).toEqual([adapter, (await shown(page, "subgroups")) === "used", await page.evaluate(() => navigator.userAgent), "ms"]);
    expect(json.figures).toHaveLength(rows);
    expect(json.figures.length + json.left.length).toBe(14);
    for (const { gpu, gpuAndRead, wasm, rounds, integersThatDiffer } of json.figures) {
      expect(Math.min(gpu, gpuAndRead, wasm)).toBeGreaterThan(0);
      expect(rounds).toBeGreaterThanOrEqual(1);
      expect(integersThatDiffer).toBe(0);
    }
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"));
    });
    await page.locator("button[name=copy]").click();
    expect(await page.locator("textarea[name=json]").inputValue()).toBe(text);
    await expectAccessible(page);
    await browser.close();
    expect(complaints).toEqual(["Service Worker registration blocked by Playwright"]);
  });

  test("without WebGPU the reason stands there, and what to do", async () => {
    // A page without https is no secure context, which has no navigator.gpu.
    const browser = await launch(["--host-resolver-rules=MAP playground.test 127.0.0.1"]), complaints: string[] = [];
    const page = await openPage(await newContext(browser), "gpu", complaints, inject("origin").replace("127.0.0.1", "playground.test"));
    await page.locator("button[name=measure]").click();
    await page.locator("[data-name=gpu-missing]").waitFor();
    expect(await shown(page, "gpu-missing")).toMatchInlineSnapshot(`"The backend does not work here.webgpu: expected an engine with WebGPU, got no navigator.gpu. A page needs https (or localhost) and a browser with WebGPU; in Node pass { gpu } of a package that brings it."`);
    expect(await page.locator("main").textContent()).toContain("WebGPU needs https or localhost");
    expect(await page.locator("table").count()).toBe(0);
    await expectAccessible(page);
    await browser.close();
    expect(complaints).toEqual([]);
  });

  test("the numbers leave no doubt about a token: no sum lies within 2e-6 of what it is compared with", () => {
    let nearest = 1;
    for (const [rows, width] of SIZES) {
      const { data } = scoresOf(rows, width), uniforms = uniformsOf(rows);
      for (let r = 0; r < rows; r++) {
        const weights = Float64Array.from(data.subarray(r * width, (r + 1) * width), Math.exp), total = weights.reduce((a, b) => a + b);
        let mass = 0, least = 0, sum = 0;
        for (const weight of weights.toSorted().reverse()) {
          mass += weight / total;
          nearest = Math.min(nearest, Math.abs(mass - TOP_P));
          least = weight;
          if (mass >= TOP_P) break;
        }
        for (const weight of weights) if (weight >= least) nearest = Math.min(nearest, Math.abs((sum += weight / total) / mass - uniforms[r]));
      }
    }
    expect(nearest).toBeGreaterThan(2e-6);
  });

  test("differences are found wherever they are, and count against their bound", () => {
    const floats = (...data: number[]) => ({ x: { dtype: "float32", data } }), integers = (...data: number[]) => ({ x: { dtype: "int32", data } }), bound = { allowed: 0.01, relative: true };
    expect(compare(floats(1, 2.02, -Infinity), floats(1, 2, -Infinity), bound).largest).toBeCloseTo(0.01, 10);
    expect(compare(floats(1, 2.5), floats(1, 2), { allowed: 1, relative: false }).largest).toBe(0.5);
    for (const [got, want] of [[floats(NaN), floats(1)], [floats(1), floats(NaN)], [floats(1), floats(0)], [floats(1), floats(1, 2)], [integers(1), integers(1, 2)], [integers(1, 3), integers(1, 2)]]) expect(agrees(compare(got, want, bound))).toBe(false);
    expect(compare(integers(1, 3, 5), integers(1, 2, 4), bound)).toMatchObject({ largest: 0, differing: 2, integers: 3 });
    expect(agrees(compare({ ...floats(1), more: floats(2).x }, floats(1.005), bound))).toBe(true);
  });

  test("it is worth it from the size on from which no larger one is slower", () => {
    const figure = (work: number, gpu: number, read: number, wasm = 1): GpuFigure => ({ name: "softmax", size: `${work}`, work, differences: { largest: 0, allowed: 0, relative: true, differing: 0, integers: 0 }, times: { gpu, read, wasm, rounds: 5 } });
    const list = [figure(300, 0.1, 0.5), figure(100, 0.5, 3), figure(200, 0.2, 2)];
    expect([worthFrom(list, "gpu")?.size, worthFrom(list, "read")?.size]).toEqual(["100", "300"]);
    expect(worthFrom([figure(100, 0.5, 0.5), figure(200, 2, 2)], "gpu")).toBeUndefined();
    expect(worthFrom([...list, { ...figure(400, 0, 0), times: undefined }], "gpu")).toBeUndefined();
  });
});
