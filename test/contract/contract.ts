/** The contract of Deno KV, written from what Deno 2.9 does: every case holds there too. */
import { atomicCases } from "./atomic-cases.js";
import { entryCases } from "./entry-cases.js";
import { lifeCases } from "./life-cases.js";
import { limitCases } from "./limit-cases.js";
import { listCases } from "./list-cases.js";
import { queueCases } from "./queue-cases.js";
import type { ContractCase } from "./subject.js";
import { watchCases } from "./watch-cases.js";

export const contract: readonly ContractCase[] = [
  ...entryCases,
  ...atomicCases,
  ...listCases,
  ...watchCases,
  ...limitCases,
  ...lifeCases,
  ...queueCases,
];
