/** A thread that joins a store and handles its messages: it posts each, and obeys some of them. */
import { parentPort, workerData } from "node:worker_threads";
import { attachKv } from "../../src/index.js";

const kv = attachKv(workerData);
void kv
  .listenQueue(
    async (value) => {
      parentPort!.postMessage(value);
      if (value === "never end") await new Promise(() => {});
      if (value === "exit") process.exit(0);
      if (value === "leave") await kv.close();
    },
    { concurrency: 50 },
  )
  .then(() => parentPort!.postMessage("ended"));
parentPort!.postMessage("ready");
