/**
 * Owns a server that is started for a peer and ends with it: on a free port of the loopback interface, with its files in the peer's directory.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";

const STARTED_MS_MAX = 10_000;
const STOPPED_MS_MAX = 5_000;

/** The version that a server's program tells; `undefined` when it is not on the machine. */
export function serverVersion(command: string, args: readonly string[], pattern: RegExp): string | undefined {
  try {
    const text = execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return pattern.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** A port that nobody has at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts a server and tries to connect until it answers. Resolves with what `connect` gives, and the end of the server. */
export async function startServer<T>(
  command: string,
  args: readonly string[],
  connect: () => Promise<T>,
): Promise<{ readonly client: T; stop(): Promise<void> }> {
  const server = spawn(command, args, { stdio: "ignore" });
  server.once("error", () => {});
  const deadlineMs = Date.now() + STARTED_MS_MAX;
  for (;;) {
    try {
      return { client: await connect(), stop: () => stop(server) };
    } catch (cause) {
      if (server.exitCode !== null || Date.now() > deadlineMs) {
        await stop(server);
        throw new Error(`${command} did not answer within ${STARTED_MS_MAX} ms`, { cause });
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  const timer = setTimeout(() => server.kill("SIGKILL"), STOPPED_MS_MAX);
  await ended;
  clearTimeout(timer);
}
