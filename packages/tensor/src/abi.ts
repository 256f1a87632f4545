/** Version of the contract between TypeScript and the binaries; every binary exports its own and the loader compares. */
export const ABI_VERSION = 1;
