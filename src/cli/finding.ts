/**
 * Owns the form of what `belfry doctor` finds: a line for people, a field of JSON for programs.
 */

/** One thing that was looked at. */
export interface Finding {
  readonly name: string;
  /** `warning`: works, and may cost something one day. `failed`: does not work. */
  readonly state: "ok" | "warning" | "failed";
  readonly found: string;
  /** What to do; only where something is to be done. */
  readonly advice?: string;
}

export function ok(name: string, found: string): Finding {
  return { name, state: "ok", found };
}

export function warning(name: string, found: string, advice: string): Finding {
  return { name, state: "warning", found, advice };
}

export function failed(name: string, found: string, advice: string): Finding {
  return { name, state: "failed", found, advice };
}

export function gibibytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
