/** Owns the checking of refusals: whether a call throws or rejects, with which class, and in which words. */
import assert from "node:assert/strict";

/** A class of errors as Deno has it. `BadResource` is known by its name, since it is a class of Deno's alone. */
export type Refusal = "TypeError" | "RangeError" | "Error" | "BadResource";

/** The call throws at once. */
export function throws(call: () => unknown, refusal: Refusal, message?: string): void {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    check(error, refusal, message);
    return;
  }
  // What it started must not fail unseen.
  if (result instanceof Promise) result.catch(() => {});
  assert.fail(`it did not throw: ${refusal} ${message ?? ""}`);
}

/** The call returns, and what it returns rejects. */
export async function rejects(
  call: () => Promise<unknown>,
  refusal: Refusal,
  message?: string,
): Promise<void> {
  let pending: Promise<unknown>;
  try {
    pending = call();
  } catch (error) {
    assert.fail(`it threw at once instead of rejecting: ${String(error)}`);
  }
  try {
    await pending;
  } catch (error) {
    check(error, refusal, message);
    return;
  }
  assert.fail(`it did not reject: ${refusal} ${message ?? ""}`);
}

function check(error: unknown, refusal: Refusal, message: string | undefined): void {
  assert(error instanceof Error, `no Error was thrown, but ${String(error)}`);
  if (message !== undefined) assert.equal(error.message, message);
  if (refusal === "TypeError") assert(error instanceof TypeError, `${error.name} is no TypeError`);
  else if (refusal === "RangeError") assert(error instanceof RangeError, `${error.name} is no RangeError`);
  else {
    assert(
      !(error instanceof TypeError || error instanceof RangeError),
      `${error.constructor.name} is no plain Error`,
    );
    if (refusal === "BadResource") assert.equal(error.name, "BadResource");
  }
}
