/**
 * Verifies or reads a store that may be damaged, and says what came of it: in a process of its own, which LMDB may end.
 *
 *   node damage-program.js verify <path>      says `ok`, `damaged` or `internal`
 *   node damage-program.js read <path> <n>    says what it read, as JSON
 */
import { KvError, openKv, verifyStore } from "../../src/index.js";

const [verb, path, entries] = process.argv.slice(2);

async function verify(): Promise<void> {
  try {
    const { ok } = await verifyStore(path!);
    console.log(ok ? "ok" : "damaged");
  } catch (error) {
    console.log(error instanceof KvError ? "damaged" : "internal");
    console.error(error);
  }
}

async function read(): Promise<void> {
  const found = { opened: "open", named: 0, wrong: 0, missing: 0, internal: "" };
  try {
    const kv = await openKv(path!);
    for (let n = 0; n < Number(entries); n++) {
      try {
        const { value } = await kv.get<string>(["key", n]);
        if (value === null) found.missing++;
        else if (!new RegExp(`^${n}:v*$`).test(value)) found.wrong++;
      } catch (error) {
        note(error);
      }
    }
    try {
      for await (const { key, value } of kv.list<string>({ prefix: ["key"] }))
        if (!String(value).startsWith(`${String(key[1])}:`)) found.wrong++;
    } catch (error) {
      note(error);
    }
    await kv.close().catch(note);
  } catch (error) {
    found.opened = "refused";
    note(error);
  }
  console.log(JSON.stringify(found));

  function note(error: unknown): void {
    found.named++;
    if (!(error instanceof KvError)) found.internal = String(error);
  }
}

await (verb === "verify" ? verify() : read());
