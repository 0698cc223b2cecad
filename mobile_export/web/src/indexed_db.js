/**
 * Where a browser keeps devices: IndexedDB, replaced whole within a transaction, so that a tab that ends leaves the old
 * state or the new one. One opener at a time has a device, by a Web Lock; one that got past it cannot write over what
 * another one learned, since each write names the state that it replaces. All is encrypted, see `keys.js`.
 */
import {sameBytes} from './bytes.js';
import {StateError} from './errors.js';
import {DeviceKey, DeviceKeys, NONCE_BYTES} from './keys.js';
import {proofOf} from './sealed.js';
import {anotherOpener} from './stores.js';

/** @typedef {import('./stores.js').StateStore} StateStore */

const VERSION = 3;
const SIGNED = 'signed'; // since version 2
// Since version 3, by the ids of `keys.js`.
const STATES = 'sealed states';
const ANSWERS = 'sealed answers';
const ANSWERED = 'newest answers';
const DEVICES = [STATES, ANSWERS, ANSWERED];
// Until version 2, by the name of the device and in plain bytes.
const PLAIN = ['states', 'answers', 'answered'];

/** Devices in one database of the page's origin. */
export class IndexedDbStates {
  #database;
  #keys;

  /**
   * @param {IDBDatabase} database
   * @param {DeviceKeys} keys
   * @param {string} name
   */
  constructor(database, keys, name) {
    this.#database = database;
    this.#keys = keys;
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
    const keys = await DeviceKeys.open(name);
    const request = indexedDB.open(name, VERSION);
    request.onupgradeneeded = () => {
      const there = request.result.objectStoreNames;
      for (const store of [...DEVICES, SIGNED]) if (!there.contains(store)) request.result.createObjectStore(store);
    };
    /** @type {IDBDatabase} */
    let database;
    try {
      database = await answered(request);
    } catch (error) {
      throw new StateError(
        `${name}: expected a database of version ${VERSION}: ${error}; a newer version of the library may have ` +
          'written it: load that one',
        {cause: error},
      );
    }
    if (database.objectStoreNames.contains(PLAIN[0])) await encryptOlder(database, keys, name);
    return new IndexedDbStates(database, keys, name);
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
    return new IndexedDbState(this.#database, this.#keys, `${this.name}/${key}`, key);
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
  #keys;
  #device;
  /**
   * What was read or written last: its key, its proof, and the nonce by which its row is told from any other.
   *
   * @type {{key: DeviceKey, proof: Uint8Array, nonce: Uint8Array} | null}
   */
  #last = null;

  /**
   * @param {IDBDatabase} database
   * @param {DeviceKeys} keys
   * @param {string} name
   * @param {string} device
   */
  constructor(database, keys, name, device) {
    this.#database = database;
    this.#keys = keys;
    this.#device = device;
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
    this.#last = null;
    const key = await this.#keys.find(this.#device);
    if (key === null) return null;
    const sealed = await this.#asked(STATES, (store) => store.get(key.id));
    if (sealed === undefined) return null;
    const content = await key.open(sealed, 'state', this.name);
    this.#last = {key, proof: proofOf(content), nonce: sealed.slice(0, NONCE_BYTES)};
    return content;
  }

  /**
   * @param {Uint8Array} content
   * @param {Uint8Array | null} replaced
   */
  async replace(content, replaced) {
    if (replaced !== null && !sameBytes(this.#last?.proof ?? null, replaced)) await this.read();
    if (replaced !== null && !sameBytes(this.#last?.proof ?? null, replaced)) throw anotherOpener(this.name);
    const last = replaced === null ? null : this.#last;
    const key = last?.key ?? (await this.#keys.make(this.#device));
    const sealed = await key.seal(content, 'state');
    let isOther = false;
    await this.#transaction('readwrite', [STATES], (transaction) => {
      const store = transaction.objectStore(STATES);
      const request = store.get(key.id);
      request.onsuccess = () => {
        const found = request.result === undefined ? null : request.result.subarray(0, NONCE_BYTES);
        isOther = !sameBytes(found, last?.nonce ?? null);
        if (isOther) transaction.abort();
        else store.put(sealed, key.id);
      };
    }).catch((error) => {
      throw isOther ? anotherOpener(this.name) : error;
    });
    this.#last = {key, proof: proofOf(content), nonce: sealed.slice(0, NONCE_BYTES)};
  }

  /** The key first: what a kill leaves of the rows thereafter is noise, and the next call removes it. */
  async remove() {
    this.#last = null;
    await this.#keys.alone(async () => {
      await this.#keys.remove(this.#device);
      const kept = await this.#keys.ids();
      await this.#transaction('readwrite', DEVICES, (transaction) => {
        for (const name of DEVICES) {
          const request = transaction.objectStore(name).openKeyCursor();
          request.onsuccess = () => {
            const cursor = request.result;
            if (cursor === null) return;
            const id = /** @type {string} */ (Array.isArray(cursor.key) ? cursor.key[0] : cursor.key);
            if (!kept.has(id)) transaction.objectStore(name).delete(cursor.key);
            cursor.continue();
          };
        }
      });
    });
  }

  /** @returns {import('./stores.js').AnswerStore} */
  get answers() {
    return {
      all: async () => {
        const key = await this.#keys.find(this.#device);
        if (key === null) return [];
        /** @type {[number, Uint8Array][]} */
        const found = [];
        await this.#transaction('readonly', [ANSWERS], (transaction) => {
          const request = transaction.objectStore(ANSWERS).openCursor(IDBKeyRange.bound([key.id], [key.id, []]));
          request.onsuccess = () => {
            const cursor = request.result;
            if (cursor === null) return;
            found.push([/** @type {any} */ (cursor.key)[1], cursor.value]);
            cursor.continue();
          };
        });
        const open = (/** @type {[number, Uint8Array]} */ [round, sealed]) => key.open(sealed, `answer ${round}`, this.name);
        const records = await Promise.all(found.map(open));
        return found.map(([round], place) => [round, records[place]]);
      },
      newest: async () => {
        const key = await this.#keys.find(this.#device);
        return key === null ? null : ((await this.#asked(ANSWERED, (store) => store.get(key.id))) ?? null);
      },
      add: async (round, record) => {
        const key = await this.#keys.make(this.#device);
        const sealed = await key.seal(record, `answer ${round}`);
        await this.#transaction('readwrite', [ANSWERS, ANSWERED], (transaction) => {
          transaction.objectStore(ANSWERS).put(sealed, [key.id, round]);
          const newest = transaction.objectStore(ANSWERED);
          const request = newest.get(key.id);
          request.onsuccess = () => newest.put(Math.max(round, request.result ?? round), key.id);
        });
      },
      remove: async (round) => {
        const key = await this.#keys.find(this.#device);
        if (key === null) return;
        await this.#transaction('readwrite', [ANSWERS], (transaction) => {
          transaction.objectStore(ANSWERS).delete([key.id, round]);
        });
      },
    };
  }

  /**
   * @param {string} store
   * @param {(store: IDBObjectStore) => IDBRequest} ask
   */
  async #asked(store, ask) {
    /** @type {IDBRequest | undefined} */
    let request;
    await this.#transaction('readonly', [store], (transaction) => {
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
 * What earlier versions kept in plain bytes, encrypted; what they left in the files of the browser is beyond a page.
 *
 * @param {IDBDatabase} database
 * @param {DeviceKeys} keys
 * @param {string} name for messages
 */
