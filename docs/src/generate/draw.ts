import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

/** Colours of the site's figures, light and dark: src/styles/site.css. */
export const BEFORE = "var(--figure-before)";
export const AFTER = "var(--figure-after)";

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** A figure as SVG text with a title and a description, drawn when the site is built: pages run no script for it. */
export function draw(name: string, title: string, description: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const style = { background: "transparent", fontSize: "13px", overflow: "visible" };
  const svg = (Plot.plot({ document, style, className: `plot-${name}`, ...options } as Plot.PlotOptions) as unknown as { outerHTML: string }).outerHTML;
  return svg
    .replace(/<svg /, `<svg role="img" aria-labelledby="${name}-title ${name}-description" `)
    .replace(/(<svg[^>]*>)/, `$1<title id="${name}-title">${escaped(title)}</title><desc id="${name}-description">${escaped(description)}</desc>`)
    .replaceAll(/ aria-(?:label|description)="[^"]*"/g, "")
    .replaceAll(/\d+\.\d{3,}/g, (number) => `${Math.round(Number(number) * 100) / 100}`)
    .replaceAll(/\n\s*/g, " ");
}
