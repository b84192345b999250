/**
 * The model: shards, rounds, deaths, feeds and watches take their steps in a random order; in the end every feed has seen exactly
 * what the logs hold above its start, in the one order, once; and every level watch shows the last state.
 */
import fc from "fast-check";
import { test } from "vitest";
import { SELECTORS, shard, sizes, valueBytes, World } from "./delivery-world.js";
import { turns } from "./fake-engine.js";

const action = fc.oneof(
  { weight: 12, arbitrary: fc.record({ op: fc.constant("step" as const), shard, sizes, valueBytes }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("round" as const), sizes, valueBytes }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant("poll" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("die" as const), shard, half: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("interleave" as const),
      shard,
      times: fc.integer({ min: 1, max: 8 }),
      sizes,
      valueBytes,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("open" as const),
      which: fc.nat(SELECTORS.length - 1),
      count: fc.constantFrom(1, 3, 10, 10_000),
      bytes: fc.constantFrom(1, 500, 1 << 20),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("watch" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant("allow" as const), feed: fc.nat(5), count: fc.nat(8) }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("turn" as const) }) },
);

test.each([
  ["rings that are lapped all the time", 1024],
  ["rings that are lapped sometimes", 4096],
  ["rings that hold everything", 1 << 16],
])(
  "whatever the interleaving, every feed sees its changes once and in order, and every watch the last state: %s",
  async (_name, ringBytes) => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 120 }), async (actions) => {
        const world = new World(ringBytes);
        for (const each of actions) {
          if (each.op === "step") world.step(each.shard, each.sizes, each.valueBytes);
          else if (each.op === "interleave")
            world.interleave(each.shard, each.times, each.sizes, each.valueBytes);
          else if (each.op === "round") world.beginRound(each.sizes, each.valueBytes);
          else if (each.op === "poll") world.engine.dispatcher.poll();
          else if (each.op === "die") world.die(each.shard, each.half);
          else if (each.op === "open") world.open(each.which, each.count, each.bytes);
          else if (each.op === "watch") world.openWatch();
          else if (each.op === "allow") world.allow(each.feed, each.count);
          else await turns(1);
        }
        await world.finish();
      }),
      { numRuns: 300 },
    );
  },
);
