import { createHash } from "node:crypto";
import { randomSource } from "@logits/tensor";
import { expect, it } from "vitest";
import { sha256 } from "./sha256.ts";

const text = (characters: string): Uint8Array => new TextEncoder().encode(characters);

it("gives the digests of FIPS 180-4", () => {
  expect(sha256(text("abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(sha256(text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))).toBe("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  expect(sha256()).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(sha256(new Uint8Array(1_000_000).fill(97))).toBe("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
});

it("agrees with the platform for every length around a block, however the bytes are cut", () => {
  const random = randomSource(3);
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, () => random.integer(256));
    const cut = random.integer(length + 1);
    const want = createHash("sha256").update(bytes).digest("hex");
    expect(sha256(bytes)).toBe(want);
    expect(sha256(bytes.subarray(0, cut), new Uint8Array(0), bytes.subarray(cut))).toBe(want);
  }
});
