/**
 * What nobody should send, to every route that there is, over both protocols. Held: each request is answered, soon, with what was asked for or a
 * refusal that says why; never with a failure of the server. And afterwards nothing is left of any of them.
 *
 * `BELFRY_SEED` repeats the requests, `BELFRY_FUZZ_RUNS` sets their number (default 600).
 */
import * as http from "node:http";
import * as http2 from "node:http2";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { randomOf, seedFrom } from "../life/random.js";
import { type HostileRequest, hostileRequest } from "./hostile-requests.js";
import { type TempServer, tempServer } from "./temp-server.js";

const SEED = seedFrom("BELFRY_SEED");
const RUNS = Number(process.env["BELFRY_FUZZ_RUNS"] ?? 600);
const AT_ONCE = 8;
const ANSWER_MS_MAX = 15_000;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

describe(`requests that nobody should send (BELFRY_SEED=${SEED})`, () => {
  it("are each answered, and leave nothing behind", { timeout: 30_000 + RUNS * 20 }, async () => {
    const failures: unknown[] = [];
    const running = await tempServer({
      bodyBytesMax: 2 ** 21,
      rate: { perSecond: 1e9, burst: 1e9 },
      onError: (error) => failures.push(error),
    });
    const { server, kv } = running;
    const storeId = kv.encoded().storeId;
    const random = randomOf(SEED);
    const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
    // Node's client never gives back what it counts for the rest of a body whose stream it has cancelled: with its default of 10 MB it
    // refuses the answers to all that comes after the third of them.
    const session = http2.connect(server.url, { maxSessionMemory: 10_000 });
    onTestFinished(() => {
      agent.destroy();
      session.destroy();
    });
    const statuses = new Map<number, number>();
    let made = 0;
    const sendSome = async (): Promise<void> => {
      while (made < RUNS) {
        const request = hostileRequest(server.routes[made % server.routes.length]!, storeId, random);
        const what = `request ${made++}: ${shown(request)}`;
        const isPlain = request.path.startsWith("/");
        const isSecond = random(3) === 0 && isPlain;
        const answer = await (isSecond ? sendSecond(session, request) : send(agent, server.port, request));
        checkAnswer(request, answer, what);
        expect(failures, what).toEqual([]);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sendSome));
    // Else it is garbage only, or nothing is wrong with any.
    for (const status of [200, 400, 404, 405])
      expect(statuses.get(status), `${status}`).toBeGreaterThan(RUNS / 200);
    session.close();
    agent.destroy();
    await expectNothingLeft(running);
  });

  it("are each answered or cut off, when they stop halfway", async () => {
    const failures: unknown[] = [];
    const running = await tempServer({
      bodyMsMax: 100,
      headMsMax: 200,
      onError: (error) => failures.push(error),
    });
    const { server, kv } = running;
    const random = randomOf(SEED);
    const sendPart = async (index: number): Promise<void> => {
      const route = server.routes[index % server.routes.length]!;
      const whole = requestBytes(hostileRequest(route, kv.encoded().storeId, random));
      const cut = random(whole.length);
      const ending = (["end", "destroy", "stall", "drip"] as const)[random(4)]!;
      const answer = await cutOff(server.port, whole, cut, ending);
      const head = answer.slice(0, 12);
      expect(head === "" || /^HTTP\/1\.1 [24]\d\d/.test(answer), `${ending} at ${cut}: ${head}`).toBe(true);
    };
    for (let index = 0; index < 96; index += 16) {
      await Promise.all(Array.from({ length: 16 }, (_, offset) => sendPart(index + offset)));
    }
    expect(failures).toEqual([]);
    await expectNothingLeft(running);
  });
});

