const DATABASE = "logits-playground", STORE = "kept";

function opened(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore(STORE));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error!));
  });
}

async function withStore<Result>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<Result>): Promise<Result> {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const request = use(database.transaction(STORE, mode).objectStore(STORE));
      request.addEventListener("success", () => resolve(request.result));
      request.addEventListener("error", () => reject(request.error!));
    });
  } finally {
    database.close();
  }
}

/** What was kept in this browser under a name; undefined: nothing. */
export function kept(name: string): Promise<unknown> {
  return withStore("readonly", (store) => store.get(name) as IDBRequest<unknown>);
}

/** Keeps a value in this browser. */
export async function keep(name: string, value: unknown): Promise<void> {
  await withStore("readwrite", (store) => store.put(value, name));
}

/** Removes what was kept. */
export async function forget(name: string): Promise<void> {
  await withStore("readwrite", (store) => store.delete(name));
}
