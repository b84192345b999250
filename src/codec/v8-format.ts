/**
 * Owns the tags of V8's serialization format that Belfry writes and reads by itself, as pure data.
 *
 *     value   := ff version tagged
 *     tagged  := 00 tagged                              padding, so that two-byte text begins at an even offset
 *              | "_" | "0" | "T" | "F"                  undefined, null, true, false
 *              | "I" zigzag varint                      int32
 *              | "N" f64                                any other number
 *              | "Z" varint (bytes << 1 | sign) digits  bigint, in groups of 8 bytes
 *              | '"' varint bytes                       text of codes 0 to 255
 *              | "c" varint bytes                       text, UTF-16
 *              | "o" (key tagged)* "{" varint           object; the number of its properties ends it
 *              | "A" varint tagged* (key tagged)* "$" varint varint   dense array; extra properties and length end it
 *              | "^" varint                             the object or array that began as the n-th
 *              | …                                      others: left to V8
 *     Numbers are little-endian. {a: 1} is ff 0f | 6f 22 01 61 49 02 7b 01
 *
 * @see Source: V8's value-serializer.cc, versions 13 to 15.
 */
export const V8Tag = {
  version: 0xff,
  padding: 0x00,
  undefined: 0x5f,
  null: 0x30,
  true: 0x54,
  false: 0x46,
  int32: 0x49,
  double: 0x4e,
  bigint: 0x5a,
  oneByteString: 0x22,
  twoByteString: 0x63,
  beginObject: 0x6f,
  endObject: 0x7b,
  beginDenseArray: 0x41,
  endDenseArray: 0x24,
  reference: 0x5e,
  hostObject: 0x5c,
} as const;

/** Oldest version whose tags mean what stands above. Older ones are left to V8. */
export const V8_VERSION_PLAIN_MIN = 13;

/** Newest version that is known to agree with the older ones in all that is stored: Deno's. */
export const V8_VERSION_MAX = 16;
