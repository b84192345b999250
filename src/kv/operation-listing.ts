/**
 * Owns what an atomic operation shows when it is inspected: its calls, as Deno's does. Keeps the caller's own arguments, uncopied, and
 * costs one small object a call.
 */
import { type InspectOptions, inspect } from "node:util";
import type { KvMutation } from "./commit-builder.js";

interface Call {
  readonly name: string;
  readonly args: readonly unknown[];
}

export class OperationListing {
  readonly #calls: Call[] = [];

  /** Notes a call. */
  add(name: string, ...args: readonly unknown[]): void {
    this.#calls.push({ name, args });
  }

  /** Notes a mutation given as data, as the call that would have done the same. */
  addMutation(mutation: KvMutation): void {
    const { type, key } = mutation;
    if (type === "delete") this.add(type, key);
    else if (type === "set" && mutation.expireIn !== undefined) {
      this.add(type, key, mutation.value, { expireIn: mutation.expireIn });
    } else this.add(type, key, mutation.value);
  }

  /** `AtomicOperation`, and a line for each call, checks first. */
  inspect(_depth: number, options: InspectOptions): string {
    if (this.#calls.length === 0) return "AtomicOperation (empty)";
    const isCheck = ({ name }: Call) => name === "check";
    const inOrder = [...this.#calls.filter(isCheck), ...this.#calls.filter((call) => !isCheck(call))];
    const lines = inOrder.map(
      ({ name, args }) => `  ${name}(${args.map((value) => inspect(value, options)).join(", ")})`,
    );
    return `AtomicOperation\n${lines.join("\n")}`;
  }
}
