// Signed publications in a page, by the browser's own Ed25519, with a database that an older version of the library made.
import {CloudClient, IndexedDbStates, PublicKey} from 'ecct-edge-web';

const ADDRESS = 'https://cloud.example';

export default async function signed({keys: lines, cases}) {
  await olderDatabase('signed');
  const keys = lines.map((line) => PublicKey.parse(line));
  const told = [];
  for (const {name, text, now, newest} of cases) {
    // A tab for each.
    const states = await IndexedDbStates.open('signed');
    const place = states.newestSigned(`${ADDRESS}/${name}`);
    await place.write(newest);
    const client = new CloudClient({
      address: ADDRESS, token: 't', keys, newest: place, clock: () => now, fetch: async () => new Response(text, {status: 200}),
    });
    const problem = await client.current().then(() => '', (error) => `${error}`);
    told.push({name, problem, kept: await place.read(), state: [...((await states.of(7).read()) ?? [])]});
    states.close();
  }
  return told;
}

/** As version 1 left it, with a state. */
async function olderDatabase(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    for (const store of ['states', 'answers', 'answered']) request.result.createObjectStore(store);
    request.transaction.objectStore('states').put(Uint8Array.of(1, 2, 3), '7');
  };
  await new Promise((resolve, reject) => {
    request.onsuccess = resolve;
    request.onerror = () => reject(request.error);
  });
  request.result.close();
}
