/**
 * Every interleaving of a change ring's writer and a reader, enumerated.
 *
 * The naive way runs two threads and hopes. The next one gives each thread its turn from a scheduler, and spends all its time in waking
 * threads. But the writer reads no word that a reader writes (invariant 5 of the ring, asserted below), so what it does to memory is the same
 * list of steps in every schedule. That list is recorded once from the shipped writer; then the shipped reader runs, and before each of
 * its own steps a depth-first search chooses how many of the writer's steps happen first. Each choice of numbers is one schedule, and all
 * of them are run. Memory is sequentially consistent here; a reversed copy stands for plain writes that the processor reorders.
 *
 * A test that cannot fail is a defect: three broken protocols go through the same enumeration, which must find a torn record in each.
 */
import { describe, expect, it } from "vitest";
import { ChangeRingReader, ChangeRingWriter, createChangeRing } from "../../src/ring/change-ring.js";
import { CHANGE_INTENT_WORD, CHANGE_TAIL_WORD } from "../../src/ring/layout.js";
import { recordWrites, type WriteStep, withReadSteps } from "./instrumented-memory.js";
import { concat, record } from "./numbered-records.js";

/** What is published, in unpadded lengths: each inner list is one block. */
type Blocks = readonly (readonly number[])[];

interface Scenario {
  readonly name: string;
  readonly capacityBytes: number;
  readonly pieceBytes: number;
  readonly startPosition?: number;
  /** Published before the reader's first step. */
  readonly before: Blocks;
  /** Published while the reader polls. */
  readonly during: Blocks;
  readonly polls: number;
  readonly maxBytes: number;
  /** The writer dies after this many of its steps, and a successor publishes `after`. */
  readonly diesAfterSteps?: number;
  readonly after?: Blocks;
  /** Broken: the successor finds INTENT set back to TAIL, as if nothing had been announced. */
  readonly takesBack?: boolean;
  /** Changes what the writer does, to stand for another processor or for a broken protocol. */
  readonly distort?: (steps: readonly WriteStep[]) => WriteStep[];
}

const one = (length: number, times: number): number[][] => Array.from({ length: times }, () => [length]);

/** A full ring of one-unit records: every step of the writer overwrites what the reader is about to take. */
const FULL: Scenario = {
  name: "a full ring, one record a step",
  capacityBytes: 64,
  pieceBytes: 4,
  before: one(8, 8),
  during: one(8, 3),
  polls: 2,
  maxBytes: 8,
};

/** Records of two units, so that a copy tears between a length and what it measures; padding at the wrap, which the writer crosses. */
const WRAP: Scenario = {
  name: "records of mixed sizes over a padded wrap",
  capacityBytes: 128,
  pieceBytes: 8,
  before: [[16], [16], [16], [16], [8], [16], [16]],
  during: [[16], [12]],
  polls: 2,
  maxBytes: 16,
};

/** Blocks of several records, and polls that copy several: a torn copy may be whole at both of its ends. */
const BLOCKS: Scenario = {
  name: "blocks of two records, polls of three",
  capacityBytes: 64,
  pieceBytes: 8,
  before: [[8, 8], [8, 8], [8, 8], [8]],
  during: [
    [8, 8],
    [8, 8],
  ],
  polls: 2,
  maxBytes: 24,
};

/** The positions wrap around 2^32 while the reader looks. */
const COUNTER_WRAP: Scenario = { ...FULL, name: "a full ring whose positions wrap", startPosition: -10 };

/** A writer that may die in the middle of overwriting two records that the reader is about to take. */
const SUCCESSION: Scenario = {
  name: "a successor",
  capacityBytes: 128,
  pieceBytes: 8,
  before: one(16, 8),
  during: [[16, 16]],
  after: [[8]],
  polls: 2,
  maxBytes: 16,
};

describe("every interleaving of a writer and a reader", () => {
  it.each([FULL, WRAP, BLOCKS, COUNTER_WRAP])("keeps every promise: $name", (scenario) => {
    for (const direction of ["ascending", "descending"] as const) {
      const distort = direction === "descending" ? reverseCopies : undefined;
      const outcome = explore(distort ? { ...scenario, distort } : scenario);
      report(`${scenario.name}, copied ${direction}`, outcome);
      expect(outcome.failure).toBeUndefined();
      expect(outcome.lapped).toBeGreaterThan(0);
      expect(outcome.delivered).toBeGreaterThan(0);
    }
  });

  it("keeps every promise when the writer dies after any of its steps and a successor goes on", () => {
    const total = { schedules: 0, lapped: 0, delivered: 0 };
    const steps = stepsOf(SUCCESSION).concurrent.length;
    for (let diesAfterSteps = 0; diesAfterSteps <= steps; diesAfterSteps += 1) {
      const outcome = explore({ ...SUCCESSION, diesAfterSteps });
      expect(outcome.failure).toBeUndefined();
      total.schedules += outcome.schedules;
      total.lapped += outcome.lapped;
      total.delivered += outcome.delivered;
    }
    report("a writer that dies after each of its steps", total);
    expect(total.lapped).toBeGreaterThan(0);
  });
});

