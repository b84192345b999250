/**
 * Uses the client in whatever runtime runs this: `<runtime> program.js <url>`. Prints what it saw, a line for each.
 */
import { anyPart, connect, type KvChangeEvent, type KvU64 } from "../../src/client/index.js";

const { Deno, process } = globalThis as unknown as {
  readonly Deno?: { readonly args: readonly string[] };
  readonly process: { readonly argv: readonly string[] };
};
const url = Deno === undefined ? process.argv[2]! : Deno.args[0]!;

const kv = connect(url);
const say = (...seen: readonly unknown[]): void => console.log(seen.map(String).join(" "));

const stored = { map: new Map([["k", 1n]]), floats: new Float64Array([2.5]), error: new RangeError("far") };
await kv.set(["values", 1n, new Uint8Array([0])], stored);
const { value, versionstamp } = await kv.get<typeof stored>(["values", 1n, new Uint8Array([0])]);
say("get", value!.map.get("k"), value!.floats[0], value!.error instanceof RangeError, value!.error.message);
say("getMany", (await kv.getMany([["values"], ["from-node"]])).map((entry) => entry.value).join("|"));

const checked = { key: ["values", 1n, new Uint8Array([0])], versionstamp };
say("atomic", (await kv.atomic().check(checked).sum(["count"], 2n).set(["checked"], true).commit()).ok);
say(
  "atomic",
  (
    await kv
      .atomic()
      .check({ ...checked, versionstamp: null })
      .set(["no"], 1)
      .commit()
  ).ok,
);
say("count", (await kv.get<KvU64>(["count"])).value!.value);

const commit = kv.atomic();
for (let number = 0; number < 250; number++) commit.set(["n", number], number);
await commit.commit();
const listed: number[] = [];
for await (const entry of kv.list<number>({ prefix: ["n"] }, { batchSize: 100 })) listed.push(entry.value);
say(
  "list",
  listed.length,
  listed.every((number, index) => number === index),
);
await kv.get(["far", "x".repeat(9000)]).catch((error: Error) => say("refused", error instanceof TypeError));

const states = kv.watch([["watched"]]).getReader();
say("watch", (await states.read()).value![0].value);
await kv.set(["watched"], "rung");
say("watch", (await states.read()).value![0].value);
await states.cancel();

/** The first `count` changes, and where the last one was. */
async function changes(since: string, count: number): Promise<{ values: unknown[]; position: string }> {
  const values: unknown[] = [];
  for await (const event of kv.changes<unknown>([{ pattern: ["log", anyPart] }], { since })) {
    if (!isChange(event)) continue;
    values.push(event.type === "delete" ? "deleted" : event.value);
    if (values.length === count) return { values, position: event.position };
  }
  return { values, position: "" };
}

function isChange(event: KvChangeEvent<unknown>): event is Extract<KvChangeEvent<unknown>, { key: unknown }> {
  return event.type !== "progress" && event.type !== "lagged";
}

const begin = await kv.set(["log", 0], "zero");
for (let number = 1; number < 5; number++) await kv.set(["log", number], number);
const first = await changes(begin.versionstamp, 2);
say("changes", first.values);
await kv.delete(["log", 1]);
say("resumed", (await changes(first.position, 3)).values);

kv.close();
await kv.get(["a"]).catch((error: { code: string }) => say("closed", error.code));
