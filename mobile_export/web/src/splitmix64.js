const MASK = (1n << 64n) - 1n;
const LARGEST = (1n << 63n) - 1n;

/** The generator SplitMix64: the same seed gives the same numbers in every language. */
export class SplitMix64 {
  #state;

  /** @param {bigint | number} seed */
  constructor(seed) {
    this.#state = BigInt(seed) & MASK;
  }

  /** 64 random bits. */
  next() {
    this.#state = (this.#state + 0x9e3779b97f4a7c15n) & MASK;
    let bits = this.#state;
    bits = ((bits ^ (bits >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    bits = ((bits ^ (bits >> 27n)) * 0x94d049bb133111ebn) & MASK;
    return bits ^ (bits >> 31n);
  }

  /** A whole number in `0 .. bound - 1`, each as likely as the others. @param {number} bound */
  below(bound) {
    if (!(bound > 0)) throw new RangeError(`expected a positive bound, got ${bound}`);
    // 63 bits, the incomplete last block rejected.
    const limit = LARGEST - (LARGEST % BigInt(bound));
    for (;;) {
      const drawn = this.next() >> 1n;
      if (drawn < limit) return Number(drawn % BigInt(bound));
    }
  }
}
