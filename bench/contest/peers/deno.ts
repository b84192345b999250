/**
 * Deno's own KV, in Deno: measured in a child process. The binary of the package `deno` will do, or one on the PATH.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findPackage } from "../find-package.js";
import type { Peer, PeerFinding } from "../peer.js";
import { type DenoLikeKv, kvStore } from "./kv-store.js";

export const deno: Peer = {
  name: "deno",
  modes: [
    { durability: "relaxed", kept: "memory", setting: ":memory:" },
    { durability: "sync", kept: "sync", setting: "a file" },
  ],
  find: async (): Promise<PeerFinding> => {
    for (const binary of binaries()) {
      const version = versionOf(binary);
      if (version !== undefined)
        return { version, command: [binary, "run", "-A", "--unstable-kv", "--no-lock"] };
    }
    return { missing: "deno, as a package or on the PATH" };
  },
  open: async (directory, { durability }) => {
    const { Deno } = globalThis as unknown as { Deno: { openKv(path: string): Promise<DenoLikeKv> } };
    return kvStore(await Deno.openKv(durability === "relaxed" ? ":memory:" : join(directory, "store")));
  },
};

/** What may be on the machine, the package's binary first. */
function binaries(): string[] {
  const { platform, arch } = process;
  const names = { linux: `linux-${arch}-glibc`, darwin: `darwin-${arch}`, win32: `win32-${arch}` };
  const name = names[platform as keyof typeof names];
  const found = name === undefined ? undefined : findPackage(`@deno/${name}`);
  const files =
    found === undefined ? [] : [join(found.directory, platform === "win32" ? "deno.exe" : "deno")];
  return [...files.filter((file) => existsSync(file)), "deno"];
}

function versionOf(binary: string): string | undefined {
  try {
    const text = execFileSync(binary, ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return /deno (\S+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}
