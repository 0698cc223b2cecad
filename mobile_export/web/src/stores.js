/**
 * Where a browser keeps devices: IndexedDB, replaced whole within a transaction, so that a tab that ends leaves the old
 * state or the new one. One opener at a time has a device, by a Web Lock; one that got past it cannot write over what
 * another one learned, since each write names the state that it replaces.
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

const VERSION = 2;
const STATES = 'states';
const ANSWERS = 'answers';
const ANSWERED = 'answered';
const SIGNED = 'signed'; // since version 2

/** Devices in one database of the page's origin. */
export class IndexedDbStates {
  #database;

  /**
   * @param {IDBDatabase} database
   * @param {string} name
   */
  constructor(database, name) {
    this.#database = database;
    this.name = name;
    // Another tab brings a newer version of the library: it must not wait for this one.
    database.onversionchange = () => database.close();
  }

  /**
   * @param {string} [name] of the database
   * @throws {StateError} when there is none to be had, or a newer version of the library wrote it.
   */
  static async open(name = 'ecct-edge') {
    if (globalThis.indexedDB === undefined || globalThis.navigator?.locks === undefined) {
      throw new StateError(
        'states: expected IndexedDB and Web Locks, this page has none; serve it over HTTPS or from localhost, outside of ' +
          'a private window that forbids storage',
      );
    }
    const request = indexedDB.open(name, VERSION);
    request.onupgradeneeded = () => {
      const there = request.result.objectStoreNames;
      for (const store of [STATES, ANSWERS, ANSWERED, SIGNED]) {
        if (!there.contains(store)) request.result.createObjectStore(store);
      }
    };
    try {
      return new IndexedDbStates(await answered(request), name);
    } catch (error) {
      throw new StateError(
        `${name}: expected a database of version ${VERSION}: ${error}; a newer version of the library may have ` +
          'written it: load that one',
        {cause: error},
      );
    }
  }

  /**
   * The place of one user's device.
   *
   * @param {number} user
   * @param {string} [device] tells several devices of a user apart, such as two models side by side
   * @returns {StateStore}
   */
  of(user, device = '') {
    const key = device === '' ? `${user}` : `${user}/${device}`;
    return new IndexedDbState(this.#database, `${this.name}/${key}`, key);
  }

  /**
   * When the newest publication that was accepted from a service was signed, for `CloudClient`.
   *
   * @param {string} address of the service
   * @returns {import('./signing.js').NewestSigned}
   */
  newestSigned(address) {
    const database = this.#database;
    return {
      read: async () => {
        /** @type {IDBRequest | undefined} */
        let request;
        await transaction(database, this.name, 'readonly', [SIGNED], (given) => {
          request = given.objectStore(SIGNED).get(address);
        });
        return request?.result ?? 0;
      },
      write: (issuedAt) =>
        transaction(database, this.name, 'readwrite', [SIGNED], (given) => {
          const store = given.objectStore(SIGNED);
          const request = store.get(address);
          request.onsuccess = () => store.put(Math.max(issuedAt, request.result ?? 0), address);
        }),
    };
  }

  close() {
    this.#database.close();
  }
}

/** @implements {StateStore} */
class IndexedDbState {
  #database;
  #key;

  /**
   * @param {IDBDatabase} database
   * @param {string} name
   * @param {string} key
   */
  constructor(database, name, key) {
    this.#database = database;
    this.#key = key;
    this.name = name;
  }

  /** @returns {Promise<() => void>} */
  own() {
    return new Promise((resolve, reject) => {
      const held = (/** @type {Lock | null} */ lock) => {
        if (lock === null) {
          reject(
            new StateError(
              `${this.name}: expected a device that nothing else has open, another tab or worker has it; close it there`,
            ),
          );
          return undefined;
        }
        return new Promise((release) => resolve(() => release(undefined)));
      };
      navigator.locks.request(`ecct-edge:${this.name}`, {ifAvailable: true}, held).catch(reject);
    });
  }

