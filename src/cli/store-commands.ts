/**
 * Owns the commands about a store as a whole: serve, stats, token.
 */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { Kv } from "../index.js";
import { type AccessToken, createToken, readTokenFile, type ServeOptions, serve } from "../server/index.js";
import { CommandError } from "./command-error.js";
import { examples, type Shared, shared } from "./flags.js";
import { Output } from "./output.js";
import { isAddress, openPath, withStore } from "./stores.js";
import { jsonLine, parseInteger, table } from "./texts.js";

interface ServeFlags {
  readonly port: string;
  readonly host: string;
  readonly tokens?: string;
  readonly key?: string;
  readonly cert?: string;
  readonly origin?: string[];
  readonly json?: boolean;
}

export function addStoreCommands(program: Command): void {
  const server = program
    .command("serve <path>")
    .description("serve a store until SIGTERM or SIGINT; makes one where there is none")
    .option("--port <n>", "0: any free one", "4512")
    .option("--host <address>", "other than this machine's own needs tokens", "127.0.0.1")
    .option("--tokens <file>", "access tokens, see `belfry token`; a single one may be in BELFRY_TOKEN")
    .option("--key <file>", "TLS key, PEM; with --cert")
    .option("--cert <file>", "TLS certificate, PEM")
    .option("--origin <origin...>", "origins whose pages may use the server")
    .option("--json", "the address as a line of JSON, for programs");
  examples(
    server,
    "belfry serve ./data",
    "belfry serve ./data --host 0.0.0.0 --tokens tokens.json --key key.pem --cert cert.pem",
  ).action(runServer);
  const stats = program
    .command("stats <store>")
    .description("what the shards are doing, and how far the history goes");
  examples(shared(stats), "belfry stats ./data", "belfry stats http://127.0.0.1:4512 --json").action(
    (store: string, flags: Shared) =>
      withStore(store, flags, async (kv) => {
        const [stats, history] = [await kv.stats(), await kv.history()];
        const output = new Output(flags.json === true);
        if (output.isJson) await output.write(jsonLine({ ...stats, history }));
        else await output.write(statsTable(stats) + table(Object.entries(history).map(row), output.columns));
      }),
  );
  const token = program
    .command("token <name>")
    .description(
      "make an access token: its text for the client on stderr, its hash for the token file on stdout",
    );
  examples(token, "belfry token app > app.json").action(async (name: string) => {
    const { token, sha256 } = createToken();
    const entry = { name, sha256, grants: [{ prefix: [], rights: ["read", "write"] }] };
    process.stderr.write(`token, shown once: ${token}\n`);
    await new Output(true).write(jsonLine(entry));
  });
}

async function runServer(path: string, flags: ServeFlags): Promise<void> {
  if (isAddress(path)) throw new CommandError(`serve needs the path of a store, found the address ${path}`);
  const options = serveOptions(flags);
  await using kv = await openPath(path, true);
  await using server = await serve(kv, options);
  const guard = server.isOpen
    ? "no token is configured: everybody on this machine may do everything"
    : "access by token";
  const { url, isOpen } = server;
  await new Output(flags.json === true).write(flags.json === true ? jsonLine({ url, isOpen }) : `${url}\n`);
  process.stderr.write(`serving ${path} at ${server.url}; ${guard}\n`);
  const signal = await stopSignal();
  process.stderr.write(`${signal}: finishing what runs\n`);
}

function serveOptions({ port, host, tokens, key, cert, origin }: ServeFlags): ServeOptions {
  if ((key === undefined) !== (cert === undefined))
    throw new CommandError("--key and --cert belong together");
  return {
    port: parseInteger("--port", port, 0, 65_535),
    host,
    tokens: [...environmentToken(), ...(tokens === undefined ? [] : readTokenFile(tokens))],
    ...(key !== undefined && { tls: { key: readText(key), cert: readText(cert!) } }),
    ...(origin !== undefined && { origins: origin }),
  };
}

function environmentToken(): AccessToken[] {
  const token = process.env["BELFRY_TOKEN"];
  return token === undefined || token === "" ? [] : [{ name: "environment", token }];
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CommandError(`${file} can't be read: ${(cause as Error).message}`);
  }
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}

function statsTable({ shards }: ReturnType<Kv["stats"]>): string {
  const names = Object.keys(shards[0] ?? {}) as (keyof (typeof shards)[number])[];
  const rows = shards.map((shard) => names.map((name) => String(shard[name])));
  return table([names, ...rows], Number.POSITIVE_INFINITY);
}

function row([name, value]: [string, unknown]): string[] {
  return [`history ${name}`, String(value)];
}
