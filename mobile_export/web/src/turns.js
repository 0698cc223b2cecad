/** Calls that take turns: one runs after another, whatever their callers do meanwhile. */
import {ClosedError} from './errors.js';

export class Turns {
  #isClosed = false;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * Runs `block` once all calls before it have ended.
   *
   * @template T
   * @param {() => Promise<T>} block
   * @returns {Promise<T>}
   * @throws {ClosedError} after `close`.
   */
  take(block) {
    const call = this.#last.catch(() => undefined).then(() => {
      if (this.#isClosed) throw new ClosedError();
      return block();
    });
    this.#last = call;
    return call;
  }

  /** Refuses calls from now on. @param {() => void} block what to do once all before have ended, the first time */
  async close(block) {
    if (this.#isClosed) return;
    await this.#last.catch(() => undefined);
    this.#isClosed = true;
    block();
  }
}
