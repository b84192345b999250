/**
 * A program that writes, handles messages and follows changes as fast as it can, until it is killed.
 *
 *   node crash-program.js <options as JSON>
 *
 * It says `loaded` when all of that has begun. What it was told and has done stands in journals.
 */
import { writeSync } from "node:fs";
import { openKv } from "../../../src/index.js";
import { loadEntries } from "./entries.js";
import { loadFeeds } from "./feeds.js";
import { Journal } from "./journal.js";
import { journalPath, type LifeOptions, openOptions } from "./life.js";
import { loadMessages } from "./messages.js";

const options = JSON.parse(process.argv[2]!) as LifeOptions;
const kv = await openKv(options.path, openOptions(options));
const loads = [
  loadFeeds(kv, options),
  loadMessages(kv, new Journal(journalPath(options, "messages")), options),
  loadEntries(kv, new Journal(journalPath(options, "entries")), options),
];
writeSync(1, "loaded\n");
await Promise.all(loads);
