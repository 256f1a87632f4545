import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { plot, type PlotOptions } from "@observablehq/plot";

/** Colours of the pictures: names of the style sheet, so that they follow light and dark. */
export const COLOURS = { before: "var(--before)", after: "var(--after)", quiet: "var(--quiet)", line: "var(--line)" } as const;

interface FigureProps {
  readonly title: ComponentChildren;
  /** What the picture shows, for those who do not see it. */
  readonly label: string;
  readonly height?: number;
  /** Called again whenever `data` or the width changes. */
  readonly draw: (width: number) => PlotOptions;
  readonly data: readonly unknown[];
}

/** A picture by Observable Plot, as wide as there is room. */
export function Figure({ title, label, height = 300, draw, data }: FigureProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current!;
    const watcher = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    watcher.observe(element);
    setWidth(Math.floor(element.clientWidth));
    return () => watcher.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (width < 50) return;
    const picture = plot({ height, width, style: { background: "transparent", fontSize: "12px", overflow: "visible" }, ...draw(width) });
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", label);
    for (const part of picture.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    box.current!.replaceChildren(picture);
  }, [width, height, label, ...data]);
  return <figure><figcaption>{title}</figcaption><div ref={box} style={{ minHeight: `${height}px` }} /></figure>;
}
