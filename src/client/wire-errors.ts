/**
 * Owns the making of an error from what the server answered: the same classes and codes as the embedded store throws.
 */
import {
  KvAccessError,
  KvClosedError,
  KvError,
  type KvErrorCode,
  KvHistoryTrimmedError,
  type KvMisuseCode,
  KvTypeError,
} from "../errors.js";

/** What the server says of a failure. */
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly requested?: string;
  readonly oldest?: string;
}

/** Refusals of requests that this client could not make if it and its caller were right. */
const MISUSE: ReadonlySet<string> = new Set([
  "BAD_REQUEST",
  "BODY_TOO_LARGE",
  "UNSUPPORTED_MEDIA_TYPE",
  "NOT_FOUND",
  "METHOD_NOT_ALLOWED",
]);

/** Whether nothing was done, and trying again later may help. */
export function isPassing(status: number, body: unknown): boolean {
  const { code } = failureOf(body);
  return status === 429 || code === "SHUTTING_DOWN" || code === "KV_OVERLOADED";
}

/** The error that an answer means. */
export function errorOf(status: number, body: unknown): Error {
  const { code, message, requested, oldest } = failureOf(body);
  if (code === "UNAUTHORIZED" || code === "FORBIDDEN") return new KvAccessError(message);
  if (code === "KV_HISTORY_TRIMMED" && requested !== undefined && oldest !== undefined) {
    return new KvHistoryTrimmedError(requested, oldest);
  }
  if (code === "KV_CLOSED") return new KvClosedError(message);
  if (MISUSE.has(code)) return new KvTypeError("KV_INVALID_OPTION", message);
  if (code === "KV_LIMIT_EXCEEDED" || code.startsWith("KV_INVALID_")) {
    return new KvTypeError(code as KvMisuseCode, message);
  }
  if (code.startsWith("KV_")) return new KvError(code as KvErrorCode, message);
  return new KvError("KV_SERVER", `the server answered ${status}: ${message}`);
}

function failureOf(body: unknown): Failure {
  const error = (body as { error?: Partial<Failure> } | null | undefined)?.error;
  if (typeof error?.code !== "string" || typeof error.message !== "string") {
    return { code: "UNKNOWN", message: "it is no belfry server, or a proxy answered for it" };
  }
  return error as Failure;
}
