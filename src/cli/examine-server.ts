/**
 * Owns what `belfry doctor` looks at in a server: whether it answers, takes writes, and takes the token.
 */
import { connect } from "../client/index.js";
import { KvError } from "../index.js";
import { type Finding, failed, ok, warning } from "./finding.js";

const ANSWER_MS_MAX = 5000;

export async function examineServer(url: string, token: string | undefined): Promise<Finding[]> {
  const answer = await probe(url, "healthz", "server", "is it running, and is the address right?");
  if (answer.state === "failed") return [answer];
  const ready = await probe(
    url,
    "readyz",
    "store",
    "a shard is down or the server is stopping: look at its log",
  );
  return [answer, ready, await rights(url, token)];
}

async function probe(url: string, path: string, name: string, advice: string): Promise<Finding> {
  const address = `${url.replace(/\/+$/, "")}/${path}`;
  const startedMs = performance.now();
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    const text = (await response.text()).trim().slice(0, 60);
    const tookMs = Math.round(performance.now() - startedMs);
    if (!response.ok) return failed(name, `${address} answers ${response.status} ${text}`, advice);
    return ok(name, `${address} answers "${text}" in ${tookMs} ms`);
  } catch (error) {
    const { message, cause } = error as Error;
    return failed(name, `${address}: ${cause instanceof Error ? cause.message : message}`, advice);
  }
}

async function rights(url: string, token: string | undefined): Promise<Finding> {
  await using kv = connect(url, token === undefined ? {} : { token });
  try {
    const { shards } = await kv.stats();
    return ok("token", `may do everything; ${shards.length} shards`);
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    const advice = "stats, queue and dead need an admin token, in --token or BELFRY_TOKEN";
    return warning("token", error.message, advice);
  }
}
