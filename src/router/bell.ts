/**
 * Owns a caller's bell: sleeping until a shard has something for this thread, without keeping the thread or its process busy.
 *
 * Invariants
 * 1. The bell is read before the work is looked for, and waiting is for that value: no ring is lost.
 * 2. While something is wanted (a pending call, an open watch) the process is kept alive, and not otherwise: a `waitAsync` alone
 *    keeps nothing alive, so a timer that is ref'd and unref'd does. It is also the slow fallback.
 * 3. Between two turns the event loop runs: neither timers nor sockets starve.
 */
import { WATCHDOG_INTERVAL_MS } from "../limits.js";
import type { Control } from "../ring/control.js";

export class Bell {
  readonly #control: Control;
  readonly #caller: number;
  readonly #onRing: () => boolean;
  readonly #timer: NodeJS.Timeout;
  #wanted = 0;
  #armed = false;
  #closed = false;

  /** @param onRing Does a bounded amount of what there is to do, and says whether there is more. */
  constructor(control: Control, caller: number, onRing: () => boolean) {
    this.#control = control;
    this.#caller = caller;
    this.#onRing = onRing;
    this.#timer = setInterval(() => {
      if (this.#wanted > 0) this.#onRing();
    }, WATCHDOG_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Something is awaited. Each call is undone by one {@link release}. */
  hold(): void {
    if (++this.#wanted === 1) this.#timer.ref();
    this.#arm();
  }

  release(): void {
    if (--this.#wanted === 0) this.#timer.unref();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    // Ends the wait, so that it holds no memory.
    Atomics.notify(this.#control.words, this.#control.bellIndex(this.#caller));
  }

  #arm(): void {
    if (this.#armed || this.#closed) return;
    this.#armed = true;
    this.#turn();
  }

  readonly #turn = (): void => {
    if (this.#closed) return;
    const { words } = this.#control;
    const bell = this.#control.bellIndex(this.#caller);
    const seen = Atomics.load(words, bell);
    if (this.#onRing()) return void setImmediate(this.#turn);
    if (this.#wanted === 0) {
      this.#armed = false;
      return;
    }
    this.#control.setBellSleeping(this.#caller, true);
    const wait = Atomics.waitAsync(words, bell, seen);
    if (wait.async) wait.value.then(this.#wake);
    else setImmediate(this.#wake);
  };

  readonly #wake = (): void => {
    this.#control.setBellSleeping(this.#caller, false);
    this.#turn();
  };
}
