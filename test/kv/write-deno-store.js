// Writes the store that import-deno-kv.test.ts reads: deno run -A --unstable-kv write-deno-store.js deno-2.9.6.sqlite
const kv = await Deno.openKv(Deno.args[0]);
const FAR = 20 * 365 * 24 * 3_600_000;
await kv.set(["z", "first"], { a: [1, "two", 3n], when: new Date(7), view: new Float64Array([1.5]) });
await kv.atomic().set(["one", 1], "together").set(["another", 2], "together").commit();
await kv.set(["a", "later"], new Map([[new Uint8Array([1, 2]), new Set(["x"])]]));
await kv.set(["bytes"], new Uint8Array([1, 2, 3]));
await kv.set(["count"], new Deno.KvU64(2n ** 64n - 1n));
await kv.set(["undefined"], undefined);
await kv.set(["error"], new DOMException("m", "AbortError"));
await kv.set(["expires"], "in 2046", { expireIn: FAR });
await kv.set(["expired"], "long ago", { expireIn: 1 });
await kv.set([new Uint8Array([0, 255]), -1n, Number.NaN, false, "\0é"], "key of all types");
await kv.set(["blob"], new Blob(["its bytes are not in the store"]));
await kv.enqueue("message", { delay: 1_000_000 });
kv.close();
