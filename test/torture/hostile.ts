/**
 * Gives the public interface what nobody should, and the decoders bytes that nobody wrote. Held: each call is answered, soon, with a result
 * or an error of ours that has a code; nothing else is thrown, and the store works as before.
 */
import { inspect } from "node:util";
import { readChangeRecord } from "../../src/codec/change-record.js";
import { entryEncoding, entryExpiresAtMs, entryValue, entryVersionstamp } from "../../src/codec/entry.js";
import { decodeKey } from "../../src/codec/key.js";
import { decodeCursor } from "../../src/codec/key-range.js";
import { decodeValue, encodeValue } from "../../src/codec/value.js";
import { type Kv, openKv } from "../../src/index.js";
import { decodeRedo } from "../../src/shard/redo.js";
import { PageDamage, parseMeta } from "../../src/store/data-file.js";
import { decodeHead, readLogRowHead } from "../../src/store/row-format.js";
import { withBound } from "../life/child-process.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const ANSWER_MS_MAX = 15_000;
type Random = (below: number) => number;

export const hostile: Torture = {
  name: "hostile",
  about:
    "fuzzed keys, values, selectors, options, cursors and versionstamps on the public interface, fuzzed bytes on every decoder",
  breaks: { leaky: "a decoder that lets an internal error out stands among ours" },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const { random, breakage } = context;
  const tried = { calls: 0, "calls refused": 0, "decoded bytes": 0, "bytes refused": 0 };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  await using kv = await openKv(":memory:", { shards: 2 });
  const decoders = Object.entries(decodersOf(breakage));
  for (let n = 0; (n < 200 || Date.now() < context.deadlineMs) && broken.length < 20; n++) {
    const { what, call } = hostileCall(kv, random);
    tried.calls++;
    const outcome = await withBound(answerOf(call), ANSWER_MS_MAX);
    if (outcome === "late") broken.push(`${what} had no answer after ${ANSWER_MS_MAX} ms`);
    else if (outcome !== null && !isOurs(outcome))
      broken.push(`${what}: an error of its own: ${nameOf(outcome)}`);
    if (outcome !== null) tried["calls refused"]++;
    for (const [name, { valid, decode }] of decoders) {
      const bytes = spoil(valid[random(valid.length)]!, random);
      tried["decoded bytes"]++;
      const error = errorOf(() => decode(bytes));
      if (error !== null) tried["bytes refused"]++;
      if (error !== null && !isOurs(error))
        broken.push(`${name} of ${Buffer.from(bytes.subarray(0, 60)).toString("hex")}: ${nameOf(error)}`);
    }
    if (n % 500 === 0) broken.push(...(await checkAlive(kv)));
    ticker.tick(tried);
  }
  broken.push(...(await checkAlive(kv)));
  return { tried, broken };
}

async function checkAlive(kv: Kv): Promise<string[]> {
  await kv.set(["alive"], 1);
  const { value } = await kv.get(["alive"]);
  return value === 1 ? [] : [`the store gives ${String(value)} for what was just set to 1`];
}

// ── calls ──────────────────────────────────────────────────────────────────────────────────────────

