/**
 * The README's `curl` lines, as they stand there, against a server.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { tempServer } from "../server/temp-server.js";
import { PACKAGE_ROOT } from "./source-root.js";

const readme = readFileSync(join(PACKAGE_ROOT, "README.md"), "utf8");
const lines = [...readme.matchAll(/^curl .*$/gm)].map(([line]) => line);

/** What the line prints; a stream is cut off after a second. */
async function run(line: string, url: string): Promise<string> {
  const command = line.replace("http://127.0.0.1:4512", url).replace("curl -N", "curl -N --max-time 1");
  const shell = promisify(execFile)("sh", ["-c", command.replace("curl", "curl --silent --show-error")]);
  return shell.then(
    ({ stdout }) => stdout,
    (error) => error.stdout as string,
  );
}

it("the README's curl lines do what they say", async () => {
  const { url, kv } = await tempServer();
  expect(lines.length).toBeGreaterThanOrEqual(4);
  const printed: string[] = [];
  for (const line of lines) printed.push(await run(line, url));
  expect((await kv.get(["users", 42])).value).toEqual({ name: "Ada" });
  expect(printed[0]).toMatch(/^\{"ok":true,"versionstamp":"[0-9a-f]{20}"\}$/);
  expect(printed[1]).toContain('"value":{"name":"Ada"}');
  expect(printed[2]).toContain('"entries":[{"key":["users",42]');
  expect(printed[3]).toMatch(/event: change\nid: [0-9a-f]{24}\ndata: /);
});
