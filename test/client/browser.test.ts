/**
 * The client and a plain `EventSource` in a real browser, where the machine has one: Chromium at BELFRY_CHROMIUM, or at its usual places.
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { tempKv, tempPath } from "../kv/temp-store.js";
import { tempServer } from "../server/temp-server.js";

const SOURCES = new URL("../../src/", import.meta.url);
const PLACES = [process.env["BELFRY_CHROMIUM"], "/usr/bin/chromium", "/usr/bin/google-chrome"];
const browserPath = PLACES.find((path) => path !== undefined && existsSync(path));

/** Serves the compiled client to the browser as it is. */
async function pageServer(): Promise<string> {
  const server = createServer((request, response) => {
    const isPage = request.url === "/" || request.url === "/favicon.ico";
    response.setHeader("content-type", isPage ? "text/html" : "text/javascript");
    response.end(isPage ? "<!doctype html>" : readFileSync(new URL(`.${request.url}`, SOURCES)));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

it.skipIf(browserPath === undefined)(
  "in a browser the client reads, writes and follows, and an EventSource resumes after the server was restarted",
  async () => {
    const origin = await pageServer();
    const path = join(tempPath());
    const first = await tempServer({ origins: [origin] }, { path });
    const port = first.server.port;
    const browser = await chromium.launch({ executablePath: browserPath!, args: ["--no-sandbox"] });
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    await page.goto(origin);
    const program = `(async () => {
      const { connect } = await import("/client/index.js");
      const kv = globalThis.kv = connect(${JSON.stringify(first.url)});
      await kv.set(["browser"], { big: 7n, bytes: new Uint8Array([1]), when: new Date(5) });
      const { value } = await kv.get(["browser"]);
      globalThis.changes = [];
      globalThis.events = [];
      (async () => { for await (const { value } of kv.changes({ prefix: ["n"] })) globalThis.changes.push(value); })();
      const source = new EventSource(${JSON.stringify(first.url)} + "/v1/changes?selectors=" + encodeURIComponent('{"prefix":["n"]}'));
      source.addEventListener("change", ({ data }) => globalThis.events.push(JSON.parse(data).value));
      await new Promise((resolve) => source.addEventListener("open", resolve, { once: true }));
      return [typeof value.big, value.bytes[0], value.when.getTime()].join();
    })()`;
    expect(await page.evaluate(program)).toBe("bigint,1,5");
    for (let number = 0; number < 5; number++) await first.kv.set(["n", number], number);
    await page.waitForFunction("globalThis.changes.length === 5 && globalThis.events.length === 5");
    await first.server.close();
    for (let number = 5; number < 8; number++) await first.kv.set(["n", number], number);
    await first.kv.close();
    const kv = await tempKv(path);
    await tempServer({ origins: [origin], port }, { kv });
    for (let number = 8; number < 10; number++) await kv.set(["n", number], number);
    await page.waitForFunction("globalThis.changes.length === 10 && globalThis.events.length === 10");
    const expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect(await page.evaluate("globalThis.changes")).toEqual(expected);
    expect(await page.evaluate("globalThis.events")).toEqual(expected);
    expect((await kv.get<{ big: bigint }>(["browser"])).value?.big).toBe(7n);
    await page.evaluate("globalThis.kv.close()");
  },
  60_000,
);
