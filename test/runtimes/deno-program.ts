/**
 * Owns the finding of the `deno` program: the one of the npm package, without what the package does when it is installed, or the one that
 * BELFRY_DENO names.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Its path; `null` where there is none for this platform. */
export const denoProgram: string | null = findDeno();

function findDeno(): string | null {
  const named = process.env["BELFRY_DENO"];
  if (named !== undefined) return named;
  const libc = process.platform === "linux" ? "-glibc" : "";
  try {
    // The platform's part lies wherever the package was put, so it is asked for from there.
    const installed = createRequire(createRequire(import.meta.url).resolve("deno/package.json"));
    const manifest = installed.resolve(`@deno/${process.platform}-${process.arch}${libc}/package.json`);
    const path = join(dirname(manifest), process.platform === "win32" ? "deno.exe" : "deno");
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}
