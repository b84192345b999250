/**
 * Owns the instrumented environment of the interleaving test: while it is installed, every access of the ring code to one shared buffer
 * (each Atomics call on its header, each piece of a copy) is a *step* that a test sees. Runs in the test's thread alone.
 *
 * Invariants:
 * 1. The code under test is the shipped code: only the built-ins that it calls are replaced, and only for that one buffer.
 * 2. Everything is put back when the callback returns or throws.
 *
 * It knows no schedule and no ring protocol.
 */

/** One effect of a writer on shared memory, in the order in which it happened. Offsets are bytes of the buffer. */
export type WriteStep =
  | {
      readonly kind: "word";
      readonly call: "exchange" | "store" | "add";
      readonly word: number;
      readonly value: number;
    }
  | { readonly kind: "copy" | "padding"; readonly offset: number; readonly bytes: Uint8Array };

/** Called before each read step of a reader; it may change the memory as a writer would. */
export type BeforeRead = () => void;

const original = {
  load: Atomics.load,
  store: Atomics.store,
  exchange: Atomics.exchange,
  add: Atomics.add,
  set: Uint8Array.prototype.set,
  slice: Uint8Array.prototype.slice,
  setUint32: DataView.prototype.setUint32,
};

/** Runs a writer and returns its effects. A copy is recorded in pieces of `pieceBytes`, cut at multiples of it. */
export function recordWrites(ring: SharedArrayBuffer, pieceBytes: number, write: () => void): WriteStep[] {
  const steps: WriteStep[] = [];
  const word = (call: "exchange" | "store" | "add") =>
    function recorded(words: Int32Array, index: number, value: number): number {
      const result = original[call](words, index, value);
      // What the word holds now, so that a replay needs no arithmetic.
      if (words.buffer === ring)
        steps.push({ kind: "word", call, word: index, value: original.load(words, index) });
      return result;
    };
  const patched = {
    exchange: word("exchange"),
    store: word("store"),
    add: word("add"),
    set(this: Uint8Array, source: ArrayLike<number>, offset = 0) {
      original.set.call(this, source, offset);
      if (this.buffer === ring)
        pushPieces(steps, Uint8Array.from(source), this.byteOffset + offset, pieceBytes);
    },
    setUint32(this: DataView, offset: number, value: number, littleEndian?: boolean) {
      original.setUint32.call(this, offset, value, littleEndian);
      if (this.buffer !== ring) return;
      const at = this.byteOffset + offset;
      steps.push({ kind: "padding", offset: at, bytes: Uint8Array.from(new Uint8Array(ring, at, 4)) });
    },
  };
  withBuiltIns(patched, write);
  return steps;
}

/** Runs a reader; `beforeRead` is called before each of its loads from the ring and each piece of its copies. */
export function withReadSteps<Result>(
  ring: SharedArrayBuffer,
  pieceBytes: number,
  beforeRead: BeforeRead,
  read: () => Result,
): Result {
  const patched = {
    load(words: Int32Array, index: number): number {
      if (words.buffer === ring) beforeRead();
      return original.load(words, index);
    },
    slice(this: Uint8Array, start: number, end: number): Uint8Array {
      if (this.buffer !== ring) return original.slice.call(this, start, end);
      const copy = new Uint8Array(end - start);
      for (let at = start; at < end; at += pieceBytes) {
        beforeRead();
        for (let byte = at; byte < Math.min(at + pieceBytes, end); byte += 1)
          copy[byte - start] = this[byte]!;
      }
      return copy;
    },
  };
  return withBuiltIns(patched, read);
}

function pushPieces(steps: WriteStep[], bytes: Uint8Array, offset: number, pieceBytes: number): void {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    steps.push({ kind: "copy", offset: offset + at, bytes: original.slice.call(bytes, at, at + pieceBytes) });
  }
}

type BuiltIns = Partial<Record<keyof typeof original, unknown>>;

function withBuiltIns<Result>(patched: BuiltIns, run: () => Result): Result {
  install({ ...original, ...patched });
  try {
    return run();
  } finally {
    install(original);
  }
}

function install(builtIns: Record<keyof typeof original, unknown>): void {
  Object.assign(Atomics, {
    load: builtIns.load,
    store: builtIns.store,
    exchange: builtIns.exchange,
    add: builtIns.add,
  });
  Object.assign(Uint8Array.prototype, { set: builtIns.set, slice: builtIns.slice });
  Object.assign(DataView.prototype, { setUint32: builtIns.setUint32 });
}
