/**
 * Owns the directories that a test makes: fresh ones, removed when the test file has ended.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const made: string[] = [];

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "belfry-life-"));
  made.push(path);
  return path;
}

afterAll(() => {
  for (const path of made) rmSync(path, { recursive: true, force: true });
});
