/**
 * Owns how a value that should not be there is named in an error. Pure; never throws, whatever the value does.
 */

/** The value as text where it has a short one, else its type. */
export function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return typeof value === "function" ? "a function" : String(value);
}
