/**
 * Owns the shapes of objects: the names that come again and again in the same order, and a function that reads an object of them in one
 * go.
 *
 * Why: an object that is put together name by name goes through a hidden class and a look-up for each; made as a literal it is one
 * allocation, and its values need to stand nowhere meanwhile but in the function's own variables. Literals need their names in the source,
 * so the function is made of text, once for a shape that has been seen SEEN_MIN times in a row where its first name leads to. Where the
 * runtime makes no functions of text there are no shapes, and all else is the same.
 *
 *     of {id, name}   depth => {
 *                       let b = at.bytes, o = at.offset;
 *                       if (!(b[o+0]===34 && b[o+1]===2 && b[o+2]===105 && b[o+3]===100)) return readOther(shape, [], depth);
 *                       at.offset = o + 4;
 *                       const v0 = readValue(depth + 1);
 *                       if (v0 === notPlain) return notPlain;
 *                       … the same for v1, and for the end of the object …
 *                       shape.hits++;
 *                       return {"id":v0,"name":v1};
 *                     }
 *
 * State of the thread. Invariants:
 * 1. A name gets into the source as a JSON string only, and `__proto__`, which is no name there, into none.
 * 2. Bounded: SLOTS places, NAMES_MAX names a shape, and SHAPES_MAX functions in the life of a thread.
 */
import { V8Tag } from "./v8-format.js";

const SLOTS = 256;
/** An object of more names is a table rather than a record. */
export const SHAPE_NAMES_MAX = 24;
/** Every byte of a name is a comparison in the source. */
const NAME_BYTES_MAX = 40;
const SEEN_MIN = 16;
const SHAPES_MAX = 512;
/** A shape that is not met this often of the times that it was expected costs more than it saves. */
const MISSES_MAX_SHARE = 0.25;

/** The bytes that are read, and how far they have been. */
export interface ReadPosition {
  bytes: Uint8Array;
  offset: number;
}

/** What a shape's function reads with. */
export interface ShapeParts {
  readonly at: ReadPosition;
  readonly readValue: (depth: number) => unknown;
  /** The rest of an object that has other names from here on, after these values. */
  readonly readOther: (shape: ObjectShape, values: readonly unknown[], depth: number) => unknown;
  /** Ends the reading of the whole. */
  readonly notPlain: symbol;
}

export interface ObjectShape {
  readonly slot: number;
  readonly names: readonly string[];
  /** Reads the object whose first name stands next. */
  readonly read: (depth: number) => unknown;
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
export function learnShape(slot: number, names: readonly string[], parts: ShapeParts): void {
  if (shapesLeft === 0) return;
  const candidate = candidates[slot];
  if (candidate === undefined || !isSame(candidate.names, names)) {
    candidates[slot] = { names, seen: 1 };
  } else if (++candidate.seen >= SEEN_MIN) {
    candidates[slot] = undefined;
    shapes[slot] = makeShape(slot, candidate.names, parts);
  }
}

/** Another object was read where this shape was expected. */
export function missShape(shape: ObjectShape): void {
  shape.misses++;
  if (shape.misses > MISSES_MAX_SHARE * shape.hits) shapes[shape.slot] = undefined;
}

function isSame(known: readonly string[], names: readonly string[]): boolean {
  if (known.length !== names.length) return false;
  for (let index = 0; index < names.length; index++) if (known[index] !== names[index]) return false;
  return true;
}

/** A name that V8 writes in two bytes a character has none of the tags that are compared; in one byte it would look like another name. */
const ONE_BYTE_NAME = /^[\0-\xff]*$/;

function makeShape(slot: number, names: readonly string[], parts: ShapeParts): ObjectShape | undefined {
  const isUsual = names.every(
    (name) => name !== "__proto__" && name.length <= NAME_BYTES_MAX && ONE_BYTE_NAME.test(name),
  );
  if (!isUsual || new Set(names).size !== names.length) return undefined;
  shapesLeft--;
  try {
    const shape = { slot, names, read: (_depth: number): unknown => parts.notPlain, hits: 0, misses: 0 };
    const { at, readValue, readOther, notPlain } = parts;
    const make = new Function("shape", "at", "readValue", "readOther", "notPlain", readerSource(names));
    shape.read = make(shape, at, readValue, readOther, notPlain) as ObjectShape["read"];
    return shape;
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    shapesLeft = 0;
    return undefined;
  }
}

function readerSource(names: readonly string[]): string {
  const values = names.map((_, index) => `v${index}`);
  const reads = names.map(
    (name, index) =>
      `${stepSource(tagOfName(name), values.slice(0, index))}const v${index}=readValue(depth+1);if(v${index}===notPlain)return notPlain;`,
  );
  const end = stepSource([V8Tag.endObject, names.length], values);
  const fields = names.map((name, index) => `${JSON.stringify(name)}:v${index}`);
  return `return depth=>{let b,o;${reads.join("")}${end}shape.hits++;return {${fields.join(",")}}}`;
}

/** Steps over these bytes, or leaves the rest of the object to `readOther` where others stand. */
function stepSource(expected: readonly number[], values: readonly string[]): string {
  const isThere = expected.map((byte, index) => `b[o+${index}]===${byte}`).join("&&");
  return `b=at.bytes;o=at.offset;if(!(${isThere}))return readOther(shape,[${values.join(",")}],depth);at.offset=o+${expected.length};`;
}

function tagOfName(name: string): number[] {
  return [V8Tag.oneByteString, name.length, ...Buffer.from(name, "latin1")];
}
