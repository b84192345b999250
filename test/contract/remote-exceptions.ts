/** What of the contract does not hold over a wire, by client, and why. */

/** Cases that fail for one reason. */
export interface Exception {
  readonly reason: string;
  readonly cases: readonly string[];
  /** They fail by never ending. */
  readonly hangs?: true;
}

const LISTENING = [
  "enqueue has a versionstamp, and its message comes, alone or with a commit",
  "a commit whose check fails enqueues nothing",
  "a message waits for a listener, and for its delay",
  "handlers run at the same time",
  "several listeners share the messages, each comes once",
  "a handler that throws is tried again after each interval, and no more without a schedule",
  "what nobody could handle is written under its keys, all with one versionstamp",
  "messages outlive the store's closing",
  "closing ends listenQueue; afterwards it rejects, and enqueue is a BadResource",
  "a watch hears the keys of a message that nobody could handle",
];

/** Those of `belfry/client`. */
export const clientExceptions: readonly Exception[] = [
  { reason: "the client has no listenQueue: messages are handled where the store is open", cases: LISTENING },
  {
    reason: "host objects of the runtime do not travel: the client runs in runtimes that do not have them",
    cases: [
      "a Blob, alone and within a value, set and by atomic, read by get and by list",
      "a File keeps its name and its time",
      "a DOMException keeps its name and message",
    ],
  },
  {
    reason: "classes have names of their own, and node:util is not everywhere",
    cases: [
      "an operation is inspected as the calls that it holds",
      "Kv can't be constructed, and what is inspected looks as in Deno",
    ],
  },
  {
    reason:
      "only the server knows the limits of its store, and encodes keys: a watch that it refuses ends with the refusal",
    cases: [
      "2049 bytes of key can be watched and bound a list, one more can't",
      "getMany takes 10 keys, watch 10",
    ],
  },
  { reason: "a client opens no paths", cases: ["a path can't be empty or begin with a colon"] },
  {
    reason: "closing a client twice does nothing",
    cases: [
      "after close every call is a BadResource, atomic() and list() themselves are none",
      "disposing closes, and a second time does nothing",
    ],
  },
  {
    reason: "states that are on their way when the reader is slow arrive, and then the newest",
    cases: ["a slow reader gets the item that was read ahead, then the newest state"],
  },
  {
    reason: "nothing is sent before the first next(): a feed from now on begins there",
    cases: ["prefixes can be followed change by change"],
    hangs: true,
  },
];

