/** Owns the spelling of what has no good literal in the codec tests: bytes (hex with optional blanks) and arrays with holes. */

/** The bytes that a hex text spells. */
export function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/[\s|]/g, ""), "hex"));
}

/** The hex text of bytes. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Whether it is a Uint8Array and no subclass of it. */
export function isPlainBytes(value: unknown): boolean {
  return value instanceof Uint8Array && Object.getPrototypeOf(value) === Uint8Array.prototype;
}

/** An array of this length with these elements, and holes between them. */
export function sparseArray(length: number, elements: Readonly<Record<number, unknown>>): unknown[] {
  return Object.assign(new Array<unknown>(length), elements);
}
