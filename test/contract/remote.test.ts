/**
 * The contract over a wire: `belfry/client`, and the unmodified `@deno/kv`, each talking to servers of stores in memory. What can't hold
 * there is named in remote-exceptions.ts, and has to fail.
 */
import { KvU64 as DenoKvU64, openKv as openDenoKv } from "@deno/kv";
import { expect, test } from "vitest";
import { connect, KvU64 } from "../../src/client/index.js";
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import { clientExceptions, denoClientExceptions, type Exception } from "./remote-exceptions.js";
import { type Client, remoteSubject } from "./remote-subject.js";
import { type ContractCase, type ContractResult, runContract, type Subject } from "./subject.js";

/** After which a case that is known to hang is taken to do so, in milliseconds. */
const HANGING_MS = 2000;

const ALL: readonly ContractCase[] = [...contract, ...differenceCases, ...queueDifferenceCases];
const namesOf = (exceptions: readonly Exception[]) => exceptions.flatMap(({ cases }) => cases);
const namesFailed = (results: readonly ContractResult[]) =>
  results.filter(({ failure }) => failure !== null).map(({ name }) => name);

/** Those that hang run at the same time, each with a store of its own: what they leave behind disturbs nobody. */
async function runAll(subject: Subject, exceptions: readonly Exception[]): Promise<ContractResult[]> {
  const hanging = new Set(namesOf(exceptions.filter(({ hangs }) => hangs === true)));
  const results = await runContract(
    ALL.filter(({ name }) => !hanging.has(name)),
    subject,
    ":memory:",
  );
  const alone = ALL.filter(({ name }) => hanging.has(name)).map((one) =>
    runContract([one], subject, ":memory:", HANGING_MS),
  );
  return [...results, ...(await Promise.all(alone)).flat()];
}

async function keepsAllBut(exceptions: readonly Exception[], client: Client): Promise<void> {
  const { subject, dispose } = remoteSubject(client);
  try {
    const results = await runAll(subject, exceptions);
    const excepted = new Set(namesOf(exceptions));
    const unexpected = results.filter(({ name, failure }) => failure !== null && !excepted.has(name));
    expect(unexpected).toEqual([]);
    expect(namesFailed(results).sort()).toEqual([...excepted].sort());
    expect(results.length).toBeGreaterThan(100);
  } finally {
    await dispose();
  }
}

const openDeno: Client["open"] = (url, fetcher) =>
  openDenoKv(url, { accessToken: "none-is-needed", fetcher });

test("belfry/client keeps the contract, but for what is named", { timeout: 120_000 }, () =>
  keepsAllBut(clientExceptions, {
    open: (url, fetcher) => connect(url, { fetch: fetcher }),
    KvU64,
    hasQueues: true,
  }),
);

test("@deno/kv keeps the contract, but for what is named", { timeout: 120_000 }, () =>
  keepsAllBut(denoClientExceptions, {
    open: openDeno,
    KvU64: DenoKvU64,
    hasQueues: false,
  }),
);

test("@deno/kv enqueues, and can't listen", { timeout: 30_000 }, async () => {
  const { subject, dispose } = remoteSubject({
    open: openDeno,
    KvU64: DenoKvU64,
    hasQueues: false,
  });
  try {
    const kv = await subject.openKv();
    expect(await kv.enqueue("m")).toMatchObject({ ok: true, versionstamp: expect.stringMatching(/^.{20}$/) });
    await expect(async () => kv.listenQueue(() => {})).rejects.toThrow("not possible over KV Connect");
    kv.close();
  } finally {
    await dispose();
  }
});
