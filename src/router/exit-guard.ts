/**
 * Owns what happens to the open stores when the process ends without closing them: `process.exit()`, an uncaught error, or a script
 * that simply has nothing left to do. A thread that is ended inside an LMDB transaction wedges its environment, and with it the exit;
 * so the shards are asked to stop, and are waited for.
 *
 * One listener serves all engines of the thread. A signal that kills at once passes it by, and does no harm: LMDB survives that.
 */
import { EXIT_GUARD_MS_MAX } from "../limits.js";

interface Guarded {
  stopBeforeExit(deadlineMs: number): void;
}

const guarded = new Set<Guarded>();

function onExit(): void {
  const deadlineMs = Date.now() + EXIT_GUARD_MS_MAX;
  for (const engine of guarded) engine.stopBeforeExit(deadlineMs);
}

export function guardExit(engine: Guarded): void {
  if (guarded.size === 0) process.on("exit", onExit);
  guarded.add(engine);
}

export function unguardExit(engine: Guarded): void {
  guarded.delete(engine);
  if (guarded.size === 0) process.off("exit", onExit);
}
