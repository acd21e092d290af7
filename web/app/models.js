/** The person's own model file, stored in the browser (IndexedDB) until it is cleared, and the built-in model. */

const DATABASE = "unbraid";
const STORE = "models";
const KEY = "own";

/** @typedef {{name: string, blob: Blob, added: number}} StoredModel `added`: milliseconds since 1970 */

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab blocks the model storage"));
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function transact(mode, work) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? new Error("the browser refused to store the model"));
    });
  } finally {
    database.close();
  }
}

/** @returns {Promise<StoredModel|null>} null without a stored model, and if the browser allows no storage */
export async function storedModel() {
  try {
    return (await transact("readonly", (store) => store.get(KEY))) ?? null;
  } catch {
    return null;
  }
}

/** @param {string} name @param {Blob} blob */
export function storeModel(name, blob) {
  return transact("readwrite", (store) => store.put({ name, blob, added: Date.now() }, KEY));
}

export function clearModel() {
  return transact("readwrite", (store) => store.delete(KEY));
}

/**
 * The built-in model's file.
 * @returns {Promise<Blob>}
 */
export async function defaultModel() {
  let response;
  try {
    response = await fetch(new URL("../models/default.safetensors", import.meta.url));
  } catch {
    throw new Error("The built-in model could not be downloaded. Check the connection and reload the page, or use your own model.");
  }
  if (!response.ok) {
    throw new Error("This copy of Unbraid has no built-in model. Use your own model: a .safetensors file from training with Unbraid.");
  }
  return response.blob();
}
