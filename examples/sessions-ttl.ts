/**
 * Sessions that end by themselves: `expireIn` makes an entry invisible the moment its time is up, and whoever watches hears that it went,
 * and why. Each request moves the end on, unless the session has changed or ended meanwhile.
 */
import { type Kv, ManualClock, openKv } from "../src/index.js";

interface Session {
  readonly user: string;
  readonly requests: number;
}

const LIFETIME_MS = 30 * 60_000;

/** Notes a request and gives the session its full time again. False when there is no such session any more. */
async function touch(kv: Kv, id: string): Promise<boolean> {
  for (;;) {
    const { key, value, versionstamp } = await kv.get<Session>(["sessions", id]);
    if (value === null) return false;
    const result = await kv
      .atomic()
      .check({ key, versionstamp })
      .set(["sessions", id], { ...value, requests: value.requests + 1 }, { expireIn: LIFETIME_MS })
      .commit();
    if (result.ok) return true;
  }
}

// A clock that is moved by hand, so that this example need not run for half an hour.
const clock = new ManualClock();
await using kv = await openKv(":memory:", { clock });

const ended = (async () => {
  for await (const change of kv.changes({ prefix: ["sessions"] })) {
    if (change.type === "delete") return `${change.key[1]} ended: ${change.cause}`;
  }
  return "nothing ended";
})();

await kv.set(["sessions", "s1"], { user: "ada", requests: 0 }, { expireIn: LIFETIME_MS });
clock.advance(LIFETIME_MS - 1);
console.log(await touch(kv, "s1")); // → true
clock.advance(LIFETIME_MS - 1);
console.log((await kv.get<Session>(["sessions", "s1"])).value); // → { user: 'ada', requests: 1 }
clock.advance(1);
console.log(await touch(kv, "s1")); // → false
console.log(await ended); // → s1 ended: expired