describe("the same enumeration finds a torn record", () => {
  it("when the writer does not announce", () => {
    expectTorn({ ...FULL, distort: withoutAnnouncement });
    expectTorn({ ...BLOCKS, distort: withoutAnnouncement });
  });

  it("when the announcement comes after the copy", () => {
    expectTorn({ ...FULL, distort: announcementLast });
  });

  it("when the tail is published before the copy", () => {
    expectTorn({ ...FULL, before: [], distort: tailFirst });
  });

  it("when a successor takes its predecessor's announcement back", () => {
    expect(explore({ ...SUCCESSION, diesAfterSteps: 5 }).failure).toBeUndefined();
    expectTorn({ ...SUCCESSION, diesAfterSteps: 5, takesBack: true });
  });
});

function expectTorn(scenario: Scenario): void {
  const outcome = explore(scenario, /^torn/);
  report(`${scenario.name}, broken on purpose`, outcome);
  expect(outcome.failure).toMatch(/^torn/);
}

interface Outcome {
  readonly schedules: number;
  readonly lapped: number;
  readonly delivered: number;
  /** What the first schedule that broke a promise saw. */
  readonly failure?: string;
}

/** Runs all schedules, or up to the first that breaks a promise in the wanted way. */
function explore(scenario: Scenario, wanted = /./): Outcome {
  const search = new DepthFirstSearch();
  const run = new ScheduleRun(scenario, search);
  return run.instrumented(() => {
    let schedules = 0;
    do {
      schedules += 1;
      const failure = run.once();
      const { lapped, delivered } = run;
      if (failure !== undefined && wanted.test(failure)) return { schedules, lapped, delivered, failure };
    } while (search.next());
    return { schedules, lapped: run.lapped, delivered: run.delivered };
  });
}

function report(what: string, { schedules, lapped, delivered }: Outcome): void {
  console.log(`${what}: ${schedules} schedules, ${delivered} polls with records, ${lapped} lapped`);
}

/** All sequences of choices, each depending on those before it, one sequence at a time. */
class DepthFirstSearch {
  readonly #picks: number[] = [];
  readonly #counts: number[] = [];
  #depth = 0;

  /** One of `count` alternatives. */
  choose(count: number): number {
    const depth = this.#depth;
    this.#depth += 1;
    if (depth === this.#picks.length) {
      this.#picks.push(0);
      this.#counts.push(count);
    }
    return this.#picks[depth]!;
  }

  /** Moves on to the next sequence; false when there is none. */
  next(): boolean {
    this.#depth = 0;
    while (this.#picks.length > 0) {
      const last = this.#picks.length - 1;
      this.#picks[last]! += 1;
      if (this.#picks[last]! < this.#counts[last]!) return true;
      this.#picks.pop();
      this.#counts.pop();
    }
    return false;
  }
}

/** The writer's steps, and what they published: the bytes of all records without padding, and where each record starts. */
interface Script {
  readonly ring: SharedArrayBuffer;
  readonly concurrent: readonly WriteStep[];
  readonly truth: Uint8Array;
  /** Offsets in `truth` where a record starts, and the end. */
  readonly starts: ReadonlySet<number>;
  /** For each position that the tail had: the offset in `truth` of the record published next. */
  readonly offsetAtTail: ReadonlyMap<number, number>;
  /** Bytes of the ring before the first concurrent step. */
  readonly initial: Uint8Array;
}

function stepsOf(scenario: Scenario): Script {
  const ring = createChangeRing(scenario.capacityBytes, scenario.startPosition ?? 0);
  const memory = new Uint8Array(ring);
  const book = new Book(scenario.startPosition ?? 0);
  const record = (writer: () => ChangeRingWriter, blocks: Blocks) =>
    recordWrites(ring, scenario.pieceBytes, () => book.publish(writer(), blocks));

  const writer = new ChangeRingWriter(ring);
  book.follow(record(() => writer, scenario.before));
  const initial = memory.slice();
  let steps = record(() => writer, scenario.during);
  if (scenario.diesAfterSteps !== undefined) {
    memory.set(initial);
    steps = steps.slice(0, scenario.diesAfterSteps);
    replay(memory, new Int32Array(ring), steps, { from: 0, to: steps.length });
  }
  book.follow(steps);
  if (scenario.diesAfterSteps !== undefined) {
    book.forgetUnpublished();
    if (scenario.takesBack === true) steps.push(takeBack(ring));
    const successor = record(() => new ChangeRingWriter(ring), scenario.after ?? []);
    book.follow(successor);
    steps.push(...successor);
  }
  return { ring, initial, concurrent: scenario.distort?.(steps) ?? steps, ...book.truth() };
}

/** Sets INTENT back to TAIL. */
function takeBack(ring: SharedArrayBuffer): WriteStep {
  const words = new Int32Array(ring);
  const tail = words[CHANGE_TAIL_WORD]!;
  words[CHANGE_INTENT_WORD] = tail;
  return { kind: "word", call: "store", word: CHANGE_INTENT_WORD, value: tail };
}

/** Keeps the book on what was published where, from what the writers were given and from the steps that they took. */
class Book {
  readonly #records: Uint8Array[] = [];
  readonly #offsetAtTail = new Map<number, number>();
  #publishedBytes = 0;
  #number = 100;

