/** Owns the servers that one test starts: they are closed when the test ends, however it ends. */
import { onTestFinished } from "vitest";
import type { Kv, KvOpenOptions } from "../../src/index.js";
import { type BelfryServer, type ServeOptions, serve } from "../../src/server/index.js";
import { tempKv } from "../kv/temp-store.js";

export interface TempServer {
  readonly kv: Kv;
  readonly server: BelfryServer;
  readonly url: string;
}

/** A server on a free port, of a store of its own unless one is given. */
export async function tempServer(
  options: ServeOptions = {},
  from: { readonly kv?: Kv; readonly path?: string; readonly open?: KvOpenOptions } = {},
): Promise<TempServer> {
  const kv = from.kv ?? (await tempKv(from.path, { shards: 1, ...from.open }));
  const server = await serve(kv, { port: 0, ...options });
  onTestFinished(() => server.close());
  return { kv, server, url: server.url };
}

/** Posts a JSON message; its text is tagged JSON already. */
export async function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