/** Those of `@deno/kv`. Its listening is looked at apart. */
export const denoClientExceptions: readonly Exception[] = [
  {
    reason: "it refuses by itself, with texts, classes and moments of its own",
    cases: [
      "a missing key has a null value and a null versionstamp, and the empty key holds nothing",
      "both words of consistency are accepted, others are refused",
      "what is no key is refused wherever one is asked for",
      "a bigint of 255 bytes is a part of a key, one of 256 is none",
      "the empty key can't be set, deleted or checked",
      ...["function", "hidden function", "symbol", "WeakMap", "WeakSet", "promise"].map(
        (what) => `a ${what} is refused: set rejects, atomic throws at the call`,
      ),
      "a WebAssembly.Module and shared memory are refused when they are written",
      "shared memory is refused with a TypeError, as is every other value",
      "operands of sum, min and max are refused at the call",
      "mutate does the same with data, and refuses what is incomplete at the call",
      "a versionstamp that is none is an invalid check, told at the commit",
      "a bad key is told at the commit, not at the call",
      "commit validates in Deno's order",
      "expireIn is refused at the call by atomic, and rejects in set",
      "awaiting an operation that was not committed says so",
      "bad counts and selectors of the wrong shape are thrown at the call",
      "what is wrong with the content of keys and words is thrown with the first entry",
      "a batch has up to 1000 entries if it is asked for",
      "no keys: the stream ends at once; the empty key: a null entry",
      "a path can't be empty or begin with a colon",
      "Kv can't be constructed, and what is inspected looks as in Deno",
      "an operation is inspected as the calls that it holds",
      "a KvU64 is frozen, has a tag, and turns into a bigint, a text, a number",
      "after close every call is a BadResource, atomic() and list() themselves are none",
      "after close, what is wrong with the arguments is told first",
      "disposing closes, and a second time does nothing",
      "expireIn can't be beyond what a time can hold",
      "every refusal has a code",
    ],
  },
  {
    reason: "it puts the server's refusal into a sentence of its own, and throws an Error",
    cases: [
      "sum, min and max on something else than a KvU64 reject",
      "min and max take a KvU64 and nothing else, and say so at the commit",
      "2048 bytes of key can be written, checked and read, one more can't",
      "a value has up to 65,536 serialized bytes; atomic tells at the commit",
      "getMany takes 10 keys, watch 10",
      "a commit takes 100 checks and 1000 mutations, and checks are counted first",
      "a commit counts up to 819,200 bytes: its keys, and its values with their keys again",
      "keys that get a value count up to 81,920 bytes, after the whole",
    ],
  },
  {
    reason: "KV Connect's sum is of KvU64 only",
    cases: [
      "sum works on bigints and on numbers, without a bound",
      "a bigint is added to a KvU64 if it is one, and wraps",
      "sum refuses kinds that do not go together",
    ],
  },
  {
    reason: "it encodes keys by itself: no view but a Uint8Array, and no negative zero",
    cases: [
      "keys of all types are listed in Deno's order, bigint before number, and come back as they went in",
      "keys that differ only in type, in the sign of zero or in a NUL are different keys",
      "a lone surrogate in a key becomes U+FFFD, NaN is one key, a view is its bytes",
    ],
  },
  {
    reason: "it serializes values by itself, with what Node's serializer has",
    cases: [
      "a Blob, alone and within a value, set and by atomic, read by get and by list",
      "a File keeps its name and its time",
      "a DOMException keeps its name and message",
    ],
  },
  {
    reason:
      "its lists take what they are given as it is when they are read, and have cursors and iterators of their own",
    cases: [
      "limit counts entries over batches; reverse must be true",
      "the iterator is its own iterable and has next and cursor, neither return nor throw",
      "a selector is copied at the call",
      "cursors are the pinned strings, empty when there is no more, the last one when the limit is reached",
      "an iteration goes on behind its cursor, both ways, also when that key is gone",
      "there is no cursor before the first entry, unless the iteration began at one",
      "a cursor that is none is refused with the first entry, one beyond the end is the end",
    ],
  },
  {
    reason:
      "it has neither commitVersionstamp nor changes, names no failed checks, and encodes at the commit",
    cases: [
      "a key that ends in commitVersionstamp() gets the commit's own, and only where it is set",
      "a watch hears a key that got the commit's versionstamp",
      "a key that ends in the commit's versionstamp is held to the limit of a key as a whole",
      "the commit's versionstamp may be all of a key",
      "prefixes can be followed change by change",
      "failed checks are named with what was expected and what is there",
      "a key and a value are taken as they are at the call of atomic",
    ],
  },
  {
    reason:
      "its watch does not show a first state in which there is nothing (it compares with null, in the pull of makeUnrawWatchStream), and so the first read waits",
    cases: [
      "the first item is the state of all keys in their order, null entries and duplicates too",
      "a change of any key gives an item of all keys, unchanged ones repeated",
      "rewriting the same value is news; a missing key's deletion, a child and other keys are not",
      "cancelling twice does nothing, leaving the loop unlocks the stream, and writes go on",
      "2049 bytes of key can be watched and bound a list, one more can't",
      "two openings of one path see each other, wake each other's watches, and keep everything",
    ],
    hangs: true,
  },
  {
    reason:
      "its watch reads nothing ahead (a highWaterMark of 0): a slow reader gets the newest state, and then waits for another",
    cases: ["a slow reader gets the item that was read ahead, then the newest state"],
    hangs: true,
  },
  {
    reason:
      "closing it ends its connections, and not its streams: at the end of what it reads, the pull of its raw stream returns and closes nothing",
    cases: ["a pending read of a watch is done at close"],
    hangs: true,
  },
];
