/**
 * Owns the list of the tortures.
 */
import { powerLoss } from "./power-loss/power-loss.js";
import { serializability } from "./serializability/serializability.js";
import type { Torture } from "./torture.js";

export const TORTURES: readonly Torture[] = [serializability, powerLoss];
