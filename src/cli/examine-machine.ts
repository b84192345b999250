/**
 * Owns what `belfry doctor` looks at without a store: the runtime, the engine's native part, the limits of the process.
 */
import { availableParallelism } from "node:os";
import { openKv } from "../index.js";
import { type Finding, failed, ok, warning } from "./finding.js";

const NODE_MAJOR_MIN = 20;
/** A server with its default of connections, and the files of its shards. */
const OPEN_FILES_MIN = 1024;

export async function examineMachine(): Promise<Finding[]> {
  return [node(), await engine(), processors(), openFiles()];
}

function node(): Finding {
  const { version } = process;
  const major = Number(/^v(\d+)/.exec(version)?.[1]);
  return major >= NODE_MAJOR_MIN
    ? ok("node", version)
    : failed("node", `${version}, needs ${NODE_MAJOR_MIN} or later`, "install a newer Node.js");
}

/** Opens, writes, reads and closes a private store: the native part, threads, shared memory and the directory for temporary files. */
async function engine(): Promise<Finding> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    await using kv = await openKv();
    await kv.set(["doctor"], "well");
    const { value } = await kv.get(["doctor"]);
    if (value === "well") return ok("engine", `works on ${platform}`);
    return failed("engine", `read ${String(value)} where it had written "well"`, "report this");
  } catch (error) {
    return failed(
      "engine",
      `does not work on ${platform}: ${(error as Error).message}`,
      "install again without --omit=optional and on this platform: lmdb's binary is an optional package of each",
    );
  }
}

function processors(): Finding {
  const count = availableParallelism();
  return count > 1
    ? ok("processors", String(count))
    : warning("processors", "1", "shards write in threads of their own: with one processor they take turns");
}

function openFiles(): Finding {
  const report = process.report.getReport() as {
    userLimits?: { open_files?: { soft: number | "unlimited" } };
  };
  const soft = report.userLimits?.open_files?.soft;
  if (soft === undefined) return ok("open files", "no limit is known on this system");
  return soft === "unlimited" || soft >= OPEN_FILES_MIN
    ? ok("open files", `at most ${soft}`)
    : warning("open files", `at most ${soft}`, `raise it for a server: ulimit -n ${OPEN_FILES_MIN} or more`);
}
