/** What is wrong with the table of static ranges: each family has its own KiB of page 0. */
export function checkRanges(bases: Readonly<Record<string, number>>): string[] {
  const faults: string[] = [];
  const taken = new Map<number, string>();
  for (const [family, base] of Object.entries(bases)) {
    if (!Number.isInteger(base / 1024) || base < 1024 || base + 1024 > 65536) faults.push(`${family}: base ${base} is not a 1 KiB range of page 0`);
    else if (taken.has(base)) faults.push(`${family} and ${taken.get(base)} share the range at ${base}`);
    taken.set(base, family);
  }
  return faults;
}

/** Where the active data segments of a binary lie in memory. */
export function dataSegments(bytes: Uint8Array): { start: number; end: number }[] {
  let at = 8;
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= bytes.length) throw new Error("the binary ends inside a section");
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const segments: { start: number; end: number }[] = [];
  while (at < bytes.length) {
    const id = bytes[at++];
    const size = unsigned();
    const end = at + size;
    if (id === 11) {
      for (let count = unsigned(); count > 0; count--) {
        if (unsigned() !== 0) throw new Error("only active segments of memory 0 are expected");
        if (bytes[at++] !== 0x41) throw new Error("an i32.const offset is expected");
        const start = unsigned();
        at++; // end of the offset expression
        const length = unsigned();
        segments.push({ start, end: start + length });
        at += length;
      }
    }
    at = end;
  }
  return segments;
}

/** Every non-zero `v128.const` inside a loop of a text module, as asc writes it (one instruction a line). A zero is one instruction and may stay. */
export function loopConstants(wat: string): string[] {
  const found: string[] = [];
  const open: string[] = [];
  for (const line of wat.split("\n")) {
    const word = line.trim().split(/\s/, 1)[0];
    if (word === "loop" || word === "block" || word === "if") open.push(word);
    else if (word === "end") open.pop();
    else if (word === "v128.const" && open.includes("loop") && /0x0*[1-9a-fA-F]/.test(line)) found.push(line.trim());
    if (word.startsWith("(") && /\((loop|block|if)\b/.test(line)) throw new Error("loopConstants reads the flat text format only");
  }
  return found;
}
