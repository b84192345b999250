#!/usr/bin/env node
/**
 * The program `belfry`: it works on the path of a store or on the address of a server alike.
 *
 * All else is loaded from here, so that an installation without the engine's native part is told of in words.
 */
import { ExitCode } from "./command-error.js";

// Whoever reads the output may stop reading: `belfry list … | head`. That is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(ExitCode.done);
  throw error;
});

async function load(): Promise<typeof import("./program.js") | null> {
  try {
    return await import("./program.js");
  } catch (error) {
    process.stderr.write(
      `belfry: can't be loaded on ${process.platform}-${process.arch} with node ${process.version}: ${(error as Error).message}\n` +
        "Install it again on this platform with Node.js 20 or later, and without --omit=optional: the binaries of lmdb are optional packages.\n",
    );
    return null;
  }
}

const program = await load();
process.exitCode = program === null ? ExitCode.failed : await program.main(process.argv.slice(2));
