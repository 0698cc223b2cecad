/**
 * What a device needs of the place of its state, and one that lasts as long as the page; `indexed_db.js` has the one that
 * stays.
 */
import {sameBytes} from './bytes.js';
import {StateError} from './errors.js';
import {proofOf} from './sealed.js';

/**
 * What a device needs of the place of its state.
 *
 * @typedef {object} StateStore
 * @property {string} name for messages
 * @property {() => Promise<() => void>} own takes the device for this opener; the answer gives it back
 * @property {() => Promise<Uint8Array | null>} read
 * @property {(content: Uint8Array, replaced: Uint8Array | null) => Promise<void>} replace atomically; `replaced` is the
 *   proof (`proofOf`) of what the caller read or wrote last, null where there was nothing
 * @property {() => Promise<void>} remove
 * @property {AnswerStore} answers
 *
 * @typedef {object} AnswerStore the answers that wait, by round
 * @property {() => Promise<[number, Uint8Array][]>} all oldest first
 * @property {() => Promise<number | null>} newest round that was answered, sent or not
 * @property {(round: number, record: Uint8Array) => Promise<void>} add
 * @property {(round: number) => Promise<void>} remove
 */

/** Devices that last as long as the page, for tests and for users who want nothing kept. */
export class MemoryStates {
  /** @type {Map<string, Uint8Array>} */
  contents = new Map();
  /** @type {Map<string, Map<number, Uint8Array>>} */
  waiting = new Map();
  /** @type {Map<string, number>} */
  answered = new Map();
  /** @type {Set<string>} */
  #owned = new Set();
  /** @type {Map<string, number>} */
  signed = new Map();

  /**
   * @param {string} address
   * @returns {import('./signing.js').NewestSigned}
   */
  newestSigned(address) {
    return {
      read: async () => this.signed.get(address) ?? 0,
      write: async (issuedAt) => void this.signed.set(address, Math.max(issuedAt, this.signed.get(address) ?? 0)),
    };
  }

  /**
   * @param {number} user
   * @param {string} [device]
   * @returns {StateStore}
   */
  of(user, device = '') {
    const key = device === '' ? `${user}` : `${user}/${device}`;
    const name = `memory/${key}`;
    const waiting = () => this.waiting.get(key) ?? new Map();
    return {
      name,
      own: async () => {
        if (this.#owned.has(key)) {
          throw new StateError(`${name}: expected a device that nothing else has open, another one has it; close it there`);
        }
        this.#owned.add(key);
        return () => void this.#owned.delete(key);
      },
      read: async () => this.contents.get(key) ?? null,
      replace: async (content, replaced) => {
        const found = this.contents.get(key);
        if (!sameBytes(found === undefined ? null : proofOf(found), replaced)) throw anotherOpener(name);
        this.contents.set(key, content);
      },
      remove: async () => {
        for (const kept of [this.contents, this.waiting, this.answered]) kept.delete(key);
      },
      answers: {
        all: async () => [...waiting()].sort(([one], [other]) => one - other),
        newest: async () => this.answered.get(key) ?? null,
        add: async (round, record) => {
          this.waiting.set(key, waiting().set(round, record));
          this.answered.set(key, Math.max(round, this.answered.get(key) ?? round));
        },
        remove: async (round) => void waiting().delete(round),
      },
    };
  }
}

/** @param {string} name */
export const anotherOpener = (name) =>
  new StateError(
    `${name}: expected the state that was read here, another opener changed it since; what was done since then is not ` +
      'kept. Open the device again, and keep one opener',
  );
