/**
 * Owns the binary form of a tagged tree (tagged.ts): smaller than JSON, and bytes as they are.
 *
 *     node := 00 null | 01 false | 02 true
 *           | 03 zigzag varint      number that is an integer of 31 bits
 *           | 04 f64                any other number
 *           | 05 varint UTF-16      text with a character above ff; the varint is its bytes
 *           | 06 varint Latin-1     any other text
 *           | 07 varint bytes       bytes
 *           | 08 varint node*       array; the varint is its length
 *           | 09 varint (text node)*  object; the varint is the number of its properties
 *     Numbers are little-endian, varints have 7 bits a byte. {a: 1} is 09 01 06 01 61 03 02
 *
 * Pure functions for any runtime. Invariant: `unpack` never reads outside of the bytes, nor makes more nodes than there are bytes.
 */
import { KvTypeError } from "../errors.js";
import { WIRE_DEPTH_MAX } from "../limits.js";

const Code = {
  null: 0,
  false: 1,
  true: 2,
  integer: 3,
  double: 4,
  wideText: 5,
  text: 6,
  bytes: 7,
  array: 8,
  object: 9,
} as const;

const FIRST_BYTES = 256;

/** The bytes of a tree. */
export function pack(tree: unknown): Uint8Array {
  const packer = new Packer();
  packer.put(tree);
  return packer.finish();
}

/** The tree in the bytes; it borrows them. @throws KvTypeError KV_INVALID_VALUE when they are no tree. */
export function unpack(bytes: Uint8Array): unknown {
  const unpacker = new Unpacker(bytes);
  const tree = unpacker.take(0);
  unpacker.finish();
  return tree;
}

class Packer {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #end = 0;

  put(node: unknown): void {
    if (node === null) this.#byte(Code.null);
    else if (typeof node === "boolean") this.#byte(node ? Code.true : Code.false);
    else if (typeof node === "number") this.#number(node);
    else if (typeof node === "string") this.#text(node);
    else if (node instanceof Uint8Array) this.#raw(Code.bytes, node);
    else if (Array.isArray(node)) {
      this.#byte(Code.array);
      this.#varint(node.length);
      for (const item of node) this.put(item);
    } else {
      const keys = Object.keys(node as object);
      this.#byte(Code.object);
      this.#varint(keys.length);
      for (const key of keys) {
        this.#text(key);
        this.put(Reflect.get(node as object, key));
      }
    }
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#end);
  }

  #number(value: number): void {
    if ((value | 0) === value && Math.abs(value) < 2 ** 30) {
      this.#byte(Code.integer);
      this.#varint(((value << 1) ^ (value >> 31)) >>> 0);
      return;
    }
    this.#byte(Code.double);
    this.#reserve(8);
    this.#view.setFloat64(this.#end, value, true);
    this.#end += 8;
  }

  #text(text: string): void {
    const isWide = /[^\0-\xff]/.test(text);
    const length = isWide ? text.length * 2 : text.length;
    this.#byte(isWide ? Code.wideText : Code.text);
    this.#varint(length);
    this.#reserve(length);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      this.#bytes[this.#end++] = code;
      if (isWide) this.#bytes[this.#end++] = code >>> 8;
    }
  }

  #raw(code: number, bytes: Uint8Array): void {
    this.#byte(code);
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#end++] = byte;
  }

  #varint(value: number): void {
    this.#reserve(5);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#bytes[this.#end++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#end++] = rest;
  }

  #reserve(length: number): void {
    if (this.#end + length <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#end + length));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

class Unpacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  take(depth: number): unknown {
    // A tag is a level of the tree, but none of the value's.
    if (depth > 2 * WIRE_DEPTH_MAX + 2) throw malformed("it is nested too deeply");
    const code = this.#bytes[this.#step(1)]!;
    switch (code) {
      case Code.null:
        return null;
      case Code.false:
      case Code.true:
        return code === Code.true;
      case Code.integer: {
        const zigzag = this.#varint();
        return (zigzag >>> 1) ^ -(zigzag & 1);
      }
      case Code.double:
        return this.#view.getFloat64(this.#step(8), true);
      case Code.bytes: {
        const length = this.#varint();
        const start = this.#step(length);
        return this.#bytes.subarray(start, start + length);
      }
      case Code.array:
        return this.#array(depth);
      case Code.object:
        return this.#object(depth);
      default:
        return this.#text(code);
    }
  }

  finish(): void {
    if (this.#offset !== this.#bytes.length) throw malformed("bytes are left over");
  }

  #array(depth: number): unknown[] {
    const length = this.#count();
    const array: unknown[] = [];
    for (let index = 0; index < length; index++) array.push(this.take(depth + 1));
    return array;
  }

  #object(depth: number): object {
    const length = this.#count();
    const object = {};
    for (let index = 0; index < length; index++) {
      const key = this.#text(this.#bytes[this.#step(1)]!);
      const value = this.take(depth + 1);
      Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
    }
    return object;
  }

  #text(code: number): string {
    if (code !== Code.text && code !== Code.wideText) throw malformed(`code ${code} is unknown here`);
    const length = this.#varint();
    const start = this.#step(length);
    const width = code === Code.wideText ? 2 : 1;
    if (length % width !== 0) throw malformed("half a character");
    let text = "";
    for (let offset = start; offset < start + length; offset += width) {
      const high = width === 2 ? this.#bytes[offset + 1]! << 8 : 0;
      text += String.fromCharCode(this.#bytes[offset]! | high);
    }
    return text;
  }

  /** How many nodes follow: each has at least one byte. */
  #count(): number {
    const count = this.#varint();
    if (count > this.#bytes.length - this.#offset) throw malformed(`${count} items do not fit`);
    return count;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#step(1)]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw malformed("a number is too long");
  }

  #step(length: number): number {
    const start = this.#offset;
    if (length > this.#bytes.length - start) throw malformed(`it ends after ${this.#bytes.length} bytes`);
    this.#offset = start + length;
    return start;
  }
}

function malformed(found: string): KvTypeError {
  return new KvTypeError("KV_INVALID_VALUE", `binary message is malformed: ${found}`);
}
