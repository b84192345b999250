/**
 * Owns the list of the tortures.
 */
import { crash } from "./crash.js";
import { damage } from "./damage.js";
import { powerLoss } from "./power-loss/power-loss.js";
import { serializability } from "./serializability/serializability.js";
import { threadDeath } from "./thread-death.js";
import type { Torture } from "./torture.js";

export const TORTURES: readonly Torture[] = [serializability, crash, threadDeath, powerLoss, damage];