/** A call that is wrong in one way or many, or right by chance. */
function hostileCall(kv: Kv, random: Random): { readonly what: string; readonly call: () => unknown } {
  const a = anything(random, 0);
  const b = anything(random, 0);
  const c = anything(random, 0);
  const key = random(2) === 0 ? (["k", a] as unknown) : a;
  const options = {
    expireIn: b,
    limit: c,
    cursor: a,
    batchSize: b,
    consistency: c,
    reverse: a,
    raw: b,
    ifChanged: c,
  };
  const some = Object.fromEntries(Object.entries(options).filter(() => random(4) === 0));
  const calls: Record<string, () => unknown> = {
    get: () => kv.get(key as never, some as never),
    getSync: () => kv.getSync(key as never),
    getMany: () => kv.getMany((random(2) === 0 ? [key, b] : key) as never, some as never),
    set: () => kv.set(key as never, b, some as never),
    delete: () => kv.delete(key as never),
    list: () => listAll(kv, random(2) === 0 ? { prefix: key, start: b } : key, random(3) === 0 ? a : some),
    range: () => listAll(kv, { start: key, end: b, cursor: c }, some),
    check: () =>
      kv
        .atomic()
        .check({ key, versionstamp: b } as never)
        .set(["x"], 1)
        .commit(),
    checks: () =>
      kv
        .atomic()
        .check(a as never, b as never)
        .commit(),
    mutate: () =>
      kv
        .atomic()
        .mutate({ type: random(2) === 0 ? "sum" : a, key, value: b, expireIn: c } as never)
        .commit(),
    sum: () =>
      kv
        .atomic()
        .sum(key as never, b as never)
        .min(["u"], c as never)
        .commit(),
    chain: () =>
      kv
        .atomic()
        .set(key as never, b, c as never)
        .delete(a as never)
        .commit(),
    changes: () => kv.changes(key as never, { bufferCountMax: a, bufferBytesMax: b } as never).close(),
    selector: () => kv.changes([{ prefix: key }, { key: a }] as never, some as never).close(),
    watch: () => watchOnce(kv, random(2) === 0 ? [key] : key, random(2) === 0 ? {} : some),
    open: () =>
      openAndClose(random(2) === 0 ? ":nothing" : a, {
        shards: a,
        partitionDepth: b,
        limits: random(2) === 0 ? { valueBytesMax: c } : c,
        history: a,
        clock: b,
      }),
  };
  const names = Object.keys(calls);
  const name = names[random(names.length)]!;
  return { what: `${name}(${describe(key)}, ${describe(b)}, ${describe(c)})`, call: calls[name]! };
}

async function listAll(kv: Kv, selector: unknown, options: unknown): Promise<void> {
  let left = 50;
  for await (const _ of kv.list(selector as never, options as never)) if (--left === 0) return;
}

async function watchOnce(kv: Kv, keys: unknown, options: unknown): Promise<void> {
  const reader = kv.watch(keys as never, options as never).getReader();
  try {
    await reader.read();
  } finally {
    await reader.cancel();
  }
}

async function openAndClose(path: unknown, options: unknown): Promise<void> {
  // Never a path by chance.
  const kv = await openKv((typeof path === "string" ? ":nothing" : path) as never, options as never);
  await kv.close();
}

const TEXTS = [
  "",
  "a",
  "\0",
  "\ud800",
  "💥",
  "__proto__",
  "then",
  "0".repeat(20),
  "f".repeat(20),
  "AAECAw==",
  "x".repeat(5000),
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.5,
  1e300,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];

function anything(random: Random, depth: number): unknown {
  const makers: (() => unknown)[] = [
    () => undefined,
    () => null,
    () => random(2) === 0,
    () => NUMBERS[random(NUMBERS.length)],
    () => BigInt(random(1000)) ** BigInt(random(90)) * (random(2) === 0 ? 1n : -1n),
    () => TEXTS[random(TEXTS.length)],
    () => Uint8Array.from({ length: random(40) }, () => random(256)),
    () => Symbol("s"),
    () => () => 1,
    () => new Date(NUMBERS[random(NUMBERS.length)]!),
    () => new Map([[anything(random, depth + 1), 1]]),
    () =>
      new Proxy(
        {},
        {
          get: () => {
            throw new RangeError("a trap of the caller's");
          },
        },
      ),
    () => ({
      get key() {
        throw new RangeError("a trap of the caller's");
      },
    }),
    () => Array.from({ length: random(5) }, () => (depth > 3 ? 1 : anything(random, depth + 1))),
    () => new Array(random(3000)).fill("p"),
    () => ({ prefix: depth > 3 ? [] : anything(random, depth + 1), key: [], value: 1 }),
    () => new SharedArrayBuffer(8),
    () => new Uint8Array(new SharedArrayBuffer(8)),
    () => Object.create(null),
    () => {
      const loop: unknown[] = [];
      loop.push(loop);
      return loop;
    },
    () => Promise.resolve(1),
    () => kvU64Like(random),
  ];
  return makers[random(makers.length)]!();
}

function kvU64Like(random: Random): unknown {
  return { value: BigInt(random(9)), [Symbol.toStringTag]: "Deno.KvU64" };
}

