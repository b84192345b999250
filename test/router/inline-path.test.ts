/** When a caller makes commits by itself, and when the answers have to wait for the event loop. The clock is moved by hand, by commits that are none. */
import { expect, test } from "vitest";
import type { CommitFields } from "../../src/codec/commit-frame.js";
import { type Reply, ReplyStatus } from "../../src/codec/reply-frame.js";
import { INLINE_BYTES_MAX, INLINE_LOOP_MS, INLINE_PAUSE_FACTOR, INLINE_SLOW_MS } from "../../src/limits.js";
import { InlinePath } from "../../src/router/inline-path.js";
import type { InlineCommits } from "../../src/shard/inline-commits.js";

const COMMIT: CommitFields = { checks: [], mutations: [] };

/** A path whose transactions take as long as is said, and a list of what it told. */
function pathOf(takes: { ms: number; isAwake?: boolean }) {
  const told: string[] = [];
  let nowMs = 1000;
  const commits = {
    run: (bodies: readonly CommitFields[]): Reply[] | null => {
      if (takes.isAwake) return null;
      nowMs += takes.ms;
      return bodies.map(() => ({ status: ReplyStatus.unknown }));
    },
  } as unknown as InlineCommits;
  const onCommitted = () => told.push("committed");
  const path = new InlinePath({ open: () => commits, onCommitted, nowMs: () => nowMs });
  const run = (name: string) => path.run(0, [COMMIT], () => told.push(name));
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { path, told, run, pass };
}

test("answers and watchers come at once until the time of the turn is used up, and then with the next turn, in order", async () => {
  const { told, run } = pathOf({ ms: INLINE_LOOP_MS * 0.6 });
  expect(run("first")).toBe(true);
  expect(told).toEqual(["first", "committed"]);
  run("second");
  run("third");
  await Promise.resolve();
  expect(told).toEqual(["first", "committed"]);
  await new Promise(setImmediate);
  expect(told).toEqual(["first", "committed", "second", "third", "committed"]);
  run("fourth");
  expect(told.slice(5)).toEqual(["fourth", "committed"]);
});

test("what can't be made here is not answered here", () => {
  const { told, run } = pathOf({ ms: 0, isAwake: true });
  expect(run("first")).toBe(false);
  expect(told).toEqual([]);
});

test("after a transaction that took long the shards do the work for a while", () => {
  const takes = { ms: INLINE_SLOW_MS * 1.5 };
  const { run, pass } = pathOf(takes);
  expect(run("slow")).toBe(true);
  takes.ms = 0;
  expect(run("next")).toBe(false);
  pass(INLINE_PAUSE_FACTOR * INLINE_SLOW_MS);
  expect(run("too early")).toBe(false);
  pass(INLINE_PAUSE_FACTOR * INLINE_SLOW_MS);
  expect(run("later")).toBe(true);
});

test("only small commits without messages are made here", () => {
  const { path } = pathOf({ ms: 0 });
  const mutation = (bytes: number) =>
    ({ key: new Uint8Array(10), value: new Uint8Array(bytes) }) as CommitFields["mutations"][number];
  expect(path.suits({ checks: [], mutations: [mutation(100)] })).toBe(true);
  expect(path.suits({ checks: [], mutations: [mutation(INLINE_BYTES_MAX)] })).toBe(false);
  expect(path.suits({ checks: [], mutations: Array.from({ length: 1000 }, () => mutation(1)) })).toBe(false);
  const queue = { shard: 0, enqueues: [], burials: [] };
  expect(path.suits({ checks: [], mutations: [mutation(1)], queue })).toBe(false);
});
