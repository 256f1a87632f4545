import { svg, type Plot } from "@logits/metrics/plot";
import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";

interface FigureProps {
  /** Default: the plot's own title. */
  readonly title?: ComponentChildren;
  readonly plot: Plot;
  readonly height?: number;
}

/** The narrowest picture that says something. */
const LEAST = 180;

/** A plot, as wide as there is room; its text stays as large as the page's. */
export function Figure({ title, plot, height = 300 }: FigureProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null), id = useId();
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current!, measure = (): void => setWidth(Math.floor(element.clientWidth)), watcher = new ResizeObserver(measure);
    watcher.observe(element);
    measure();
    return () => watcher.disconnect();
  }, []);
  return (
    <figure>
      <figcaption>{title ?? plot.title}</figcaption>
      <div ref={box} style={{ minHeight: `${height}px` }} dangerouslySetInnerHTML={{ __html: width === 0 ? "" : svg(plot, { width: Math.max(LEAST, width), height, id: `figure-${id}` }) }} />
    </figure>
  );
}