  /** @returns {Promise<Uint8Array | null>} */
  async read() {
    return (await this.#asked('readonly', STATES, (store) => store.get(this.#key))) ?? null;
  }

  /**
   * @param {Uint8Array} content
   * @param {Uint8Array | null} replaced
   */
  async replace(content, replaced) {
    let isOther = false;
    await this.#transaction('readwrite', [STATES], (transaction) => {
      const store = transaction.objectStore(STATES);
      const request = store.get(this.#key);
      request.onsuccess = () => {
        const found = request.result === undefined ? null : proofOf(request.result);
        isOther = !sameBytes(found, replaced);
        if (isOther) transaction.abort();
        else store.put(content, this.#key);
      };
    }).catch((error) => {
      throw isOther ? anotherOpener(this.name) : error;
    });
  }

  async remove() {
    await this.#transaction('readwrite', [STATES, ANSWERS, ANSWERED], (transaction) => {
      transaction.objectStore(STATES).delete(this.#key);
      transaction.objectStore(ANSWERS).delete(this.#answers());
      transaction.objectStore(ANSWERED).delete(this.#key);
    });
  }

  /** @returns {AnswerStore} */
  get answers() {
    return {
      all: async () => {
        /** @type {[number, Uint8Array][]} */
        const found = [];
        await this.#transaction('readonly', [ANSWERS], (transaction) => {
          const request = transaction.objectStore(ANSWERS).openCursor(this.#answers());
          request.onsuccess = () => {
            const cursor = request.result;
            if (cursor === null) return;
            found.push([/** @type {any} */ (cursor.key)[1], cursor.value]);
            cursor.continue();
          };
        });
        return found;
      },
      newest: async () => (await this.#asked('readonly', ANSWERED, (store) => store.get(this.#key))) ?? null,
      add: (round, record) =>
        this.#transaction('readwrite', [ANSWERS, ANSWERED], (transaction) => {
          transaction.objectStore(ANSWERS).put(record, [this.#key, round]);
          const newest = transaction.objectStore(ANSWERED);
          const request = newest.get(this.#key);
          request.onsuccess = () => newest.put(Math.max(round, request.result ?? round), this.#key);
        }),
      remove: (round) =>
        this.#transaction('readwrite', [ANSWERS], (transaction) => {
          transaction.objectStore(ANSWERS).delete([this.#key, round]);
        }),
    };
  }

  #answers() {
    return IDBKeyRange.bound([this.#key], [this.#key, []]);
  }

  /**
   * @param {IDBTransactionMode} mode
   * @param {string} store
   * @param {(store: IDBObjectStore) => IDBRequest} ask
   */
  async #asked(mode, store, ask) {
    /** @type {IDBRequest | undefined} */
    let request;
    await this.#transaction(mode, [store], (transaction) => {
      request = ask(transaction.objectStore(store));
    });
    return request?.result;
  }

  /**
   * @param {IDBTransactionMode} mode
   * @param {string[]} stores
   * @param {(transaction: IDBTransaction) => void} work
   * @returns {Promise<void>} once it is on the disk
   */
  #transaction(mode, stores, work) {
    return transaction(this.#database, this.name, mode, stores, work);
  }
}

/**
 * @param {IDBDatabase} database
 * @param {string} name for messages
 * @param {IDBTransactionMode} mode
 * @param {string[]} stores
 * @param {(transaction: IDBTransaction) => void} work
 * @returns {Promise<void>} once it is on the disk
 */
function transaction(database, name, mode, stores, work) {
  return new Promise((resolve, reject) => {
    const refuse = (/** @type {unknown} */ error) =>
      reject(new StateError(`${name}: expected a database that can be used: ${error}; is the storage full?`));
    try {
      const opened = database.transaction(stores, mode, {durability: 'strict'});
      opened.oncomplete = () => resolve();
      opened.onabort = () => refuse(opened.error);
      work(opened);
    } catch (error) {
      refuse(error);
    }
  });
}

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
const anotherOpener = (name) =>
  new StateError(
    `${name}: expected the state that was read here, another opener changed it since; what was done since then is not ` +
      'kept. Open the device again, and keep one opener',
  );

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const answered = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