/** The error of a call, or `null`. */
async function answerOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return null;
  } catch (error) {
    return error ?? new Error("nothing was thrown");
  }
}

// ── decoders ───────────────────────────────────────────────────────────────────────────────────────

interface Decoder {
  /** Bytes that are right, to be spoiled. */
  readonly valid: readonly Uint8Array[];
  readonly decode: (bytes: Uint8Array) => unknown;
}

function decodersOf(breakage: string | null): Readonly<Record<string, Decoder>> {
  const values = [
    1,
    "text",
    { a: [1, { b: "c" }], d: 2n },
    new Map([[1, new Set(["x"])]]),
    new Date(5),
    /x/g,
    new Array(3),
    new Float64Array(3),
  ];
  const record = Buffer.from(`${"38000000".padEnd(16, "0")}${"0".repeat(160)}`, "hex");
  const meta = Buffer.alloc(168);
  meta.writeUInt16LE(8, 18);
  meta.writeUInt32LE(0xbeefc0de, 24);
  meta.writeUInt32LE(2, 28);
  meta.writeUInt32LE(8192, 48);
  const decoders: Record<string, Decoder> = {
    key: {
      valid: [Buffer.from("02616200210000000000000000", "hex"), Buffer.from("0bfffe", "hex")],
      decode: decodeKey,
    },
    value: {
      valid: values.map((value) => encodeValue(value).bytes),
      decode: (bytes) => decodeValue(1 + (bytes[0]! % 4), bytes),
    },
    "V8 value": {
      valid: values.map((value) => encodeValue(value).bytes),
      decode: (bytes) => decodeValue(1, bytes),
    },
    entry: {
      valid: [new Uint8Array(24).fill(1)],
      decode: (bytes) => [
        entryEncoding(bytes),
        entryVersionstamp(bytes),
        entryExpiresAtMs(bytes),
        entryValue(bytes),
      ],
    },
    "change record": { valid: [record], decode: (bytes) => readAll(bytes) },
    cursor: {
      valid: [Buffer.from("AmIAAg=="), Buffer.from("")],
      decode: (bytes) => decodeCursor(Buffer.from(bytes).toString("latin1"), Uint8Array.of(2, 0x61, 0)),
    },
    redo: { valid: [new Uint8Array(60)], decode: decodeRedo },
    head: { valid: [new Uint8Array(28)], decode: decodeHead },
    "log key": { valid: [new Uint8Array(22)], decode: readLogRowHead },
    "meta page": { valid: [meta], decode: (bytes) => parseMeta(bytes, 0) },
  };
  if (breakage === "leaky")
    decoders["leaky"] = { valid: [new Uint8Array(4)], decode: (bytes) => new Array(bytes.length - 5) };
  return decoders;
}

function readAll(bytes: Uint8Array): unknown {
  const record = readChangeRecord(bytes, 0);
  return [record.key, record.value, record.previous, record.versionstamp, record.hashCount];
}

/** The bytes with some of them changed, cut off, or put in. */
function spoil(valid: Uint8Array, random: Random): Uint8Array {
  if (random(10) === 0) return Uint8Array.from({ length: random(200) }, () => random(256));
  const bytes = Uint8Array.from(valid);
  for (let changes = random(4); changes >= 0 && bytes.length > 0; changes--)
    bytes[random(bytes.length)] = random(256);
  return random(3) === 0 ? bytes.slice(0, random(bytes.length + 1)) : bytes;
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
    return null;
  } catch (error) {
    return error;
  }
}

/** An error with a code of ours, or one that the caller's own object has thrown. */
function isOurs(error: unknown): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  if (error instanceof PageDamage) return true;
  return (typeof code === "string" && code.startsWith("KV_")) || message === "a trap of the caller's";
}

function nameOf(error: unknown): string {
  return error instanceof Error
    ? `${error.name} ${error.message} ${error.stack?.split("\n")[1]?.trim()}`
    : String(error);
}

function describe(value: unknown): string {
  return inspect(value, {
    depth: 2,
    maxArrayLength: 5,
    maxStringLength: 30,
    breakLength: Number.POSITIVE_INFINITY,
  }).slice(0, 120);
}
