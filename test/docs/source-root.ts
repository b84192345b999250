/**
 * Owns where a compiled test finds the sources that are not compiled, and its own build.
 */
import { fileURLToPath } from "node:url";

/** The root of this build: the compiled tests stand two folders below it. */
export const BUILD_ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The root of the package: the build stands one folder below it. */
export const PACKAGE_ROOT = fileURLToPath(new URL("../../../", import.meta.url));
