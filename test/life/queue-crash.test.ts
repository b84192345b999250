/**
 * What a crash leaves of the queue: a process is killed while it enqueues and handles messages, and the store is opened again.
 *
 * `BELFRY_QUEUE_ROUNDS` asks for more rounds (default 3), `BELFRY_QUEUE_SEED` repeats their moments (as far as moments can be).
 */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openKv } from "../../src/index.js";
import { Child } from "./child-process.js";
import { randomOf, seedFrom } from "./random.js";
import { temporaryDirectory } from "./temporary-directory.js";

const ROUNDS = Number(process.env["BELFRY_QUEUE_ROUNDS"] ?? 3);
const SEED = seedFrom("BELFRY_QUEUE_SEED");
const KILL_MS_MAX = 500;
/** Numbers that one life of the program may use. */
const LIFE = 1_000_000;
const DRAIN_MS_MAX = 20_000;

/** What became of each message, over all lives. */
class Ledger {
  readonly enqueued = new Set<number>();
  readonly handled = new Set<number>();
  /** Begun in a life that was killed, and not ended in it: it may be handled again, and so may what ended with the kill. */
  readonly doubtful = new Set<number>();
  readonly faults: string[] = [];

  /** Takes the lines of one life that was killed. */
  take(lines: readonly string[]): void {
    const begun = new Map<number, number>();
    for (const line of lines) {
      const [what, text] = line.split(" ");
      const n = Number(text);
      if (what === "enqueued") this.enqueued.add(n);
      else if (what === "began") {
        begun.set(n, (begun.get(n) ?? 0) + 1);
        this.noteBegin(n);
      } else if (what === "handled") this.handled.add(n);
      else this.faults.push(`${line} within one life`);
    }
    for (const [n, count] of begun) {
      // One that fails once is begun twice; all that this life had begun may come again, since its end may not have been stored.
      if (count > (n % 5 === 0 ? 2 : 1)) this.faults.push(`${n} was begun ${count} times in one life`);
    }
    this.#markDoubtful(lines);
  }

  /** A message that was handled in an earlier life must not come again, unless that life ended too soon after it. */
  noteBegin(n: number): void {
    if (this.handled.has(n) && !this.doubtful.has(n)) this.faults.push(`${n} was handled, and came again`);
  }

  /** Whatever ended among the last that ended: their ends had not been acknowledged by the shard yet, for all that is known. */
  #markDoubtful(lines: readonly string[]): void {
    const ends = lines.filter((line) => line.startsWith("handled "));
    for (const line of ends.slice(-UNSETTLED_MAX)) this.doubtful.add(Number(line.split(" ")[1]));
  }
}

/** Ends of which a kill may come before the shard has stored them: a few turns of both listeners' messages. */
const UNSETTLED_MAX = 400;

describe("a process is killed while it enqueues and handles messages", () => {
  const path = join(temporaryDirectory(), "store");
  const ledger = new Ledger();

  for (let round = 0; round < ROUNDS; round++) {
    const durability = round % 2 === 0 ? "sync" : "relaxed";
    test(`${durability}: no message is lost, none is handled twice without a crash between (round ${round}, BELFRY_QUEUE_SEED=${SEED})`, async () => {
      const killMs = 50 + randomOf(SEED + round)(KILL_MS_MAX);
      ledger.take(await crash(path, round * LIFE, durability, killMs));
      expect(ledger.enqueued.size).toBeGreaterThan(0);
      expect(ledger.faults).toEqual([]);
    });
  }

  test("what is left is handled after the last crash, and nothing else; a commit and its message are both there", async () => {
    const kv = await openKv(path);
    const handled = new Map<number, number>();
    void kv.listenQueue<number>((n) => {
      handled.set(n, (handled.get(n) ?? 0) + 1);
    });
    const deadlineMs = Date.now() + DRAIN_MS_MAX;
    for (;;) {
      const { ready, delayed, leased } = kv.queueStats();
      if (ready + delayed + leased === 0) break;
      if (Date.now() > deadlineMs) throw new Error(`${ready}, ${delayed} and ${leased} messages are left`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const [n, count] of handled) {
      ledger.noteBegin(n);
      if (count > 1) ledger.faults.push(`${n} was handled ${count} times`);
    }
    const dead = new Set<number>();
    for await (const { value } of kv.deadLetters.list<number>()) dead.add(value);
    // Messages that are begun, killed, and fail once more in the next life may have used up a schedule.
    for (const n of dead) if (n % 5 !== 0) ledger.faults.push(`${n} has died without a failure`);
    for (const n of ledger.enqueued) {
      if (!ledger.handled.has(n) && !handled.has(n) && !dead.has(n)) ledger.faults.push(`${n} is lost`);
    }
    for (const n of handled.keys()) {
      if (n % 4 > 1) continue;
      for (const name of n % 4 === 0 ? ["a", "b", "c"] : ["a"]) {
        if ((await kv.get([name, n])).value !== n) ledger.faults.push(`${n} came without its ${name}`);
      }
    }
    expect(ledger.faults).toEqual([]);
    await kv.close();
  });
});

/** Lets the program run for a while after its first message, kills it, and returns what it had said. */
async function crash(
  path: string,
  first: number,
  durability: string,
  killMs: number,
): Promise<readonly string[]> {
  const child = new Child("queue-program.js", [path, String(first), durability]);
  await child.saysSomething();
  await child.livesFor(killMs);
  child.kill("SIGKILL");
  const end = await child.end();
  expect(end.how, end.errors).toBe("SIGKILL");
  return end.lines;
}
