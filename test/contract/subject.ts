/**
 * Owns what the contract needs of an implementation of Deno KV. The contract knows nothing of Belfry, of Node or of a test runner, so that
 * the very same cases run in Deno against `Deno.openKv`.
 */

/** A store, seen as Deno's own programs see it: every implementation has its own types, and none of them matters here. */
// biome-ignore lint/suspicious/noExplicitAny: the contract passes what no type would allow, and compares what comes back.
export type AnyKv = any;

/** An implementation under test. */
export interface Subject {
  readonly openKv: (path?: string) => Promise<AnyKv>;
  readonly KvU64: new (value: AnyKv) => { readonly value: bigint };
  /** A path in which no store is yet. */
  readonly newPath: () => string;
  /** What `console.log` shows of a value. */
  readonly inspect: (value: unknown) => string;
  /** Whether the limits are Deno's; else larger ones. */
  readonly hasDenoLimits: boolean;
  /** Whether a CryptoKey can be stored. */
  readonly hasCryptoKeys: boolean;
  /** Whether it has `enqueue`. */
  readonly hasQueues: boolean;
}

/** What a case works with. */
export interface Bench {
  /** An open store that holds nothing, shared with the cases before. */
  readonly kv: AnyKv;
  readonly subject: Subject;
}

/** One promise. It throws when that is not kept. */
export interface ContractCase {
  readonly name: string;
  /** Whether a subject can be asked at all. Default: yes. */
  readonly appliesTo?: (subject: Subject) => boolean;
  readonly run: (bench: Bench) => Promise<void>;
}

/** What became of a case: `null` when it was kept. */
export interface ContractResult {
  readonly name: string;
  readonly failure: string | null;
}

const CASE_MS_MAX = 20_000;

/** Runs all cases that apply, one after the other, each on an empty store. One that is not done in `caseMsMax` milliseconds has failed. */
export async function runContract(
  cases: readonly ContractCase[],
  subject: Subject,
  path?: string,
  caseMsMax = CASE_MS_MAX,
): Promise<ContractResult[]> {
  const results: ContractResult[] = [];
  const kv = await subject.openKv(path);
  for (const { name, appliesTo, run } of cases) {
    if (appliesTo?.(subject) === false) continue;
    results.push({ name, failure: await failureOf(() => run({ kv, subject }), caseMsMax) });
    await clear(kv);
  }
  kv.close();
  return results;
}

async function failureOf(run: () => Promise<void>, msMax: number): Promise<string | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${msMax} ms`)), msMax);
  });
  try {
    await Promise.race([run(), late]);
    return null;
  } catch (error) {
    return String((error as Error)?.stack ?? error);
  } finally {
    clearTimeout(timer);
  }
}

async function clear(kv: AnyKv): Promise<void> {
  const keys: unknown[] = [];
  for await (const { key } of kv.list({ prefix: [] }, { batchSize: 500 })) keys.push(key);
  for (let from = 0; from < keys.length; from += 100) {
    const operation = kv.atomic();
    for (const key of keys.slice(from, from + 100)) operation.delete(key);
    await operation.commit();
  }
}