describe("a connection", () => {
  it("is not held up by the HEAD of a stream", async () => {
    const { server } = await tempServer();
    const host = "HTTP/1.1\r\nHost: localhost\r\n";
    for (const path of ["changes?selectors=%7B%22prefix%22:%5B%5D%7D", "watch?keys=%5B%5B%22a%22%5D%5D"]) {
      const text = `HEAD /v1/${path} ${host}\r\nGET /healthz ${host}Connection: close\r\n\r\n`;
      const answer = await cutOff(server.port, Buffer.from(text), text.length, "stall");
      expect(answer).toMatch(/^HTTP\/1.1 200 .*event-stream.*HTTP\/1.1 200 .*ok\n$/s);
    }
  });

  it("goes on over HTTP/2 when nobody wants the bodies", async () => {
    const { server } = await tempServer();
    const session = http2.connect(server.url);
    onTestFinished(() => session.destroy());
    const body = new Uint8Array(3 * 2 ** 20);
    for (let count = 0; count < 8; count++) {
      const request = { method: "POST", path: "/nowhere", headers: {}, body };
      expect(await sendSecond(session, request)).toMatchObject({ status: 404 });
    }
  });

  it("does not wait for ever for a body that nobody wants, and goes on with a stream meanwhile", async () => {
    const { server, kv } = await tempServer({ bodyBytesMax: 10 });
    const session = http2.connect(server.url);
    onTestFinished(() => session.destroy());
    const changes = session.request(
      { ":path": "/v1/changes?selectors=%7B%22prefix%22:%5B%5D%7D" },
      { endStream: false },
    );
    let events = "";
    changes.on("data", (chunk: Buffer) => {
      events += chunk.toString();
    });
    const unwanted = ["GET /healthz", "HEAD /healthz", "POST /nowhere", "POST /v1/get"].map((route) => {
      const [method, path] = route.split(" ") as [string, string];
      const sent = session.request({ ":method": method, ":path": path }, { endStream: false });
      sent.write(new Uint8Array(20));
      sent.resume();
      return new Promise<number>((resolve, reject) => {
        sent.on("error", reject);
        sent.on("close", () => resolve(sent.rstCode!));
      });
    });
    const head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
    const socket = connect({ port: server.port, host: "127.0.0.1" });
    socket.write(head);
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.resume().on("close", resolve));
    expect(await Promise.all(unwanted)).toEqual(unwanted.map(() => http2.constants.NGHTTP2_NO_ERROR));
    await closed;
    await kv.set(["a"], "heard");
    while (!events.includes("heard")) await sleep(5);
    changes.close();
  });

  it.each([
    "GET /heal",
    "PRI * HT",
    "POST /v1/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
  ])("whose client closes its half is closed, and its streams with it: %j", async (text) => {
    const running = await tempServer();
    await cutOff(running.server.port, Buffer.from(text), text.length, "end");
    await expectNothingLeft(running);
  });
});

function checkAnswer({ method, path }: HostileRequest, { status, type, text }: Answer, what: string): void {
  expect(status, what).toBeGreaterThanOrEqual(200);
  expect(status, `${what} → ${text}`).toBeLessThan(500);
  if (status < 300 || method === "HEAD") return;
  expect(status, what).toBeGreaterThanOrEqual(400);
  expect(text, what).not.toBe("");
  if (!path.startsWith("/v1/")) return;
  expect(type, what).toBe("application/json");
  expect(JSON.parse(text), what).toEqual({
    error: expect.objectContaining({
      code: expect.stringMatching(/^[A-Z_]+$/),
      message: expect.stringMatching(/./),
    }),
  });
}

async function expectNothingLeft({ server, kv, url }: TempServer): Promise<void> {
  while (server.connectionCount > 0) await sleep(5);
  const metrics = await (await fetch(`${url}/metrics`, { headers: { connection: "close" } })).text();
  expect(metrics).toContain('belfry_streams{kind="changes"} 0');
  expect(metrics).toContain('belfry_streams{kind="watch"} 0');
  await kv.set(["after"], 1);
  const after = await fetch(`${url}/v1/entries/after`);
  expect(await after.json()).toMatchObject({ key: ["after"], value: 1 });
}

