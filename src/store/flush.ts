/**
 * Owns getting files and directories onto the disk by name, for whoever opens, creates or ends a store. Any thread.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataFileOf } from "./data-file.js";

/** Flushes what was written to a file, through whichever descriptor. */
export function flushFile(path: string): void {
  const file = openSync(path, "r+");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes what was created, renamed or removed in a directory durable. Windows has no such call and needs none. */
export function flushDirectory(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Flushes the data files of shards, and that they are there. */
export function flushShards(directories: readonly string[]): void {
  for (const directory of directories) {
    flushFile(dataFileOf(directory));
    flushDirectory(directory);
  }
  const [first] = directories;
  if (first !== undefined) flushDirectory(dirname(first));
}

/** Writes what is to become a file of a directory beside it, and flushes that. Whoever is ready then calls the result: it replaces the file. */
export async function prepareFile(directory: string, name: string, text: string): Promise<() => void> {
  const temporary = join(directory, `${name}.new`);
  const file = await open(temporary, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return () => {
    renameSync(temporary, join(directory, name));
    flushDirectory(directory);
  };
}

/** Writes a file of a directory whole or not at all: to a temporary one, flushed, renamed, the directory flushed. */
export function replaceFile(directory: string, name: string, text: string): void {
  const temporary = join(directory, `${name}.new`);
  const file = openSync(temporary, "w");
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, join(directory, name));
  flushDirectory(directory);
}
