/**
 * Owns what one transaction of a shard does to its queue: every move of a message from one state to another. Shard thread only.
 *
 *                      ┌──────────────── returned, interrupted ◄──────────────┐
 *   enqueued ─► delayed ─► ready ─► leased ─► done: gone                      │
 *                  ▲         ▲        ├──────────────────────────────────────┘
 *                  └─────────┼────────┼─ failed, with an interval of its schedule left: backs off
 *                            │        └─ failed for good: dead ─► removed, or dropped when there are too many
 *                            └─────────────── requeued ◄──────────┘
 *
 * Invariants
 * 1. A message is in one state, and each move is a part of one transaction: after a crash it is where it was, or where it went.
 * 2. Only a holder moves what it has leased. What it says of anything else is ignored: it says so again, or the lease went back.
 * 3. Ready messages are leased in the order in which they were due, those of one time in the order of their commits. What is enqueued without
 *    a delay is due at once, and never before what was enqueued earlier, whatever the clock does.
 * 4. A message dies only in the commit that writes its `keysIfUndelivered` (codec/queue-frame.ts): both are there or neither.
 * 5. The counts in the store are those of its tables.
 *
 * It does not know who listens, does not wait, and runs no timers: queue-keeper.ts does.
 */
import type { QueueCommand, Settlement } from "../codec/queue-command.js";
import { Outcome } from "../codec/queue-command.js";
import type { BurialFields, EnqueueFields, QueueFields } from "../codec/queue-frame.js";
import { messageId, readBackoff } from "../codec/queue-message.js";
import { type LeaseFields, type Reply, ReplyStatus } from "../codec/reply-frame.js";
import type { DeadRow, LeasedRow, QueueCounts, QueueStore, WaitingRow } from "../store/queue-store.js";

/** How many dead letters, and bytes of them, a shard keeps. */
export interface DeadBounds {
  readonly countMax: number;
  readonly bytesMax: number;
}

/** Whose command is executed, and among how many. */
export interface Asker {
  readonly holder: number;
  /** Threads that could take a message now, the asking one included. */
  readonly listeners: number;
}

/** Dead letters that one burial drops at most: more than one adds, so that the bound is kept up with. */
const DROPS_MAX = 32;

export class QueueBatch {
  readonly #store: QueueStore;
  readonly #bounds: DeadBounds;
  /** The counts as this transaction leaves them. */
  #tally: QueueCounts;
  #isTouched = false;
  #lastReadyMs = 0;
  #nextDueMs = Number.POSITIVE_INFINITY;

  constructor(store: QueueStore, bounds: DeadBounds) {
    this.#store = store;
    this.#bounds = bounds;
    this.#tally = store.counts();
    this.#nextDueMs = this.#firstDueMs();
  }

  /** Messages that are ready, as of the last transaction. */
  get readyCount(): number {
    return this.#tally.ready;
  }

  /** Messages that somebody handles, as of the last transaction. */
  get leasedCount(): number {
    return this.#tally.leased;
  }

  /** When the next delayed message is due, as of the last transaction; `Infinity` when there is none. */
  get nextDueMs(): number {
    return this.#nextDueMs;
  }

  /** Whether this transaction has moved anything. */
  get isTouched(): boolean {
    return this.#isTouched;
  }

  /** Begins a transaction. */
  reset(): void {
    this.#isTouched = false;
  }

  /** Writes what the moves of this transaction come to. Last in the transaction. */
  finish(): void {
    if (!this.#isTouched) return;
    this.#store.putCounts(this.#tally);
    this.#nextDueMs = this.#firstDueMs();
  }

  /** The transaction has failed: what is known is what the store says. */
  discard(): void {
    this.#tally = this.#store.counts();
    this.#nextDueMs = this.#firstDueMs();
    this.#isTouched = false;
  }

  // ── commits ──────────────────────────────────────────────────────────────────────────────────────

  /** Stores the messages of a commit, and buries those that die with it. */
  apply({ enqueues, burials }: QueueFields, counter: number, order: number, nowMs: number): void {
    for (const [place, enqueue] of enqueues.entries()) {
      this.#enqueue(messageId(counter, order, place), enqueue, nowMs);
    }
    for (const burial of burials) this.#bury(burial, nowMs);
  }

  #enqueue(id: Uint8Array, { delayMs, message }: EnqueueFields, nowMs: number): void {
    this.#store.putMessage(id, message);
    this.#wait({ id, dueMs: nowMs, failures: 0, interruptions: 0 }, delayMs);
  }

  #bury({ id, holder, failures, error }: BurialFields, nowMs: number): void {
    const lease = this.#takeLease(id, holder);
    if (lease === undefined) return;
    const { interruptions } = lease;
    const bytes = this.#store.message(id)?.length ?? 0;
    this.#store.putDead({ id: id.slice(), diedAtMs: nowMs, failures, interruptions, bytes, error });
    this.#change.dead++;
    this.#change.deadBytes += bytes;
    if (this.#isOverBounds()) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const row of this.#store.deadAfter(null, DROPS_MAX)) {
      if (!this.#isOverBounds()) return;
      this.#removeDead(row);
      this.#store.removeMessage(row.id);
      this.#change.dropped++;
    }
  }

