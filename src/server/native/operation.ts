/**
 * Owns the shape of an operation of the native API. Types only.
 */
import type { EncodedKv, Kv } from "../../index.js";
import type { Principal } from "../access.js";

/** What an operation works on. */
export interface OperationContext {
  readonly kv: Kv;
  readonly encoded: EncodedKv;
  readonly principal: Principal;
}

export type Operation = (message: unknown, context: OperationContext) => unknown | Promise<unknown>;
