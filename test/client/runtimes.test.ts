import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { denoProgram } from "../runtimes/deno-program.js";
import { tempServer } from "../server/temp-server.js";

describe("the client", () => {
  it.for<[string, string | null, string[]]>([
    ["Node", process.execPath, []],
    ["Deno", denoProgram, ["run", "--no-config", "--allow-net=127.0.0.1"]],
  ])("in %s does all that it can", async ([runtime, program, args], { skip }) => {
    if (program === null) return skip(`there is no ${runtime} here`);
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
