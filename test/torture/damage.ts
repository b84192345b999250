/**
 * Damages the files of a closed store in one place: flips bits, cuts files off, fills them with zeros or with another file's bytes, removes
 * them; then verifies, opens and reads it, in a process of its own.
 *
 * Held: the reader's process never ends but by itself, and everything that it reads is what was written, or an error that names the damage.
 * What it does not find by reading must be found by verifyStore: nothing that is read wrong or not at all goes unnoticed by both.
 */
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openKv } from "../../src/index.js";
import { Child } from "../life/child-process.js";
import { Ticker, type Torture, type TortureContext, type TortureResult } from "./torture.js";

const ENTRIES = 400;
const WAYS = ["bit", "bits", "zeros", "noise", "cut", "empty", "foreign", "remove"] as const;
type Way = (typeof WAYS)[number];

export const damage: Torture = {
  name: "damage",
  about:
    "truncated, bit-flipped, zeroed and foreign files in every place: named when verified, opened or read, and never the end of the process",
  breaks: { blind: "what verifyStore and the reader say is not listened to" },
  run,
};

async function run(context: TortureContext): Promise<TortureResult> {
  const tried = {
    damages: 0,
    "found by verifyStore": 0,
    "refused at opening": 0,
    "found by reading": 0,
    harmless: 0,
  };
  const seen = { "not found by reading alone": 0, "ended the process that read without verifying": 0 };
  const broken: string[] = [];
  const ticker = new Ticker(context);
  const whole = join(context.directory, "whole");
  await fill(whole);
  for (let n = 0; (n < 3 || Date.now() < context.deadlineMs) && broken.length < 20; n++) {
    const path = join(context.directory, "damaged");
    rmSync(path, { recursive: true, force: true });
    cpSync(whole, path, { recursive: true });
    const { what, isChanged } = injure(path, WAYS[n % WAYS.length]!, context.random);
    if (!isChanged) continue;
    tried.damages++;
    const outcome = await read(path);
    if (outcome.verified === "damaged") tried["found by verifyStore"]++;
    if (outcome.opened === "refused") tried["refused at opening"]++;
    if (outcome.named > 0) tried["found by reading"]++;
    const isNamed = outcome.verified === "damaged" || outcome.opened === "refused" || outcome.named > 0;
    const isFound = isNamed && context.breakage !== "blind";
    if (isNamed && !isFound) broken.push(`${what}: nobody listens`);
    if (!isFound && outcome.wrong === 0 && outcome.missing === 0) tried.harmless++;
    if (outcome.wrong > 0) broken.push(`${what}: ${outcome.wrong} values were read that nobody wrote`);
    if (outcome.verified === "ended" || outcome.verified === "internal")
      broken.push(`${what}: verifyStore ended with ${outcome.how}`);
    if (outcome.missing > 0 && !isFound)
      broken.push(`${what}: ${outcome.missing} entries are missing, and nothing says so`);
    if (outcome.internal !== "") broken.push(`${what}: an error without a code: ${outcome.internal}`);
    if (outcome.missing > 0 && outcome.named === 0 && outcome.opened !== "refused")
      seen["not found by reading alone"]++;
    if (outcome.opened === "ended") seen["ended the process that read without verifying"]++;
    ticker.tick(tried);
  }
  return { tried, seen, broken };
}

async function fill(path: string): Promise<void> {
  const kv = await openKv(path, { shards: 2, history: { bytesMax: 60_000 } });
  for (let n = 0; n < ENTRIES; n++) {
    const value = n % 50 === 0 ? `${n}:${"v".repeat(20_000)}` : `${n}:${"v".repeat(n % 200)}`;
    await kv.set(["key", n], value, n % 7 === 0 ? { expireIn: 1e9 } : {});
  }
  await kv.atomic().set(["a"], "0:").set(["b"], "0:").set(["c"], "0:").commit();
  await kv.close();
}

/** Damages one file. Lock files of LMDB are made anew with every opening, and hold nothing. */
function injure(
  path: string,
  way: Way,
  random: (below: number) => number,
): { readonly what: string; readonly isChanged: boolean } {
  const files = ["manifest.json", "shard-000/data.mdb", "shard-001/data.mdb"];
  const name = files[random(8) === 0 ? 0 : 1 + random(2)]!;
  const file = join(path, name);
  const before = readFileSync(file);
  const bytes = Buffer.from(before);
  const at = random(bytes.length);
  const length = Math.min(bytes.length - at, 1 + random(5000));
  if (way === "bit") bytes[at]! ^= 1 << random(8);
  if (way === "bits") for (let n = 0; n < 20; n++) bytes[random(bytes.length)]! ^= 1 << random(8);
  if (way === "zeros") bytes.fill(0, at, at + length);
  if (way === "noise") for (let n = 0; n < length; n++) bytes[at + n] = random(256);
  if (way === "foreign") readFileSync(join(path, files[1 + random(2)]!)).copy(bytes, at, random(8) * 8192);
  writeFileSync(file, bytes);
  if (way === "cut") truncateSync(file, at);
  if (way === "empty") truncateSync(file, 0);
  if (way === "remove") rmSync(file);
  const isChanged = way === "remove" || statSync(file).size !== before.length || !bytes.equals(before);
  return { what: `${way} in ${name} at ${at}`, isChanged };
}

interface Outcome {
  readonly verified: "ok" | "damaged" | "ended" | "internal";
  readonly opened: "open" | "refused" | "ended";
  readonly named: number;
  readonly wrong: number;
  readonly missing: number;
  readonly internal: string;
  readonly how: string;
}

async function read(path: string): Promise<Outcome> {
  const verifying = await new Child("../torture/damage-program.js", ["verify", path]).end();
  const verified = verifying.how === 0 ? (verifying.lines[0] as Outcome["verified"]) : "ended";
  const reading = await new Child("../torture/damage-program.js", ["read", path, String(ENTRIES)]).end();
  const last = reading.lines.at(-1) ?? "";
  if (reading.how !== 0 || !last.startsWith("{"))
    return {
      verified,
      opened: "ended",
      named: 0,
      wrong: 0,
      missing: 0,
      internal: "",
      how: String(verifying.how),
    };
  return { verified, how: String(verifying.how), ...(JSON.parse(last) as Omit<Outcome, "verified" | "how">) };
}
