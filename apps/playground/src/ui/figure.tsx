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
  const words = useRef(label);
  words.current = label;
  useLayoutEffect(() => {
    if (width < 50) return undefined;
    // A task of its own for each picture: the page stays responsive, and a picture that is already out of date is not drawn.
    const task = setTimeout(() => {
      const picture = plot({ height, width, style: { background: "transparent", fontSize: "12px", overflow: "visible" }, ...draw(width) });
      for (const part of picture.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", words.current);
      box.current?.replaceChildren(picture);
    });
    return () => clearTimeout(task);
  }, [width, height, ...data]);
  // Other words alone are no reason to draw.
  useLayoutEffect(() => box.current!.firstElementChild?.setAttribute("aria-label", label), [label]);
  return <figure><figcaption>{title}</figcaption><div ref={box} style={{ minHeight: `${height}px` }} /></figure>;
}
