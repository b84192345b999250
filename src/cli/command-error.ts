/**
 * Owns the difference between a wrong call of the program and a failure, and the exit codes of both.
 */

/** Exit codes. A key that is not there is neither misuse nor failure. */
export const ExitCode = { done: 0, failed: 1, misuse: 2, notFound: 3 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What ends a command with a text and an exit code of its own. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = ExitCode.misuse) {
    super(message);
    this.exitCode = exitCode;
  }
}
