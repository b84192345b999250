/**
 * Runs the contract, and then what Belfry does better, against the real Deno KV: `deno run --allow-all --unstable-kv run-in-deno.js`.
 * Prints the results as one line of JSON.
 */
import { contract } from "./contract.js";
import { differenceCases } from "./difference-cases.js";
import { queueDifferenceCases } from "./queue-cases.js";
import { runContract, type Subject } from "./subject.js";

// biome-ignore lint/suspicious/noExplicitAny: Deno's types are not those of this project.
const { Deno } = globalThis as any;

const subject: Subject = {
  openKv: (path) => Deno.openKv(path),
  KvU64: Deno.KvU64,
  newPath: () => `${Deno.makeTempDirSync({ prefix: "belfry-contract-" })}/kv.sqlite`,
  inspect: Deno.inspect,
  hasDenoLimits: true,
  hasCryptoKeys: true,
  hasQueues: true,
};

const differences = [...differenceCases, ...queueDifferenceCases].map(({ name, run }) => ({ name, run }));
const kept = await runContract(contract, subject, ":memory:");
const differing = await runContract(differences, subject, ":memory:");
console.log(JSON.stringify({ kept, differing }));
Deno.exit(0);
