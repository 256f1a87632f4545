/** The file as text: UTF-8, a byte order mark dropped; anything else is an error. */
export declare function decodeText(reader: string, bytes: Uint8Array, file: string): string;
/** The number that a cell spells, `undefined` if it is none: decimal notation, nan and inf in any case. Not hexadecimal, not empty. */
export declare function parseNumber(cell: string): number | undefined;