  constructor(startPosition: number) {
    this.#offsetAtTail.set(startPosition | 0, 0);
  }

  publish(writer: ChangeRingWriter, blocks: Blocks): void {
    for (const lengths of blocks) {
      const block = lengths.map((length) => record(this.#number++, length));
      this.#records.push(...block);
      writer.publish(concat(block));
    }
  }

  /** Takes note of every tail, and of the records before it. */
  follow(steps: readonly WriteStep[]): void {
    let copiedBytes = 0;
    for (const step of steps) {
      if (step.kind === "copy") copiedBytes += step.bytes.byteLength;
      if (step.kind !== "word" || step.word !== CHANGE_TAIL_WORD) continue;
      this.#publishedBytes += copiedBytes;
      copiedBytes = 0;
      this.#offsetAtTail.set(step.value, this.#publishedBytes);
    }
  }

  /** What a dead writer never published is not true. */
  forgetUnpublished(): void {
    const offsets = this.#offsets();
    this.#records.length = offsets.indexOf(this.#publishedBytes);
  }

  truth(): Pick<Script, "truth" | "starts" | "offsetAtTail"> {
    return {
      truth: concat(this.#records),
      starts: new Set(this.#offsets()),
      offsetAtTail: this.#offsetAtTail,
    };
  }

  #offsets(): number[] {
    const offsets = [0];
    for (const bytes of this.#records) offsets.push(offsets.at(-1)! + bytes.byteLength);
    return offsets;
  }
}

function replay(
  memory: Uint8Array,
  words: Int32Array,
  steps: readonly WriteStep[],
  range: { readonly from: number; readonly to: number },
): void {
  for (let at = range.from; at < range.to; at += 1) {
    const step = steps[at]!;
    if (step.kind === "word") words[step.word] = step.value;
    else memory.set(step.bytes, step.offset);
  }
}

/** Runs the reader under one schedule after another, on the same memory. */
class ScheduleRun {
  readonly #scenario: Scenario;
  readonly #script: Script;
  readonly #search: DepthFirstSearch;
  readonly #memory: Uint8Array;
  readonly #words: Int32Array;
  /** What the memory must be in the end, whatever the reader did. */
  readonly #final: Uint8Array;
  #done = 0;
  lapped = 0;
  delivered = 0;

  constructor(scenario: Scenario, search: DepthFirstSearch) {
    this.#scenario = scenario;
    this.#search = search;
    this.#script = stepsOf(scenario);
    this.#memory = new Uint8Array(this.#script.ring);
    this.#words = new Int32Array(this.#script.ring);
    this.#memory.set(this.#script.initial);
    this.#writeSteps(this.#script.concurrent.length);
    this.#final = this.#memory.slice();
  }

  /** Runs many schedules with the built-ins replaced once. */
  instrumented<Result>(schedules: () => Result): Result {
    const { ring } = this.#script;
    return withReadSteps(ring, this.#scenario.pieceBytes, () => this.#beforeRead(), schedules);
  }

  /** One schedule. Returns what went wrong. */
  once(): string | undefined {
    this.#memory.set(this.#script.initial);
    this.#done = 0;
    const reader = new ChangeRingReader(this.#script.ring, this.#scenario.startPosition ?? 0);
    const follower = { reader, offset: 0 };
    for (let poll = 0; poll < this.#scenario.polls; poll += 1) {
      const failure = this.#poll(follower);
      if (failure !== undefined) return failure;
    }
    return this.#drain(follower);
  }

  #beforeRead(): void {
    const left = this.#script.concurrent.length - this.#done;
    if (left > 0) this.#writeSteps(this.#search.choose(left + 1));
  }

  #writeSteps(count: number): void {
    replay(this.#memory, this.#words, this.#script.concurrent, { from: this.#done, to: this.#done + count });
    this.#done += count;
  }

  /** The writer finishes, and the reader takes all there is: nothing may be missing that was not reported. */
  #drain(follower: Follower): string | undefined {
    this.#writeSteps(this.#script.concurrent.length - this.#done);
    while (follower.reader.position !== this.#words[CHANGE_TAIL_WORD]) {
      const failure = this.#poll(follower);
      if (failure !== undefined) return failure;
    }
    if (follower.offset !== this.#script.truth.byteLength)
      return `lost: records from ${follower.offset} on never came`;
    return Buffer.compare(this.#final, this.#memory) === 0 ? undefined : "the reader wrote to the ring";
  }

  #poll(follower: Follower): string | undefined {
    const { reader } = follower;
    let polled: Uint8Array | "empty" | "lapped";
    try {
      polled = reader.poll(this.#scenario.maxBytes);
    } catch (error) {
      return `torn: believed a length that nobody wrote (${(error as Error).message})`;
    }
    if (polled === "empty") return undefined;
    if (polled === "lapped") return this.#skip(follower);
    this.delivered += 1;
    const end = follower.offset + polled.byteLength;
    const expected = this.#script.truth.subarray(follower.offset, end);
    if (Buffer.compare(polled, expected) !== 0 || !this.#script.starts.has(end)) {
      return `torn or out of order at ${follower.offset}: ${Buffer.from(polled).toString("hex")}`;
    }
    follower.offset = end;
    return undefined;
  }

  #skip(follower: Follower): string | undefined {
    const { reader } = follower;
    this.lapped += 1;
    const aheadBytes = ((this.#words[CHANGE_INTENT_WORD]! - reader.position) | 0) * 8;
    if (aheadBytes <= this.#scenario.capacityBytes)
      return `lapped, but the writer is only ${aheadBytes} bytes ahead`;
    reader.skipTo(reader.tail);
    const offset = this.#script.offsetAtTail.get(reader.position);
    if (offset === undefined) return `skipped to ${reader.position}, where no block ends`;
    follower.offset = offset;
    return undefined;
  }
}

interface Follower {
  readonly reader: ChangeRingReader;
  /** Offset in the truth of the record that must come next. */
  offset: number;
}

function isWord(step: WriteStep, word: number): boolean {
  return step.kind === "word" && step.word === word;
}

/** A processor that makes plain writes visible in the opposite order: allowed between two Atomics calls. */
function reverseCopies(steps: readonly WriteStep[]): WriteStep[] {
  const reordered: WriteStep[] = [];
  let copies: WriteStep[] = [];
  for (const step of steps) {
    if (step.kind !== "word") {
      copies.unshift(step);
      continue;
    }
    reordered.push(...copies, step);
    copies = [];
  }
  return [...reordered, ...copies];
}

/** Broken: INTENT moves only together with TAIL. */
function withoutAnnouncement(steps: readonly WriteStep[]): WriteStep[] {
  return steps.flatMap((step) => {
    if (isWord(step, CHANGE_INTENT_WORD)) return [];
    return isWord(step, CHANGE_TAIL_WORD)
      ? [{ ...step, word: CHANGE_INTENT_WORD } as WriteStep, step]
      : [step];
  });
}

/** Broken: INTENT is stored after the copy, as if nothing held the plain writes back. */
function announcementLast(steps: readonly WriteStep[]): WriteStep[] {
  return moveBehindCopy(steps, CHANGE_INTENT_WORD);
}

/** Broken: TAIL is stored before the copy. */
function tailFirst(steps: readonly WriteStep[]): WriteStep[] {
  return moveBehindCopy([...steps].reverse(), CHANGE_TAIL_WORD).reverse();
}

/** Moves each store of a word behind the pieces of the copy that follow it. */
function moveBehindCopy(steps: readonly WriteStep[], word: number): WriteStep[] {
  const moved: WriteStep[] = [];
  let held: WriteStep | undefined;
  for (const step of steps) {
    if (held !== undefined && step.kind === "word") {
      moved.push(held);
      held = undefined;
    }
    if (isWord(step, word)) held = step;
    else moved.push(step);
  }
  return held === undefined ? moved : [...moved, held];
}
