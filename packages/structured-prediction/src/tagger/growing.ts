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
