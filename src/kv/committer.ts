/**
 * Owns the making of a commit of an open Kv: from drafts to the router.
 */
import type { CommitFields } from "../codec/commit-frame.js";
import type { CommitRouter } from "../router/commit-router.js";
import {
  buildCommit,
  type CommitContext,
  type CommitDrafts,
  checkDraftKeys,
  type DraftMessage,
  settleDrafts,
} from "./commit-builder.js";
import { commitResult, type KvCommitError, type KvCommitResult } from "./commit-result.js";
import { buildMessage } from "./enqueue-builder.js";

export interface CommitterMakings {
  readonly router: CommitRouter;
  readonly context: CommitContext;
  /** Whose commits they are: what is pending of an owner can be abandoned. */
  readonly owner: object;
  /** Throws KvClosedError when the owner is closed. */
  readonly checkOpen: () => void;
}

export class Committer {
  readonly #router: CommitRouter;
  readonly #context: CommitContext;
  readonly #owner: object;
  readonly #checkOpen: () => void;

  constructor({ router, context, owner, checkOpen }: CommitterMakings) {
    this.#router = router;
    this.#context = context;
    this.#owner = owner;
    this.#checkOpen = checkOpen;
  }

  /** Throws what is wrong with the commit, unless a value has to be waited for; what becomes of it is the promise's. */
  commit(drafts: CommitDrafts): Promise<KvCommitResult | KvCommitError> {
    const settled = settleDrafts(drafts);
    return settled instanceof Promise
      ? settled.then((ready) => this.#commitReady(ready))
      : this.#commitReady(settled);
  }

  #commitReady(drafts: CommitDrafts): Promise<KvCommitResult | KvCommitError> {
    checkDraftKeys(drafts);
    this.#checkOpen();
    const fields = this.#withMessages(buildCommit(drafts, this.#context), drafts.messages);
    return this.#router.commit(fields, this.#owner, commitResult);
  }

  /** The commit with messages, in the shard that is to keep them. */
  #withMessages(fields: CommitFields, messages: readonly DraftMessage[]): CommitFields {
    if (messages.length === 0) return fields;
    const enqueues = messages.map((message) => buildMessage(message, this.#context));
    return { ...fields, queue: { shard: this.#router.queueShardOf(fields), enqueues, burials: [] } };
  }
}
