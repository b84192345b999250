/**
 * Owns a recording of what a process did to its files (recorder.c writes it), and the disks that a power cut could have left: at any place
 * in it, with any of the writes that no flush had covered, whole or torn.
 *
 * The model of the disk. What a flush of a file covers is there. Of the writes since, each is there or not, independent of all others; a
 * write is torn between sectors of 512 bytes. A file that was created, renamed or removed is so only after its directory was flushed; before
 * that it may be either way. It is a harsher disk than those that are sold.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const SECTOR_BYTES = 512;
const HEAD_BYTES = 15;

export interface FileEvent {
  readonly kind: "w" | "s" | "f" | "d" | "t" | "c" | "r" | "u" | "m";
  /** Below the recorded root; empty: the root itself. */
  readonly path: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The recorded events, in their order. */
export function readRecording(file: string, root: string): FileEvent[] {
  const log = readFileSync(file);
  const events: FileEvent[] = [];
  for (let at = 0; at + HEAD_BYTES <= log.length; ) {
    const pathBytes = log.readUInt16LE(at + 1);
    const end = at + HEAD_BYTES + pathBytes + log.readUInt32LE(at + 11);
    if (end > log.length) break;
    const bytes = log.subarray(at + HEAD_BYTES + pathBytes, end);
    events.push({
      kind: String.fromCharCode(log[at]!) as FileEvent["kind"],
      path: relative(root, log.toString("utf8", at + HEAD_BYTES, at + HEAD_BYTES + pathBytes)),
      offset: Number(log.readBigUInt64LE(at + 3)),
      bytes,
    });
    at = end;
  }
  return events;
}

/** What of the writes since the last flush is on the disk. */
export type Fate = "none" | "all" | "some" | "torn" | "latest";

interface Inode {
  /** What is on the disk for certain. */
  durable: Uint8Array;
  durableBytes: number;
  pending: FileEvent[];
}

/** The disk as it goes through a recording. Feed it the events in their order, and cut the power anywhere. */
export class Disk {
  /** The names as the system sees them, and as they are on the disk for certain. */
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  apply(event: FileEvent): void {
    const { kind, path } = event;
    if (kind === "c") this.#names.set(path, { durable: new Uint8Array(0), durableBytes: 0, pending: [] });
    if (kind === "u") this.#names.delete(path);
    if (kind === "r") {
      const inode = this.#names.get(path);
      this.#names.delete(path);
      if (inode !== undefined)
        this.#names.set(relative(this.#root, Buffer.from(event.bytes).toString()), inode);
    }
    if (kind === "d") this.#flushDirectory(path);
    const inode = this.#names.get(path);
    if (inode === undefined) return;
    if (kind === "w" || kind === "t") inode.pending.push(event);
    if (kind === "s") {
      put(inode, event);
      inode.pending = inode.pending.filter((pending) => !covers(event, pending));
    }
    if (kind === "f") {
      for (const pending of inode.pending) put(inode, pending);
      inode.pending = [];
    }
  }

  /** Writes a disk that the power cut may leave here into an empty directory. */
  cutPower(directory: string, fate: Fate, random: (below: number) => number): void {
    const names = fate === "none" || (fate !== "all" && random(2) === 0) ? this.#durableNames : this.#names;
    for (const [name, inode] of names) {
      const image = { durable: inode.durable.slice(), durableBytes: inode.durableBytes, pending: [] };
      inode.pending.forEach((event, index) => {
        const isLate = index >= inode.pending.length - 3;
        if (fate === "all" || (fate === "latest" && isLate)) put(image, event);
        else if (fate === "some" && random(2) === 0) put(image, event);
        else if (fate === "torn") putTorn(image, event, random);
      });
      const file = join(directory, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, image.durable.subarray(0, image.durableBytes));
    }
  }

  #flushDirectory(path: string): void {
    for (const name of this.#durableNames.keys())
      if (parentOf(name) === path && !this.#names.has(name)) this.#durableNames.delete(name);
    for (const [name, inode] of this.#names) if (parentOf(name) === path) this.#durableNames.set(name, inode);
  }
}

function parentOf(name: string): string {
  const parent = dirname(name);
  return parent === "." ? "" : parent;
}

/** Whether a synced write has overtaken an earlier one of the same bytes. */
function covers(later: FileEvent, { kind, offset, bytes }: FileEvent): boolean {
  return kind === "w" && offset >= later.offset && offset + bytes.length <= later.offset + later.bytes.length;
}

function put(inode: Inode, { kind, offset, bytes }: FileEvent): void {
  if (kind === "t") {
    inode.durable.fill(0, offset, inode.durableBytes);
    inode.durableBytes = offset;
  }
  const end = offset + bytes.length;
  if (end > inode.durable.length) {
    const grown = new Uint8Array(Math.max(end, inode.durable.length * 2));
    grown.set(inode.durable);
    inode.durable = grown;
  }
  inode.durable.set(bytes, offset);
  inode.durableBytes = Math.max(inode.durableBytes, end);
}

/** Each sector of the write is there or not. */
function putTorn(inode: Inode, event: FileEvent, random: (below: number) => number): void {
  if (event.kind === "t" || random(3) === 0) return;
  for (let start = 0; start < event.bytes.length; ) {
    const end = Math.min(event.bytes.length, start + SECTOR_BYTES - ((event.offset + start) % SECTOR_BYTES));
    if (random(4) !== 0)
      put(inode, { ...event, offset: event.offset + start, bytes: event.bytes.subarray(start, end) });
    start = end;
  }
}
