/**
 * The server: `belfry/server`. This is all of it that is public.
 */
export { type AccessToken, createToken, readTokenFile } from "./access.js";
export type { Origins } from "./origin.js";
export type { RateLimit } from "./rate-limit.js";
export type { Grant, Right } from "./rights.js";
export { BelfryServer, type ServeOptions, serve } from "./serve.js";
