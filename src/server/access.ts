/**
 * Owns who may do what: the tokens, and the finding of a request's rights.
 *
 * A token is known by its SHA-256 only. That is enough where a token is random; `createToken` makes such ones. The hash of what a request
 * brings is compared with every token's in constant time, the whole list each time, so that time tells nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { KvTypeError } from "../errors.js";
import { ACCESS_TOKEN_CHARACTERS_MAX, ACCESS_TOKEN_CHARACTERS_MIN } from "../limits.js";
import { fromTagged } from "../wire/untagged.js";
import { HttpError } from "./http-error.js";
import { ALL_RIGHTS, type Grant, type Right, Rights } from "./rights.js";

/** One token as it is configured: its text, or the SHA-256 of its text as 64 hex digits. */
export interface AccessToken {
  /** For logs and limits; no secret. */
  readonly name: string;
  readonly token?: string;
  readonly sha256?: string;
  /** Default: everything. */
  readonly grants?: readonly Grant[];
}

/** Who makes a request. */
export interface Principal {
  readonly name: string;
  readonly rights: Rights;
}

interface KnownToken extends Principal {
  readonly hash: Buffer;
}

const SHA256 = /^[0-9a-f]{64}$/i;
const RIGHTS: readonly Right[] = ["read", "write", "admin"];

/** Where no token is configured. */
const ANYBODY: Principal = { name: "anybody", rights: ALL_RIGHTS };

export class Access {
  readonly #tokens: readonly KnownToken[];

  /** @throws KvTypeError KV_INVALID_OPTION for a token that is none. */
  constructor(tokens: readonly AccessToken[]) {
    this.#tokens = tokens.map(knownToken);
  }

  /** Whether everybody who reaches the port may do everything. */
  get isOpen(): boolean {
    return this.#tokens.length === 0;
  }

  /**
   * Who a request is from.
   *
   * @throws HttpError 401.
   */
  principal(authorization: string | undefined): Principal {
    if (this.isOpen) return ANYBODY;
    const token = /^Bearer +([^\s]+) *$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) throw unauthorized("Malformed authorization header.");
    const hash = hashOf(token);
    let found: KnownToken | undefined;
    for (const known of this.#tokens) if (timingSafeEqual(known.hash, hash)) found = known;
    if (found === undefined) throw unauthorized("Invalid access token.");
    return found;
  }
}

/** A new random token, and what to keep of it. */
export function createToken(): { readonly token: string; readonly sha256: string } {
  const token = `belfry_${randomBytes(32).toString("base64url")}`;
  return { token, sha256: hashOf(token).toString("hex") };
}

/**
 * The tokens in a file: `{ "tokens": [ { "name", "sha256", "grants": [ { "prefix": […], "rights": ["read"] } ] } ] }`. Keys are written as on
 * the wire. A token's text in place of its hash is refused: a file is copied around.
 *
 * @throws KvTypeError KV_INVALID_OPTION when the file is not that.
 */
export function readTokenFile(path: string): AccessToken[] {
  let content: unknown;
  try {
    content = fromTagged(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw invalid(`token file ${path} can't be read: ${(cause as Error).message}`);
  }
  const tokens = (content as { tokens?: unknown } | null)?.tokens;
  if (!Array.isArray(tokens)) throw invalid(`token file ${path} has no list "tokens"`);
  for (const token of tokens) {
    if (token === null || typeof token !== "object" || "token" in token || !("sha256" in token)) {
      throw invalid(`token file ${path}: each token has a name and a sha256, and never its text`);
    }
  }
  new Access(tokens as AccessToken[]);
  return tokens as AccessToken[];
}

function knownToken(token: AccessToken): KnownToken {
  const { name, grants = [{ prefix: [], rights: ["admin"] }] } = token;
  if (typeof name !== "string" || name === "") throw invalid("an access token needs a name");
  checkGrants(name, grants);
  return { name, hash: configuredHash(token), rights: new Rights(grants) };
}

function configuredHash({ name, token, sha256 }: AccessToken): Buffer {
  if (sha256 !== undefined) {
    if (!SHA256.test(sha256)) throw invalid(`sha256 of access token ${name} must be 64 hex digits`);
    return Buffer.from(sha256, "hex");
  }
  const length = token?.length ?? 0;
  if (length < ACCESS_TOKEN_CHARACTERS_MIN || length > ACCESS_TOKEN_CHARACTERS_MAX || /\s/.test(token!)) {
    throw invalid(
      `access token ${name} has ${length} characters, must have ${ACCESS_TOKEN_CHARACTERS_MIN} to ${ACCESS_TOKEN_CHARACTERS_MAX} without spaces`,
    );
  }
  return hashOf(token!);
}

function checkGrants(name: string, grants: readonly Grant[]): void {
  const isList = Array.isArray(grants) && grants.length > 0;
  const areGood =
    isList &&
    grants.every(
      (grant) =>
        Array.isArray(grant?.prefix) &&
        Array.isArray(grant.rights) &&
        grant.rights.length > 0 &&
        grant.rights.every((right: Right) => RIGHTS.includes(right)),
    );
  if (!areGood) {
    throw invalid(
      `grants of access token ${name} must be a list of { prefix, rights: ["read" | "write" | "admin"] }`,
    );
  }
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function unauthorized(message: string): HttpError {
  return new HttpError(401, "UNAUTHORIZED", message, { "www-authenticate": "Bearer" });
}

function invalid(message: string): KvTypeError {
  return new KvTypeError("KV_INVALID_OPTION", message);
}
