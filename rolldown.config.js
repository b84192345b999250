/**
 * The last step of the build: puts what a shard's thread loads into one file, in place of its entry. A thread takes about a millisecond of
 * processor time for each module, and there are as many threads as shards. Without this step they do the same, and start slower.
 */
const THREAD = "dist/workers/shard-thread.js";

export default {
  input: THREAD,
  platform: "node",
  // It finds its native part beside itself.
  external: ["lmdb"],
  output: { file: THREAD, format: "esm" },
};
