/** Text for XML: markup escaped, and what XML cannot hold (control characters, halves of pairs) replaced. */
export function escaped(text: string): string {
  return text
    .replace(/(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu, "\ufffd")
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** About how wide a text of 12 pixels is, in a wide font: none is at hand. Wide scripts take a full square. */
export function widthOf(text: string): number {
  let width = 0;
  for (const c of text) width += c.codePointAt(0)! >= 0x2e80 ? 12.5 : 7.4;
  return width;
}

/** A text that is at most so wide, cut where it must be. */
export function fitted(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  for (const c of text) {
    if (widthOf(`${kept}${c}…`) > width) break;
    kept += c;
  }
  return `${kept.trimEnd()}…`;
}

/** A length with at most two decimals. */
export function px(value: number): string {
  return `${Math.round(value * 100) / 100 + 0}`;
}
