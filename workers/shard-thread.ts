/** Entry of a shard's thread: piscina calls it with the thread's one task. */
export { startShard } from "../src/shard/start-shard.js";
