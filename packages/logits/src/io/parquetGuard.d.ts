import type { Compressors, FileMetaData, SchemaTree } from "hyparquet";
/** Decompressors for hyparquet: snappy is its own, gzip comes from fflate. The others need large libraries. */
export declare const compressors: Compressors;
/** Throws a plain Error (the reader wraps it) where a page of the chosen columns claims what it does not hold. */
export declare function checkPages(bytes: Uint8Array, metadata: FileMetaData, schema: SchemaTree, columns: readonly string[]): void;
