import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { tempServer } from "../server/temp-server.js";

/** The program of the npm package, wherever its platform's part of it lies. */
function denoProgram(): string {
  const installed = createRequire(createRequire(import.meta.url).resolve("deno/package.json"));
  const libc = process.platform === "linux" ? "-glibc" : "";
  const manifest = installed.resolve(`@deno/${process.platform}-${process.arch}${libc}/package.json`);
  return join(dirname(manifest), process.platform === "win32" ? "deno.exe" : "deno");
}

describe("the client", () => {
  it.each([
    ["Node", process.execPath, []],
    ["Deno", denoProgram(), ["run", "--no-config", "--allow-net=127.0.0.1"]],
  ])("in %s does all that it can", async (_, program, args) => {
    const { url, kv } = await tempServer();
    await kv.set(["from-node"], "node");
    const file = fileURLToPath(new URL("program.js", import.meta.url));
    const { stdout } = await promisify(execFile)(program, [...args, file, url], {
      timeout: 25_000,
      env: { ...process.env, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
    });
    expect(stdout.trim().split("\n")).toEqual([
      "get 1 2.5 true far",
      "getMany |node",
      "atomic true",
      "atomic false",
      "count 2",
      "list 250 true",
      "refused true",
      "watch null",
      "watch rung",
      "changes 1,2",
      "resumed 3,4,deleted",
      "closed KV_CLOSED",
    ]);
  });
});