/** Sends over HTTP/1.1. A stream is left once it has begun. */
function send(agent: http.Agent, port: number, request: HostileRequest): Promise<Answer> {
  const { method, path, headers, body } = request;
  return new Promise((resolve, reject) => {
    const options = { agent, host: "127.0.0.1", port, method, path: printable(path) };
    // Node would send the body of a DELETE as it is, with nothing that says where it ends.
    const framed = body === null ? headers : { ...headers, "content-length": String(body.length) };
    const sent = http.request({ ...options, headers: framed });
    const late = setTimeout(() => sent.destroy(new Error(`no answer: ${shown(request)}`)), ANSWER_MS_MAX);
    sent.on("close", () => clearTimeout(late));
    sent.on("error", reject);
    sent.on("response", (response) => {
      const status = response.statusCode!;
      const type = response.headers["content-type"] ?? "";
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status, type, text: Buffer.concat(chunks).toString() }));
      // The client's write of a body that was refused may fail after the refusal has come.
      response.on("error", () => resolve({ status, type, text: Buffer.concat(chunks).toString() }));
      if (method === "HEAD" || !isEndless(type, path, status)) return;
      resolve({ status, type, text: "" });
      response.destroy();
    });
    sent.end(body ?? undefined);
  });
}

function sendSecond(session: http2.ClientHttp2Session, request: HostileRequest): Promise<Answer> {
  const { method, path, headers, body } = request;
  return new Promise((resolve, reject) => {
    const sent = session.request(
      { ...headers, ":method": method, ":path": path },
      { endStream: body === null },
    );
    const late = setTimeout(() => reject(new Error(`no answer: ${shown(request)}`)), ANSWER_MS_MAX);
    let status = 0;
    let type = "";
    const chunks: Buffer[] = [];
    sent.on("response", (answer) => {
      status = answer[":status"]!;
      type = answer["content-type"] ?? "";
      if (isEndless(type, path, status)) sent.close(http2.constants.NGHTTP2_CANCEL);
    });
    sent.on("data", (chunk: Buffer) => chunks.push(chunk));
    sent.on("error", (error) => {
      if (status === 0) reject(new Error(`${error.message}: ${shown(request)}`));
    });
    sent.on("close", () => {
      clearTimeout(late);
      resolve({ status, type, text: Buffer.concat(chunks).toString() });
    });
    if (body !== null) sent.end(body);
  });
}

function isEndless(type: string, path: string, status: number): boolean {
  return status === 200 && (type.startsWith("text/event-stream") || path.startsWith("/connect/watch"));
}

function requestBytes({ method, path, headers, body }: HostileRequest): Buffer {
  const all = { host: "localhost", ...headers, "content-length": String(body?.length ?? 0) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `${method} ${printable(path)} HTTP/1.1\r\n${lines.join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), (body ?? new Uint8Array(0)).subarray(0, 65_536)]);
}

/** What comes back for the first `cut` bytes. A client that ends or stalls waits for the server, at most a while; one that drips goes on byte by byte. */
async function cutOff(
  port: number,
  whole: Uint8Array,
  cut: number,
  ending: "end" | "destroy" | "stall" | "drip",
): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let answer = "";
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.on("end", () => resolve());
  });
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
  });
  socket.write(whole.subarray(0, cut));
  if (ending === "end") socket.end();
  if (ending === "drip") {
    for (let next = cut; next < Math.min(whole.length, cut + 20); next++) {
      await sleep(5);
      if (socket.writable) socket.write(whole.subarray(next, next + 1));
    }
  }
  if (ending === "destroy") await sleep(5);
  else await Promise.race([closed, sleep(300)]);
  socket.destroy();
  return answer;
}

/** What Node's client lets through. */
function printable(path: string): string {
  return path.replaceAll(/[^\x21-\x7e]/g, "");
}

function shown({ method, path, headers, body }: HostileRequest): string {
  const start = Buffer.from((body ?? new Uint8Array(0)).subarray(0, 200));
  return `${method} ${path.slice(0, 200)} ${JSON.stringify(headers).slice(0, 300)} ${start.toString("latin1")} (${start.toString("hex")})`;
}
