/**
 * Owns what a failed request is answered with: a status, a stable code and a text. Nothing internal leaves through it.
 */
import {
  KvError,
  type KvErrorCode,
  KvHistoryTrimmedError,
  type KvMisuseCode,
  KvRangeError,
  KvTypeError,
} from "../errors.js";

/** Codes of refusals that only a server makes. */
export type HttpErrorCode =
  | "BAD_REQUEST"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "TIMEOUT"
  | "BODY_TOO_LARGE"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "TOO_MANY_WATCHES"
  | "RATE_LIMITED"
  | "SHUTTING_DOWN"
  | "INTERNAL";

/** A refusal of one request. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly code: HttpErrorCode | KvErrorCode | KvMisuseCode;
  readonly headers: Readonly<Record<string, string>>;
  /** What the client needs to make the same error of it. */
  readonly details: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: HttpError["code"],
    message: string,
    headers: Readonly<Record<string, string>> = {},
    details: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.details = details;
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** A request that makes no sense. */
export function badRequest(message: string): HttpError {
  return new HttpError(400, "BAD_REQUEST", message);
}

const STATUS_OF_CODE: Partial<Record<KvErrorCode, number>> = {
  KV_CLOSED: 503,
  KV_OVERLOADED: 503,
  KV_SHARD_FAILED: 503,
  KV_SHARD_STALLED: 503,
  KV_WATCH_OVERFLOW: 409,
};

/** Failures whose own text tells of files and threads; the client gets this one. */
const PLAIN_TEXTS: Partial<Record<KvErrorCode, string>> = {
  KV_STORAGE: "the storage refused; the commit changed nothing",
  KV_CORRUPT: "stored bytes could not be read",
};

/** What an error that a handler threw means to the client. What nobody foresaw is only told to `onInternal`. */
export function httpErrorOf(error: unknown, onInternal: (error: unknown) => void): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof KvTypeError || error instanceof KvRangeError) {
    return new HttpError(400, error.code, error.message);
  }
  if (error instanceof KvHistoryTrimmedError) {
    const { requested, oldest } = error;
    return new HttpError(410, error.code, error.message, {}, { requested, oldest });
  }
  if (error instanceof KvError) {
    const status = STATUS_OF_CODE[error.code] ?? 500;
    if (status === 500) onInternal(error);
    return new HttpError(status, error.code, PLAIN_TEXTS[error.code] ?? error.message);
  }
  onInternal(error);
  return new HttpError(500, "INTERNAL", "An internal server error occurred.");
}

/** The body of a refusal. */
export function errorBody({ code, message, details }: HttpError): object {
  return { error: { code, message, ...details } };
}
