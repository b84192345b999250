/**
 * Owns the list of the tortures.
 */
import { crash } from "./crash/crash.js";
import { damage } from "./damage.js";
import { exhaustion } from "./exhaustion.js";
import { freshness } from "./freshness.js";
import { fullDisk } from "./full-disk.js";
import { hostile } from "./hostile.js";
import { overload } from "./overload.js";
import { powerLoss } from "./power-loss/power-loss.js";
import { serializability } from "./serializability/serializability.js";
import { soak } from "./soak.js";
import { threadDeath } from "./thread-death.js";
import type { Torture } from "./torture.js";

export const TORTURES: readonly Torture[] = [
  serializability,
  freshness,
  crash,
  threadDeath,
  powerLoss,
  damage,
  overload,
  hostile,
  fullDisk,
  exhaustion,
  soak,
];
