/**
 * One store for several programs: this one has it open and serves it; another one, which may be anywhere, follows it with a token that may only
 * read what it needs.
 */
import { connect } from "../src/client/index.js";
import { openKv } from "../src/index.js";
import { createToken, serve } from "../src/server/index.js";

const dashboard = createToken();
await using kv = await openKv();
await using server = await serve(kv, {
  port: 0,
  tokens: [
    { name: "dashboard", sha256: dashboard.sha256, grants: [{ prefix: ["prices"], rights: ["read"] }] },
  ],
});
await kv.atomic().set(["prices", "tea"], 3.2).set(["customers", 1], "Ada").commit();

await using remote = connect(server.url, { token: dashboard.token });
for await (const { key, value } of remote.list({ prefix: [] })) console.log(key, value); // → [ 'prices', 'tea' ] 3.2
await remote.set(["prices", "tea"], 0).catch(({ code }) => console.log(code)); // → KV_ACCESS_DENIED

const feed = remote.changes({ prefix: ["prices"] }, { initial: true });
for await (const event of feed) {
  if (event.type === "progress") await kv.set(["prices", "tea"], 3.4);
  else if (event.type !== "lagged") console.log(event.type, event.value);
  if (event.type === "update") break;
}
// → create 3.2
// → update 3.4
