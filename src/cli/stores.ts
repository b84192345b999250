/**
 * Owns the opening of what a command works on: a path is opened in this process, an address is connected to. Both have one face.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { connect, type RemoteKv } from "../client/index.js";
import { type Kv, openKv } from "../index.js";
import { CommandError } from "./command-error.js";

/** What a store and a client have in common. */
export type AnyKv = Kv | RemoteKv;

export interface StoreOptions {
  /** Access token for an address; default: the environment's BELFRY_TOKEN. */
  readonly token?: string;
}

/** @throws CommandError for an address that is none of a server: taken for a path it would become a directory. */
export function isAddress(store: string): boolean {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(store)?.[1]?.toLowerCase();
  if (scheme === undefined) return false;
  if (scheme === "http" || scheme === "https") return true;
  throw new CommandError(`${store} is no address of a server: it begins with http:// or https://`);
}

/** Opens `store`, gives it to `use`, and closes it however that ends. A path must hold a store, unless it `mayCreate` one. */
export async function withStore<T>(
  store: string,
  options: StoreOptions,
  use: (kv: AnyKv) => Promise<T>,
  mayCreate = false,
): Promise<T> {
  await using kv = isAddress(store) ? connectTo(store, options) : await openPath(store, mayCreate);
  return await use(kv);
}

/** Opens a path in this process. @throws CommandError when there is no store and none may be made, or a file stands there. */
export async function openPath(path: string, mayCreate: boolean): Promise<Kv> {
  if (!mayCreate && !existsSync(join(path, "manifest.json"))) {
    throw new CommandError(`there is no store at ${path}; \`belfry set\`, \`import\` and \`serve\` make one`);
  }
  if (existsSync(path) && !statSync(path).isDirectory())
    throw new CommandError(`${path} is a file: a store is a directory`);
  return openKv(path);
}

function connectTo(url: string, { token }: StoreOptions): RemoteKv {
  const given = token ?? process.env["BELFRY_TOKEN"];
  return connect(url, given === undefined ? {} : { token: given });
}