  #isOverBounds(): boolean {
    return this.#tally.dead > this.#bounds.countMax || this.#tally.deadBytes > this.#bounds.bytesMax;
  }

  // ── commands ─────────────────────────────────────────────────────────────────────────────────────

  /** Executes a command, and gives its answer. */
  run(command: QueueCommand, asker: Asker, nowMs: number, inherited: ReadonlySet<string>): Reply {
    switch (command.kind) {
      case "turn": {
        let count = 0;
        for (const settlement of command.settlements) {
          if (this.#settle(settlement, asker.holder, nowMs)) count++;
        }
        if (command.held !== null) this.#resume(command.held, asker.holder, inherited);
        return { status: ReplyStatus.queue, count, leases: this.#lease(command.want, asker) };
      }
      case "requeue":
        return this.#forEachDead(command.ids, (row) => {
          const fresh = { id: row.id, dueMs: nowMs, failures: 0, interruptions: 0 };
          this.#wait(fresh, command.delayMs);
        });
      case "remove":
        return this.#forEachDead(command.ids, (row) => this.#store.removeMessage(row.id));
    }
  }

  /** Leases the first ready messages: each of those who could take some gets its share, and may ask again at once. */
  #lease(want: number, { holder, listeners }: Asker): LeaseFields[] {
    const share = Math.ceil(this.#tally.ready / Math.max(1, listeners));
    const count = Math.min(want, share);
    if (count === 0) return [];
    return this.#store.firstWaiting("ready", count).map((row) => {
      this.#store.removeWaiting("ready", row);
      this.#store.putLease({ ...row, holder });
      this.#change.ready--;
      this.#change.leased++;
      return { id: row.id, failures: row.failures, interruptions: row.interruptions };
    });
  }

  #settle({ id, outcome }: Settlement, holder: number, nowMs: number): boolean {
    const lease = this.#takeLease(id, holder);
    if (lease === undefined) return false;
    switch (outcome) {
      case Outcome.done:
        this.#store.removeMessage(id);
        break;
      case Outcome.failed:
        this.#backOff(lease, nowMs);
        break;
      case Outcome.returned:
        this.#putReady(lease);
    }
    return true;
  }

  /** Without an interval left it is ready again, and whoever gets it sees that its schedule is used up. */
  #backOff(lease: LeasedRow, nowMs: number): void {
    const { id, failures, interruptions } = lease;
    const message = this.#store.message(id);
    const intervalMs = message === undefined ? 0 : (readBackoff(message)[failures] ?? 0);
    this.#wait({ id, dueMs: nowMs, failures: failures + 1, interruptions }, intervalMs);
  }

  /** Leases whose delivery was lost with this shard's former thread: the holder does not know of them, so they were not even begun. */
  #resume(held: readonly Uint8Array[], holder: number, inherited: ReadonlySet<string>): void {
    const known = new Set(held.map(idName));
    for (const lease of this.#store.leases()) {
      const name = idName(lease.id);
      if (lease.holder !== holder || known.has(name) || !inherited.has(name)) continue;
      this.#takeLease(lease.id, holder);
      this.#putReady(lease);
    }
  }

  #forEachDead(ids: readonly Uint8Array[], use: (row: DeadRow) => void): Reply {
    let count = 0;
    for (const id of ids) {
      const row = this.#store.dead(id);
      if (row === undefined) continue;
      this.#removeDead(row);
      use(row);
      count++;
    }
    return { status: ReplyStatus.queue, count, leases: [] };
  }

  // ── the keeper ───────────────────────────────────────────────────────────────────────────────────

  /** Makes messages ready whose time has come, at most `limit`, and says how many. */
  moveDue(nowMs: number, limit: number): number {
    const due = this.#store.firstWaiting("delayed", limit).filter(({ dueMs }) => dueMs <= nowMs);
    for (const row of due) {
      this.#store.removeWaiting("delayed", row);
      this.#change.delayed--;
      this.#putReady(row);
    }
    return due.length;
  }

  /** Takes back what is leased by holders that are gone, at most `limit`, and says how many. */
  interrupt(isGone: (holder: number) => boolean, limit: number): number {
    const lost = this.#store.leases().filter(({ holder }) => isGone(holder));
    for (const lease of lost.slice(0, limit)) {
      this.#takeLease(lease.id, lease.holder);
      this.#putReady({ ...lease, interruptions: lease.interruptions + 1 });
    }
    return Math.min(lost.length, limit);
  }

  #firstDueMs(): number {
    return this.#store.firstWaiting("delayed", 1)[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  // ── moves ────────────────────────────────────────────────────────────────────────────────────────

  /** Lets a message wait that comes from nowhere else: until `delayMs` after its `dueMs`. */
  #wait(row: WaitingRow, delayMs: number): void {
    if (delayMs === 0) {
      this.#lastReadyMs = Math.max(this.#lastReadyMs, row.dueMs);
      this.#putReady({ ...row, dueMs: this.#lastReadyMs });
      return;
    }
    this.#store.putWaiting("delayed", { ...row, dueMs: row.dueMs + delayMs });
    this.#change.delayed++;
  }

  #putReady(row: WaitingRow): void {
    this.#store.putWaiting("ready", row);
    this.#change.ready++;
  }

  /** Ends a lease; `undefined`, and nothing happens, where the holder has none. */
  #takeLease(id: Uint8Array, holder: number): LeasedRow | undefined {
    const lease = this.#store.lease(id);
    if (lease?.holder !== holder) return undefined;
    this.#store.removeLease(id);
    this.#change.leased--;
    return lease;
  }

  #removeDead(row: DeadRow): void {
    this.#store.removeDead(row.id);
    this.#change.dead--;
    this.#change.deadBytes -= row.bytes;
  }

  /** The counts, for who changes them. */
  get #change(): QueueCounts {
    this.#isTouched = true;
    return this.#tally;
  }
}

/** A name for a message's id, as a key of maps and sets. */
export function idName(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
