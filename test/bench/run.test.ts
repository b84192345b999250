import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WORKLOADS } from "../../bench/registry.js";
import type { Measurement } from "../../bench/workload.js";
import { runFile } from "../docs/printed.js";
import { BUILD_ROOT } from "../docs/source-root.js";

const program = join(BUILD_ROOT, "bench/run.js");

describe("the bench", () => {
  it.each(WORKLOADS)("runs $name, with a number and a durability on every line", async ({ name }) => {
    const run = await runFile(program, ["--json", "--seconds", "0.005", "--only", name]);
    expect(run.stderr).toBe("");
    expect(run.code).toBe(0);
    const { measurements } = JSON.parse(run.stdout) as { measurements: Measurement[] };
    expect(measurements.length).toBeGreaterThan(0);
    for (const measurement of measurements) {
      expect(measurement.perSecond).toBeGreaterThan(0);
      expect(["sync", "relaxed", null]).toContain(measurement.durability);
    }
    expect(new Set(measurements.map((one) => `${one.name} ${one.durability}`)).size).toBe(
      measurements.length,
    );
  });

  it("prints a table", async () => {
    const run = await runFile(program, ["--seconds", "0.005", "--only", "key-codec,change-record"]);
    expect(run.code).toBe(0);
    expect(run.stdout).toContain("encode key");
    expect(run.stdout).toContain("write change record");
    expect(run.stdout).not.toContain("publish and poll");
  });

  it.each([
    [["--only", "everything"], "received everything"],
    [["--seconds", "0"], "--seconds must be a number from 0.001 to 600"],
    [["--loud"], "--loud"],
  ])("refuses the wrong flags %j with exit code 2", async (args, message) => {
    const run = await runFile(program, args);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain(message);
  });
});
