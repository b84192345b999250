import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countParts, encodeKey, hashBytes, type KvKey } from "../../src/codec/key.js";
import { hashPrefixes } from "../../src/codec/key-hash.js";
import { PREFIX_DEPTH_MAX } from "../../src/limits.js";
import { encodeSelectors } from "../../src/watch/change-selectors.js";
import { anyPart, type ChangeSelector } from "../../src/watch/kv-change.js";
import {
  type EncodedSelector,
  type MatchableRecord,
  Matcher,
  type MatcherSeat,
} from "../../src/watch/matcher.js";

type Hash = (bytes: Uint8Array) => number;

interface NamedSeat<W> extends MatcherSeat<NamedSeat<W>> {
  readonly name: W;
}

/** A matcher whose watchers have names. */
class Watchers<W> {
  readonly #matcher: Matcher<NamedSeat<W>>;

  constructor(hash?: Hash) {
    this.#matcher = new Matcher(hash);
  }

  add(name: W, selectors: Iterable<EncodedSelector>): NamedSeat<W> {
    const seat = { visit: 0, place: undefined, name };
    this.#matcher.add(seat, selectors);
    return seat;
  }

  remove(seat: NamedSeat<W>): void {
    this.#matcher.remove(seat);
  }

  match(record: MatchableRecord, visit: (name: W) => void): void {
    const mayWant = this.#matcher.mayWant(record);
    this.#matcher.match(record, (seat) => {
      expect(mayWant).toBe(true);
      visit(seat.name);
    });
  }

  /** Who is met when the records from the fiftieth on are looked at. */
  lookAhead(records: readonly MatchableRecord[]): W[] {
    const met: W[] = [];
    this.#matcher.lookAhead(records, 50, ({ name }) => met.push(name));
    return met;
  }

  mayWant(record: MatchableRecord): boolean {
    return this.#matcher.mayWant(record);
  }
}

/** What a change record says of its key, with the engine's hash or with one that the test chose. */
function recordOf(key: KvKey, hash: Hash = hashBytes): MatchableRecord {
  const depth = Math.min(key.length, PREFIX_DEPTH_MAX);
  const hashes = Array.from({ length: depth }, (_, index) => hash(encodeKey(key.slice(0, index + 1))));
  const encoded = encodeKey(key);
  return {
    key: encoded,
    hashCount: depth,
    hash: (index) => hashes[index]!,
    hasKeyText: (text) => Buffer.from(text, "latin1").equals(encoded),
  };
}

function keySelector(key: KvKey): EncodedSelector {
  return { kind: "key", bytes: encodeKey(key) };
}

function prefixSelector(prefix: KvKey): EncodedSelector {
  return { kind: "prefix", bytes: encodeKey(prefix) };
}

function matches<W>(matcher: Watchers<W>, key: KvKey, hash?: Hash): W[] {
  const found: W[] = [];
  matcher.match(recordOf(key, hash), (watcher) => found.push(watcher));
  return found;
}

function deep(length: number): KvKey {
  return Array.from({ length }, (_, index) => index);
}

