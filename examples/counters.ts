/**
 * Counters that many writers raise at once: `sum` needs no read, no check and no second try.
 *
 * In a program of your own the import is `from "belfry"`.
 */
import { type KvU64, openKv } from "../src/index.js";

await using kv = await openKv();

// A thousand visits, all under way at the same time. Each raises two counters, both or neither.
const pages = ["home", "about", "prices"];
const visits = Array.from({ length: 1000 }, (_, visit) =>
  kv
    .atomic()
    .sum(["visits", "total"], 1n)
    .sum(["visits", "page", pages[visit % 3]!], 1n)
    .max(["visits", "longest"], BigInt((visit * 7) % 300))
    .commit(),
);
await Promise.all(visits);

const total = await kv.get<KvU64>(["visits", "total"]);
console.log("total", total.value?.value); // → total 1000n

for await (const { key, value } of kv.list<KvU64>({ prefix: ["visits", "page"] })) {
  console.log(key[2], value.value);
}
// → about 333n
// → home 334n
// → prices 333n

const longest = await kv.get<KvU64>(["visits", "longest"]);
console.log("longest", longest.value?.value); // → longest 299n
