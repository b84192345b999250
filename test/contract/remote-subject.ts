/**
 * Owns a client as a subject of the contract. Each store is in memory behind a server of its own, and a path names one that stays: closing
 * and opening it again is what a client does that comes back.
 */
import { KeyObject } from "node:crypto";
import { inspect } from "node:util";
import { type Kv, openKv } from "../../src/index.js";
import { type BelfryServer, serve } from "../../src/server/index.js";
import type { AnyKv, Subject } from "./subject.js";

/** A client's part of a subject. */
export interface Client {
  readonly open: (url: string, fetcher: typeof fetch) => AnyKv;
  readonly KvU64: Subject["KvU64"];
  /** Whether it can listen to the queue, or at least says at once that it can't. */
  readonly hasQueues: boolean;
}

interface Served {
  readonly kv: Kv;
  readonly server: BelfryServer;
}

/** The client with servers of stores that have Deno's limits, and what ends them. */
export function remoteSubject({ open, KvU64, hasQueues }: Client): {
  subject: Subject;
  dispose: () => Promise<void>;
} {
  const started: Promise<Served>[] = [];
  const byPath = new Map<string, Promise<Served>>();
  const start = (): Promise<Served> => {
    const served = startServer();
    started.push(served);
    return served;
  };
  const servedAt = (path: string): Promise<Served> => {
    if (!byPath.has(path)) byPath.set(path, start());
    return byPath.get(path)!;
  };
  let paths = 0;
  let isOver = false;
  // A case that hangs has a client that goes on: once its server is gone, nobody answers it, and nothing fails behind the test's back.
  const fetcher: typeof fetch = async (...request) => {
    try {
      return await fetch(...request);
    } catch (error) {
      if (isOver) return new Promise<never>(() => {});
      throw error;
    }
  };
  const subject: Subject = {
    openKv: async (path = ":memory:") => {
      const { server } = await (path === ":memory:" ? start() : servedAt(path));
      return open(server.url, fetcher);
    },
    KvU64,
    newPath: () => `store-${paths++}`,
    inspect: (value) => inspect(value),
    hasDenoLimits: true,
    hasCryptoKeys: "toCryptoKey" in KeyObject.prototype,
    hasQueues,
  };
  const dispose = async (): Promise<void> => {
    isOver = true;
    const ending = started.map(async (served) => {
      const { kv, server } = await served;
      await server.close();
      await kv.close();
    });
    await Promise.all(ending);
  };
  return { subject, dispose };
}

async function startServer(): Promise<Served> {
  const kv = await openKv(":memory:", { shards: 1, limits: "deno" });
  return { kv, server: await serve(kv, { port: 0 }) };
}
