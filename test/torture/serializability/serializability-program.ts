/**
 * A process whose threads call one store; the same file is the program of its threads.
 *
 *   node serializability-program.js <path> <recordings> <life> <options as JSON>
 *
 * It says `calling` when it begins, `died` for each shard thread that has died, and `done`.
 */
import { join } from "node:path";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { systemClock } from "../../../src/clock.js";
import { attachKv, type Durability, type Kv, type KvHandle } from "../../../src/index.js";
import { Kv as KvOf } from "../../../src/kv/kv.js";
import { limitsOf } from "../../../src/kv/kv-limits.js";
import { acquireEngine } from "../../../src/router/engine-registry.js";
import { armFault, createFaultCells, FaultPoint, hasFired } from "../../../src/shard/faults.js";
import { randomOf } from "../../life/random.js";
import { type CallerBreak, TortureCaller } from "./caller.js";
import { Recording } from "./recording.js";

export interface ProgramOptions {
  readonly shards: number;
  readonly threads: number;
  /** Of each thread. */
  readonly callers: number;
  /** Of each thread, at most. */
  readonly calls: number;
  readonly milliseconds: number;
  readonly durability: Durability;
  readonly seed: number;
  /** Deaths of shard threads. */
  readonly deaths: number;
  readonly breakage: CallerBreak;
}

interface ThreadData {
  readonly handle: KvHandle;
  readonly name: string;
  readonly directory: string;
  readonly options: ProgramOptions;
  readonly seed: number;
}

/** Deaths that a shard survives in a minute, less one. */
const DEATHS_MAX = 4;
const HISTORY = { bytesMax: 2 ** 40, ageMsMax: Number.POSITIVE_INFINITY };

async function call(
  kv: Kv,
  name: string,
  directory: string,
  options: ProgramOptions,
  seed: number,
): Promise<void> {
  const recording = new Recording(join(directory, name));
  const random = randomOf(seed);
  const deadlineMs = Date.now() + options.milliseconds;
  const callers = Array.from({ length: options.callers }, (_, index) =>
    new TortureCaller({
      kv,
      name: `${name}.${index}`,
      recording,
      random,
      deadlineMs,
      callsMax: Math.ceil(options.calls / options.callers),
      breakage: options.breakage,
    }).run(),
  );
  await Promise.all(callers);
  recording.flush();
}

async function runThread({ handle, name, directory, options, seed }: ThreadData): Promise<void> {
  await using kv = attachKv(handle);
  await call(kv, name, directory, options, seed);
}

async function runProcess(
  path: string,
  directory: string,
  life: string,
  options: ProgramOptions,
): Promise<void> {
  const faults = createFaultCells(options.shards);
  const { shards, durability } = options;
  const { engine, release } = await acquireEngine(path, {
    shards,
    durability,
    clock: systemClock,
    faults,
    inline: true,
    history: HISTORY,
  });
  const kv = new KvOf(engine.caller, {
    limits: limitsOf(undefined),
    ifChanged: false,
    release,
    share: (settings) => engine.share(settings),
  });
  const threads = Array.from({ length: options.threads }, (_, index) => {
    const handle = kv.share();
    const data: ThreadData = {
      handle,
      name: `${life}t${index}`,
      directory,
      options,
      seed: options.seed + index + 1,
    };
    const worker = new Worker(new URL(import.meta.url), {
      workerData: data,
      transferList: [...handle.transfer],
    });
    return new Promise<void>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("exit", (code) =>
        code === 0 ? resolve() : reject(new Error(`a thread ended with ${code}`)),
      );
    });
  });
  const stopKilling = killThreads(faults, options);
  console.log("calling");
  await Promise.all([call(kv, `${life}m`, directory, options, options.seed), ...threads]);
  stopKilling();
  await kv.close();
  console.log("done");
}

function killThreads(
  faults: SharedArrayBuffer,
  { shards, deaths, milliseconds, seed }: ProgramOptions,
): () => void {
  if (deaths === 0) return () => {};
  const random = randomOf(seed + 99);
  const count = Math.min(deaths, shards * DEATHS_MAX);
  let left = count;
  const points = Object.values(FaultPoint);
  const armed: { readonly shard: number; readonly point: FaultPoint }[] = [];
  /** Says which of them have happened. */
  const look = () => {
    for (const fault of armed.splice(0)) {
      if (hasFired(faults, fault.shard, fault.point)) console.log("died");
      else armed.push(fault);
    }
  };
  const timer = setInterval(
    () => {
      look();
      if (left-- <= 0) return;
      const fault = { shard: left % shards, point: points[random(points.length)]! };
      armFault(faults, fault.shard, fault.point, 1 + random(3));
      armed.push(fault);
    },
    milliseconds / (count + 1),
  );
  return () => {
    clearInterval(timer);
    look();
    new Int32Array(faults).fill(0);
  };
}

if (isMainThread) {
  const [path, directory, life, options] = process.argv.slice(2);
  await runProcess(path!, directory!, life!, JSON.parse(options!) as ProgramOptions);
} else await runThread(workerData as ThreadData);