describe("matcher", () => {
  test("a key selector matches that key and nothing else", () => {
    const matcher = new Watchers<string>();
    matcher.add("a", [keySelector(["users", 7])]);
    expect(matches(matcher, ["users", 7])).toEqual(["a"]);
    for (const other of [["users"], ["users", 8], ["users", 7, "x"], ["users", 7n], ["users", "7"]]) {
      expect(matches(matcher, other)).toEqual([]);
    }
  });

  test("a prefix matches strictly longer keys at any depth, never itself", () => {
    const matcher = new Watchers<string>();
    matcher.add("a", [prefixSelector(["users"])]);
    expect(matches(matcher, ["users"])).toEqual([]);
    expect(matches(matcher, ["users", 1])).toEqual(["a"]);
    expect(matches(matcher, ["users", 1, "x", true])).toEqual(["a"]);
    expect(matches(matcher, ["userss", 1])).toEqual([]);
  });

  test("the empty prefix matches everything", () => {
    const matcher = new Watchers<string>();
    matcher.add("all", [prefixSelector([])]);
    expect(matches(matcher, ["a"])).toEqual(["all"]);
    expect(matches(matcher, deep(40))).toEqual(["all"]);
  });

  test("a prefix does not match a key whose part only begins with its bytes", () => {
    for (const hash of [hashBytes, () => 1]) {
      const matcher = new Watchers<string>(hash);
      matcher.add("a", [prefixSelector(["a"]), keySelector(["a"])]);
      expect(matches(matcher, ["a\0b"], hash)).toEqual([]);
      expect(matches(matcher, ["a\0"], hash)).toEqual([]);
      expect(matches(matcher, ["a", "b"], hash)).toEqual(["a"]);
    }
    const deepOne = new Watchers<string>();
    deepOne.add("deep", [prefixSelector([...deep(20), "a"])]);
    expect(matches(deepOne, [...deep(20), "a\0b", 1])).toEqual([]);
    expect(matches(deepOne, [...deep(20), "a", 1])).toEqual(["deep"]);
  });

  test("keys and prefixes around the depth of the hashes match", () => {
    for (const depth of [
      PREFIX_DEPTH_MAX - 1,
      PREFIX_DEPTH_MAX,
      PREFIX_DEPTH_MAX + 1,
      PREFIX_DEPTH_MAX + 5,
    ]) {
      const matcher = new Watchers<string>();
      matcher.add("key", [keySelector(deep(depth))]);
      matcher.add("prefix", [prefixSelector(deep(depth))]);
      expect(matches(matcher, deep(depth))).toEqual(["key"]);
      expect(matches(matcher, deep(depth + 1))).toEqual(["prefix"]);
      expect(matches(matcher, deep(depth - 1))).toEqual([]);
    }
  });

  test("a watcher under several selectors is visited once for a change", () => {
    const matcher = new Watchers<string>();
    const selectors = [
      keySelector(["a", 1]),
      keySelector(["a", 1]),
      prefixSelector(["a"]),
      prefixSelector([]),
    ];
    matcher.add("a", selectors);
    expect(matches(matcher, ["a", 1])).toEqual(["a"]);
    expect(matches(matcher, ["a", 1])).toEqual(["a"]);
  });

  test("a record that no watcher can want is told by its hashes, as long as there are only keys and prefixes", () => {
    const matcher = new Watchers<string>();
    const seat = matcher.add("a", [keySelector(["users", 7]), prefixSelector(["orders"])]);
    expect(matcher.mayWant(recordOf(["users", 8]))).toBe(false);
    expect(matcher.mayWant(recordOf(["users"]))).toBe(false);
    expect(matcher.mayWant(recordOf(["users", 7]))).toBe(true);
    expect(matcher.mayWant(recordOf(["orders", 1, "x"]))).toBe(true);
    matcher.remove(seat);
    expect(matcher.mayWant(recordOf(["users", 7]))).toBe(false);
    for (const wide of [
      prefixSelector([]),
      prefixSelector(deep(20)),
      ...encodeSelectors({ pattern: [anyPart] }),
    ]) {
      const another = matcher.add("b", [wide]);
      expect(matcher.mayWant(recordOf(["users", 8]))).toBe(true);
      matcher.remove(another);
      expect(matcher.mayWant(recordOf(["users", 8]))).toBe(false);
    }
  });

  test("a removed watcher is visited no more, the others under its selectors are", () => {
    const matcher = new Watchers<string>();
    const gone = matcher.add("gone", [keySelector(["a"]), prefixSelector([]), prefixSelector(deep(30))]);
    matcher.add("stays", [keySelector(["a"])]);
    matcher.remove(gone);
    matcher.remove(gone);
    expect(matches(matcher, ["a"])).toEqual(["stays"]);
    expect(matches(matcher, deep(31))).toEqual([]);
  });

  test("keys with one hash are told apart by their bytes", () => {
    const [a, b] = collidingKeys();
    expect(hashBytes(encodeKey(a))).toBe(hashBytes(encodeKey(b)));
    const matcher = new Watchers<string>();
    const first = matcher.add("a", [keySelector(a), prefixSelector(a)]);
    expect(matches(matcher, b)).toEqual([]);
    matcher.add("b", [keySelector(b), prefixSelector(b)]);
    expect(matches(matcher, a)).toEqual(["a"]);
    expect(matches(matcher, b)).toEqual(["b"]);
    expect(matches(matcher, [...b, 1])).toEqual(["b"]);
    matcher.remove(first);
    expect(matches(matcher, a)).toEqual([]);
    expect(matches(matcher, b)).toEqual(["b"]);
  });

  test("prefixes of one key are all found when they have one hash", () => {
    const matcher = new Watchers<number>(() => 1);
    for (const depth of [1, 2, 3]) matcher.add(depth, [prefixSelector(deep(depth))]);
    expect(matches(matcher, deep(4), () => 1)).toEqual([1, 2, 3]);
    expect(matches(matcher, deep(3), () => 1)).toEqual([1, 2]);
  });

  test("a watcher that is removed while others are visited is not visited, one that is added not yet", () => {
    const matcher = new Watchers<string>();
    matcher.add("first", [prefixSelector([])]);
    const second = matcher.add("second", [prefixSelector([])]);
    const deepOne = matcher.add("deep", [prefixSelector(deep(20))]);
    const found: string[] = [];
    matcher.match(recordOf(deep(21)), (watcher) => {
      found.push(watcher);
      matcher.remove(second);
      matcher.remove(deepOne);
      matcher.add("late", [prefixSelector([]), prefixSelector(deep(20))]);
    });
    expect(found).toEqual(["first"]);
    expect(matches(matcher, deep(21))).toEqual(["first", "late"]);
  });

  test("a hundred thousand watchers do not confuse it, and all of them can leave", () => {
    const matcher = new Watchers<number>();
    const registrations = Array.from({ length: 100_000 }, (_, id) =>
      matcher.add(id, [id % 2 === 0 ? keySelector(["users", id]) : prefixSelector(["users", id])]),
    );
    expect(matches(matcher, ["users", 77_776])).toEqual([77_776]);
    expect(matches(matcher, ["users", 77_777, "name"])).toEqual([77_777]);
    expect(matches(matcher, ["users", 100_000])).toEqual([]);
    for (const registration of registrations) matcher.remove(registration);
    expect(matches(matcher, ["users", 77_776])).toEqual([]);
  });

  test("looking ahead meets the only watchers of the records' keys, and changes nothing", () => {
    const matcher = new Watchers<string>();
    for (let id = 0; id < 3000; id++) matcher.add(`only ${id}`, [keySelector(["k", id])]);
    matcher.add("second", [keySelector(["k", 7])]);
    matcher.add("below", [prefixSelector(["k"])]);
    const keys = [...Array.from({ length: 200 }, (_, at) => ["k", (at * 17) % 3100] as const), ["k", 7]];
    const before = keys.map((key) => matches(matcher, key));
    const met = matcher.lookAhead(keys.map((key) => recordOf(key)));
    // A key whose hash has another one's first slot is not looked for: that is seldom, and no mistake.
    const expected = before.slice(50).flatMap((names) => names.filter((name) => name.startsWith("only")));
    expected.splice(expected.indexOf("only 7"), 1);
    expect(expected).toEqual(expect.arrayContaining(met));
    expect(met.length).toBeGreaterThan(expected.length * 0.6);
    expect(new Set(met).size).toBe(met.length);
    expect(keys.map((key) => matches(matcher, key))).toEqual(before);
  });

  test("a range holds its start and not its end, and is compared by the encoded keys", () => {
    const matcher = new Watchers<string>();
    matcher.add("a", encodeSelectors({ start: ["a", 1], end: ["a", 3] }));
    matcher.add("b", encodeSelectors({ prefix: ["a"], start: ["a", 2] }));
    matcher.add("c", encodeSelectors({ prefix: ["a"], end: ["a", 2] }));
    expect(matches(matcher, ["a", 1]).sort()).toEqual(["a", "c"]);
    expect(matches(matcher, ["a", 2, "x"]).sort()).toEqual(["a", "b"]);
    expect(matches(matcher, ["a", 3])).toEqual(["b"]);
    expect(matches(matcher, ["a"])).toEqual([]);
    expect(matches(matcher, ["a\0b", 2])).toEqual([]);
  });

  test("a pattern takes any one part where its marker stands, and a star is an ordinary part", () => {
    const matcher = new Watchers<string>();
    const gone = matcher.add("any", encodeSelectors({ pattern: ["users", anyPart, "status"] }));
    matcher.add("star", encodeSelectors({ pattern: ["users", "*", "status"] }));
    expect(matches(matcher, ["users", 7, "status"])).toEqual(["any"]);
    expect(matches(matcher, ["users", "*", "status"]).sort()).toEqual(["any", "star"]);
    for (const other of [
      ["users", 7],
      ["users", 7, "status", 1],
      ["users", 7, "name"],
      ["x", 7, "status"],
    ])
      expect(matches(matcher, other)).toEqual([]);
    matcher.remove(gone);
    expect(matches(matcher, ["users", "*", "status"])).toEqual(["star"]);
  });

  test("a watcher under selectors of every kind is visited once for a change", () => {
    const matcher = new Watchers<string>();
    const selectors: ChangeSelector[] = [
      { key: ["a", 1] },
      { prefix: ["a"] },
      { prefix: ["a"], start: ["a", 0] },
      { start: ["a"], end: ["b"] },
      { pattern: ["a", anyPart] },
    ];
    const seat = matcher.add("a", encodeSelectors(selectors));
    expect(matches(matcher, ["a", 1])).toEqual(["a"]);
    matcher.remove(seat);
    expect(matches(matcher, ["a", 1])).toEqual([]);
  });

  test("the engine's records carry the hashes that selectors are found by", () => {
    const key: KvKey = ["users", 7, "name", 1n, new Uint8Array([0, 1]), true];
    const hashes = new Uint32Array(PREFIX_DEPTH_MAX);
    expect(hashPrefixes(encodeKey(key), hashes)).toBe(countParts(encodeKey(key)));
    key.forEach((_, index) => {
      expect(hashes[index]).toBe(hashBytes(encodeKey(key.slice(0, index + 1))));
    });
  });

  const part = fc.constantFrom<string | number | bigint | boolean>("a", "a\0", "a\0b", "b", 0, 1, 1n, true);
  const shallowKey = fc.array(part, { minLength: 1, maxLength: 4 });
  const key = fc.oneof(
    { weight: 4, arbitrary: shallowKey },
    { weight: 1, arbitrary: shallowKey.map((parts) => [...deep(15), ...parts]) },
  );
  const selector = fc.record({
    kind: fc.constantFrom("key" as const, "prefix" as const),
    parts: key,
    cut: fc.nat(4),
  });
  const step = fc.oneof(
    fc.record({ op: fc.constant("add" as const), selectors: fc.array(selector, { maxLength: 3 }) }),
    fc.record({ op: fc.constant("remove" as const), at: fc.nat(20) }),
    fc.record({ op: fc.constant("match" as const), parts: key }),
  );

  test.each([
    ["the engine's hash", hashBytes],
    ["two hashes for all", (bytes: Uint8Array) => bytes.length & 1],
  ])("agrees with asking every watcher about every key: %s", (_name, hash) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const matcher = new Watchers<number>(hash);
        const model = new Map<number, { kind: "key" | "prefix"; parts: KvKey }[]>();
        const registrations: NamedSeat<number>[] = [];
        for (const each of steps) {
          if (each.op === "add") {
            const selectors = each.selectors.map(({ kind, parts, cut }) => ({
              kind,
              parts: kind === "key" ? parts : parts.slice(0, Math.max(0, parts.length - cut)),
            }));
            model.set(registrations.length, selectors);
            const encoded = selectors.map(({ kind, parts }) => ({ kind, bytes: encodeKey(parts) }));
            registrations.push(matcher.add(registrations.length, encoded));
          } else if (each.op === "remove") {
            const registration = registrations[each.at];
            if (registration !== undefined) matcher.remove(registration);
            model.delete(each.at);
          } else {
            const wanted = [...model].filter(([, selectors]) =>
              selectors.some((one) => wants(one, each.parts)),
            );
            const found = matches(matcher, each.parts, hash).sort((a, b) => a - b);
            expect(found).toEqual(wanted.map(([id]) => id));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Two keys of one hash. Among a few hundred thousand there are several such pairs. */
function collidingKeys(): [KvKey, KvKey] {
  const seen = new Map<number, KvKey>();
  for (let id = 0; id < 1_000_000; id++) {
    const key = [`user-${id}`, id % 7, `${id * 31}`];
    const hash = hashBytes(encodeKey(key));
    const other = seen.get(hash);
    if (other !== undefined) return [other, key];
    seen.set(hash, key);
  }
  throw new Error("no two keys have one hash");
}

function wants(selector: { kind: "key" | "prefix"; parts: KvKey }, key: KvKey): boolean {
  const isPrefix = selector.kind === "prefix";
  if (isPrefix ? key.length <= selector.parts.length : key.length !== selector.parts.length) return false;
  return selector.parts.every((part, index) => Object.is(part, key[index]));
}
