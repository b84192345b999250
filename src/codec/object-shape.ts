/**
 * Owns the shapes of objects: the names that come again and again in the same order, as bytes to compare with, and a function that makes
 * an object of them in one step.
 *
 * Why: an object that is put together name by name goes through a hidden class and a look-up for each; made as a literal it is one
 * allocation. Literals need their names in the source, so the function is made of text, once for a shape that has been seen SEEN_MIN times
 * in a row where its first name leads to. Where the runtime makes no functions of text there are no shapes, and all else is the same.
 *
 * State of the thread. Invariants:
 * 1. A name gets into the source as a JSON string only, and `__proto__`, which is no name there, into none.
 * 2. Bounded: SLOTS places, NAMES_MAX names a shape, and SHAPES_MAX functions in the life of a thread.
 */
import { V8Tag } from "./v8-format.js";

const SLOTS = 256;
/** An object of more names is a table rather than a record. */
export const SHAPE_NAMES_MAX = 24;
const NAME_BYTES_MAX = 100;
const SEEN_MIN = 16;
const SHAPES_MAX = 512;
/** A shape that is not met this often of the times that it was expected costs more than it saves. */
const MISSES_MAX_SHARE = 0.25;

export interface ObjectShape {
  readonly names: readonly string[];
  /** Of each name: tag, length, characters; and of the end: tag, count. */
  readonly tags: readonly Uint8Array[];
  /** An object of these values, of which there are as many as names. */
  readonly make: (values: readonly unknown[]) => object;
  hits: number;
  misses: number;
}

interface Candidate {
  readonly names: readonly string[];
  seen: number;
}

const shapes: (ObjectShape | undefined)[] = new Array<ObjectShape | undefined>(SLOTS).fill(undefined);
const candidates: (Candidate | undefined)[] = new Array<Candidate | undefined>(SLOTS).fill(undefined);
let shapesLeft = SHAPES_MAX;

/** Where the first name of an object, at `offset`, leads to. */
export function slotOfShape(bytes: Uint8Array, offset: number): number {
  const length = bytes[offset + 1]!;
  return (length * 31 + bytes[offset + 2]! * 7 + bytes[offset + 1 + length]!) & (SLOTS - 1);
}

/** The shape that is expected there. */
export function expectedShape(slot: number): ObjectShape | undefined {
  return shapes[slot];
}

/** An object of these names was read where no shape was expected. */
export function learnShape(slot: number, names: readonly string[]): void {
  if (shapesLeft === 0) return;
  const candidate = candidates[slot];
  if (candidate === undefined || !isSame(candidate.names, names)) {
    candidates[slot] = { names, seen: 1 };
  } else if (++candidate.seen >= SEEN_MIN) {
    candidates[slot] = undefined;
    shapes[slot] = makeShape(candidate.names);
  }
}

/** Another object was read where this shape was expected. */
export function missShape(slot: number, shape: ObjectShape): void {
  shape.misses++;
  if (shape.misses > MISSES_MAX_SHARE * shape.hits) shapes[slot] = undefined;
}

function isSame(known: readonly string[], names: readonly string[]): boolean {
  if (known.length !== names.length) return false;
  for (let index = 0; index < names.length; index++) if (known[index] !== names[index]) return false;
  return true;
}

function makeShape(names: readonly string[]): ObjectShape | undefined {
  const isUsual = names.every((name) => name !== "__proto__" && name.length <= NAME_BYTES_MAX);
  if (!isUsual || new Set(names).size !== names.length) return undefined;
  const fields = names.map((name, index) => `${JSON.stringify(name)}:values[${index}]`);
  shapesLeft--;
  try {
    const make = new Function("values", `return {${fields.join(",")}}`) as ObjectShape["make"];
    const end = Uint8Array.of(V8Tag.endObject, names.length);
    return { names, tags: [...names.map(tagOfName), end], make, hits: 0, misses: 0 };
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    shapesLeft = 0;
    return undefined;
  }
}

function tagOfName(name: string): Uint8Array {
  return Uint8Array.from([V8Tag.oneByteString, name.length, ...Buffer.from(name, "latin1")]);
}
