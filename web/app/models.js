/** The person's own model file, kept in the browser's storage (IndexedDB) until it is cleared. */

const DATABASE = "unbraid";
const STORE = "models";
const KEY = "own";

/** @typedef {{name: string, blob: Blob, added: number}} StoredModel */

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds the model storage"));
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

/** @returns {Promise<StoredModel|null>} null as well where the browser stores nothing */
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
 * The model that comes with the page.
 * @returns {Promise<Blob>}
 */
export async function defaultModel() {
  let response;
  try {
    response = await fetch(new URL("../models/default.safetensors", import.meta.url));
  } catch {
    throw new Error("The built-in model could not be fetched. Check the connection and reload the page, or add a model file of your own.");
  }
  if (!response.ok) {
    throw new Error("This copy of Unbraid comes without a model. Add a .safetensors file from your own training.");
  }
  return response.blob();
}
