/**
 * The program of a child process: one store in a runtime of its own, told by lines on standard input what to do (entrant.ts).
 */
import { createInterface } from "node:readline";
import { type ChildAnswer, type ChildOrder, LocalEntry, Unfit } from "./entrant.js";
import { loadPeer } from "./peers/registry.js";
import { workloadNamed } from "./workloads/registry.js";

let entry: LocalEntry | undefined;

async function obey(order: ChildOrder): Promise<unknown> {
  switch (order.order) {
    case "open":
      entry = await LocalEntry.open(
        await loadPeer(order.peer),
        order.mode,
        workloadNamed(order.workload),
        order.directory,
      );
      return null;
    case "round":
      return entry!.round(order.context);
    case "finish":
      return entry!.finish();
    case "close":
      return entry!.close();
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer: ChildAnswer;
  try {
    answer = { result: (await obey(JSON.parse(line) as ChildOrder)) ?? null };
  } catch (error) {
    answer = { error: (error as Error).stack ?? String(error), unfit: error instanceof Unfit };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