async function encryptOlder(database, keys, name) {
  await navigator.locks.request(`ecct-edge:${name}:older`, async () => {
    /** @type {[string, IDBValidKey, any][]} */
    const rows = [];
    await transaction(database, name, 'readonly', PLAIN, (given) => {
      for (const store of PLAIN) {
        const request = given.objectStore(store).openCursor();
        request.onsuccess = () => {
          const cursor = request.result;
          if (cursor === null) return;
          rows.push([store, cursor.key, cursor.value]);
          cursor.continue();
        };
      }
    });
    if (rows.length === 0) return;
    /** @type {[string, any, IDBValidKey][]} */
    const encrypted = [];
    for (const [store, found, value] of rows) {
      const [device, round] = /** @type {[string, number]} */ (Array.isArray(found) ? found : [found]);
      const key = await keys.make(device);
      if (store === 'states') encrypted.push([STATES, await key.seal(value, 'state'), key.id]);
      else if (store === 'answers') encrypted.push([ANSWERS, await key.seal(value, `answer ${round}`), [key.id, round]]);
      else encrypted.push([ANSWERED, value, key.id]);
    }
    await transaction(database, name, 'readwrite', [...PLAIN, ...DEVICES], (given) => {
      for (const [store, value, key] of encrypted) given.objectStore(store).put(value, key);
      for (const store of PLAIN) given.objectStore(store).clear();
    });
  });
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
