/**
 * Keys of the devices of a browser: what IndexedDB keeps of a device is encrypted, and `forget` removes the key.
 *
 * Chromium's IndexedDB leaves removed rows in its files, with their keys, for as long as it likes, and a `CryptoKey` among
 * them is there byte by byte. A file of the origin private file system is gone from the disk once it is removed. So each
 * device has one file there, by a name of random digits, which is also what IndexedDB knows the device by.
 */
import {concatenated, fromHex, toHex} from './bytes.js';
import {StateError} from './errors.js';

const FOLDER = 'ecct-edge-keys';
const ID = /^[0-9a-f]{32}$/;
const ID_BYTES = 16;
const KEY_BYTES = 32;
export const NONCE_BYTES = 12;

/** A device's key. */
export class DeviceKey {
  #key;

  /**
   * @param {string} id the name of the device in files, of random digits
   * @param {CryptoKey} key
   */
  constructor(id, key) {
    this.id = id;
    this.#key = key;
  }

  /**
   * @param {Uint8Array} content
   * @param {string} place what it is, so that nothing can stand in the place of another
   * @returns {Promise<Uint8Array>} a nonce, different each time, and what AES-GCM makes of it
   */
  async seal(content, place) {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const sealed = await crypto.subtle.encrypt(this.#way(nonce, place), this.#key, /** @type {BufferSource} */ (content));
    return concatenated([nonce, new Uint8Array(sealed)]);
  }

  /**
   * @param {Uint8Array} sealed
   * @param {string} place
   * @param {string} name for messages
   * @throws {StateError} when it is not what `seal` made for this place.
   */
  async open(sealed, place, name) {
    try {
      const way = this.#way(sealed.subarray(0, NONCE_BYTES), place);
      const content = /** @type {BufferSource} */ (sealed.subarray(NONCE_BYTES));
      return new Uint8Array(await crypto.subtle.decrypt(way, this.#key, content));
    } catch (error) {
      throw new StateError(
        `${name}: expected what the device's key encrypted, got ${sealed.length} bytes that it does not open; they are ` +
          'damaged: remove the device (`states.of(user).remove()`) and begin afresh',
        {cause: error},
      );
    }
  }

  /**
   * @param {Uint8Array} nonce
   * @param {string} place
   */
  #way(nonce, place) {
    const additionalData = new TextEncoder().encode(`${place} ${this.id}`);
    return {name: 'AES-GCM', iv: /** @type {BufferSource} */ (nonce), additionalData};
  }
}

/** The keys of the devices of a database. */
export class DeviceKeys {
  #folder;
  #database;

  /**
   * @param {FileSystemDirectoryHandle} folder
   * @param {string} database
   */
  constructor(folder, database) {
    this.#folder = folder;
    this.#database = database;
  }

  /**
   * @param {string} database
   * @throws {StateError} when the browser has no place for them.
   */
  static async open(database) {
    try {
      const root = await navigator.storage.getDirectory();
      return new DeviceKeys(await root.getDirectoryHandle(FOLDER, {create: true}), database);
    } catch (error) {
      throw new StateError(
        `${database}: expected a browser with the origin private file system, for the keys of devices: ${error}; Chromium ` +
          'has it since 86, Firefox since 111 and Safari since 26, outside of private windows that forbid storage',
        {cause: error},
      );
    }
  }

  /** The key of `device`; null where it has none. @param {string} device */
  async find(device) {
    for await (const {id, about} of this.#files()) {
      if (about?.database === this.#database && about.device === device) return imported(id, about.key);
    }
    return null;
  }

  /** The key of `device`, a new one where it has none. @param {string} device */
  make(device) {
    return this.alone(async () => {
      const found = await this.find(device);
      if (found !== null) return found;
      await this.#removeRemains();
      const random = (/** @type {number} */ size) => toHex(crypto.getRandomValues(new Uint8Array(size)));
      const [id, key] = [random(ID_BYTES), random(KEY_BYTES)];
      try {
        const file = await this.#folder.getFileHandle(id, {create: true});
        const draft = await file.createWritable(); // the file is empty until it is closed
        await draft.write(JSON.stringify({database: this.#database, device, key}));
        await draft.close();
      } catch (error) {
        throw new StateError(`${this.#database}: expected a place for the key of a device: ${error}; is the storage full?`, {
          cause: error,
        });
      }
      return imported(id, key);
    });
  }

  /** Removes the key of `device`, and what a kill left; within `alone`. @param {string} device */
  async remove(device) {
    for await (const {id, about} of this.#files()) {
      if (about?.database === this.#database && about.device === device) await this.#folder.removeEntry(id);
    }
    await this.#removeRemains();
  }

  /** The ids of all devices that have a key; within `alone`. */
  async ids() {
    /** @type {Set<string>} */
    const found = new Set();
    for await (const {id} of this.#files()) found.add(id);
    return found;
  }

  /**
   * Runs `act` while no other tab makes a key or removes one.
   *
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  async alone(act) {
    return await navigator.locks.request('ecct-edge:keys', act);
  }

  /** Drafts, and files that were still empty, when a tab was killed: their keys encrypted nothing. */
  async #removeRemains() {
    for await (const {id, about} of this.#files()) {
      if (about === null) await this.#folder.removeEntry(id);
    }
  }

  /** @returns {AsyncGenerator<{id: string, about: {database: string, device: string, key: string} | null}>} */
  async *#files() {
    /** @type {[string, FileSystemHandle][]} */
    const entries = [];
    for await (const entry of this.#folder.entries()) entries.push(entry);
    for (const [id, handle] of entries) {
      yield {id, about: ID.test(id) ? await read(/** @type {FileSystemFileHandle} */ (handle)) : null};
    }
  }
}

/**
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<{database: string, device: string, key: string} | null>} null where it is gone, or still empty
 */
async function read(handle) {
  let text = '';
  try {
    text = await (await handle.getFile()).text();
    return text === '' ? null : JSON.parse(text);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') return null;
    throw new StateError(
      `${FOLDER}/${handle.name}: expected the key of a device, got ${text.length} characters of something else: ${error}; ` +
        "what it encrypted is lost: clear this site's storage and begin afresh",
      {cause: error},
    );
  }
}

/**
 * @param {string} id
 * @param {string} key
 */
async function imported(id, key) {
  const raw = /** @type {BufferSource} */ (fromHex(key));
  return new DeviceKey(id, await crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt', 'decrypt']));
}
