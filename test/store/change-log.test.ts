import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LOG_ROW_BYTES_MAX } from "../../src/limits.js";
import type { LogPiece } from "../../src/store/change-log.js";
import { ShardStore } from "../../src/store/shard-store.js";

const COMMIT_SIZES = [8, 40, 120, 600, 1000, LOG_ROW_BYTES_MAX, LOG_ROW_BYTES_MAX + 8, 20_000];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      pieces: fc.array(fc.array(fc.nat(COMMIT_SIZES.length - 1), { minLength: 1, maxLength: 6 }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), rows: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("abort" as const) }) },
);

test("the log is what was appended to it, in rows that are no larger than they may be", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.nat(),
      fc.nat(30_000),
      async (steps, pick, bytesMax) => {
        const path = mkdtempSync(join(tmpdir(), "belfry-log-"));
        const store = ShardStore.open(path, "relaxed");
        const model = new Map<number, number>();
        let next = 1;
        let nowMs = 1000;
        try {
          for (const { kind, ...rest } of steps) {
            nowMs++;
            if (kind === "trim") {
              const heads = [...store.log.heads()].slice(0, -1).slice(0, (rest as { rows: number }).rows);
              store.transaction(() => {
                for (const head of heads) store.log.remove(head);
              });
              for (const { key } of heads)
                for (const commit of [...model.keys()]) if (commit <= numberOf(key)) model.delete(commit);
            } else {
              const sizes = kind === "abort" ? [[1, 2], [3]] : (rest as { pieces: number[][] }).pieces;
              const commits: number[] = [];
              const pieces = sizes.map((own) =>
                pieceOf(own, (size) => {
                  model.set(next, size);
                  commits.push(next);
                  return next++;
                }),
              );
              const append = () =>
                store.transaction(() => {
                  store.log.append(pieces, nowMs);
                  if (kind === "abort") throw new Error("not this one");
                });
              if (kind === "abort") {
                expect(append).toThrow("not this one");
                for (const commit of commits) model.delete(commit);
              } else append();
            }
            store.renew();
          }
          expectLog(store, model, Number.POSITIVE_INFINITY, 0);
          const after = model.size === 0 ? 0 : [...model.keys()][pick % model.size]!;
          expectLog(store, model, Number.POSITIVE_INFINITY, after);
          expectLog(store, model, bytesMax, after);
        } finally {
          await store.close();
          rmSync(path, { recursive: true });
        }
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test("a row has the time of its last commit, and what is appended waits in the tail", async () => {
  const path = mkdtempSync(join(tmpdir(), "belfry-log-"));
  const store = ShardStore.open(path, "relaxed");
  const append = (commit: number, bytes: number) =>
    store.transaction(() =>
      store.log.append([{ last: stamp(commit), records: new Uint8Array(bytes) }], 1000 + commit),
    );
  const heads = () => {
    store.renew();
    return [...store.log.heads()].map(({ writtenAtMs, bytes }) => [writtenAtMs, bytes]);
  };
  append(1, 800);
  append(2, 800);
  expect(heads()).toEqual([[1002, 1600]]);
  append(3, 800);
  expect(heads()).toEqual([
    [1002, 1600],
    [1003, 800],
  ]);
  append(4, 5000);
  expect(heads()).toEqual([
    [1002, 1600],
    [1003, 800],
    [1004, 5000],
  ]);
  append(5, 8);
  expect(heads().slice(3)).toEqual([[1005, 8]]);
  await store.close();
  rmSync(path, { recursive: true });
});

/** Pieces as their maker would cut them: no larger than a row, unless it is one commit. */
function pieceOf(sizes: readonly number[], take: (size: number) => number): LogPiece {
  const [first, ...rest] = sizes.map((size) => COMMIT_SIZES[size]!);
  const kept = [first!];
  for (const size of rest)
    if (kept.reduce((sum, one) => sum + one, size) <= LOG_ROW_BYTES_MAX) kept.push(size);
  let last = 0;
  const records = Buffer.concat(
    kept.map((size) => {
      last = take(size);
      const bytes = Buffer.alloc(size, last);
      bytes.writeUInt32BE(last);
      bytes.writeUInt32BE(size, 4);
      return bytes;
    }),
  );
  return { last: stamp(last), records: new Uint8Array(records) };
}

function expectLog(
  store: ShardStore,
  model: ReadonlyMap<number, number>,
  bytesMax: number,
  after: number,
): void {
  const rows = store.log.read(stamp(after), bytesMax);
  const found = rows.map(commitsOf);
  for (const [index, row] of rows.entries())
    if (row.length > LOG_ROW_BYTES_MAX) expect(found[index]!.length).toBe(1);
  const commits = found.flat();
  const wanted = [...model.keys()].filter((commit) => commit > after);
  const newer = commits.filter((commit) => commit > after);
  // The first row may begin before, since it is read whole.
  expect(commits.slice(-newer.length || commits.length)).toEqual(newer);
  if (wanted.length > 0) expect(newer.length).toBeGreaterThan(0);
  if (bytesMax === Number.POSITIVE_INFINITY) expect(newer).toEqual(wanted);
  else expect(newer).toEqual(wanted.slice(0, newer.length));
  if (rows.length > 1)
    expect(rows.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(bytesMax);
  if (after !== 0 || bytesMax !== Number.POSITIVE_INFINITY) return;
  const heads = [...store.log.heads()];
  expect(heads.map(({ bytes }) => bytes)).toEqual(rows.map(({ length }) => length));
  expect(heads.map(({ key }) => numberOf(key))).toEqual(found.map((row) => row.at(-1)));
}

function commitsOf(row: Uint8Array): number[] {
  const view = new DataView(row.buffer, row.byteOffset, row.length);
  const commits: number[] = [];
  for (let offset = 0; offset < row.length; offset += view.getUint32(offset + 4))
    commits.push(view.getUint32(offset));
  return commits;
}

function stamp(commit: number): Uint8Array {
  const bytes = new Uint8Array(10);
  new DataView(bytes.buffer).setUint32(4, commit);
  return bytes;
}

function numberOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(4);
}
