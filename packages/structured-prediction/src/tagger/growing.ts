/** An Int32Array that grows by doubling. */
export class Growing {
  #data = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#data.length) {
      const data = new Int32Array(2 * this.length);
      data.set(this.#data);
      this.#data = data;
    }
    this.#data[this.length++] = value;
  }

  done(): Int32Array {
    return this.#data.slice(0, this.length);
  }
}

/** A longer array with what an array holds. */
export function grown<A extends Float64Array | Int32Array | Uint8Array>(old: A, room: A): A {
  room.set(old);
  return room;
}
