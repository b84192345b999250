/**
 * Owns the view of the running job: on a terminal a few lines that are redrawn in place, elsewhere a plain line now and then.
 */
import type { WriteStream } from "node:tty";
import type { Progress, ProgressMoment } from "./progress.js";
import { spreadText } from "./report.js";

const REDRAW_MS = 200;
const PLAIN_LINE_MS = 1000;
const BAR_WIDTH = 32;

/** Goes up `lines` lines and clears from there to the end of the screen. */
const erase = (lines: number): string => `\x1b[${lines}A\r\x1b[J`;

export class LiveView {
  readonly #progress: Progress;
  readonly #output: WriteStream;
  readonly #isTerminal: boolean;
  readonly #timer: NodeJS.Timeout;
  #drawnLines = 0;

  /** Begins to draw. */
  constructor(progress: Progress, output: WriteStream) {
    this.#progress = progress;
    this.#output = output;
    this.#isTerminal = output.isTTY === true;
    this.#timer = setInterval(() => this.#draw(), this.#isTerminal ? REDRAW_MS : PLAIN_LINE_MS);
    this.#draw();
  }

  /** Draws once more, and leaves that on the screen. */
  stop(): void {
    clearInterval(this.#timer);
    this.#draw();
    this.#output.write("\n");
  }

  #draw(): void {
    const moment = this.#progress.moment();
    const { flightCount } = this.#progress;
    if (!this.#isTerminal) {
      this.#output.write(`${plainLine(moment, flightCount)}\n`);
      return;
    }
    const lines = viewLines(moment, flightCount).map((line) => line.slice(0, this.#output.columns || 80));
    const erasing = this.#drawnLines > 0 ? erase(this.#drawnLines) : "";
    this.#output.write(`${erasing}${lines.join("\n")}\n`);
    this.#drawnLines = lines.length;
  }
}

function viewLines(moment: ProgressMoment, flightCount: number): string[] {
  const share = moment.commits / flightCount;
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
  return [
    `${bar} ${Math.floor(share * 100)} %  ${count(moment.commits)} / ${count(flightCount)} flights  ${(moment.elapsedMs / 1000).toFixed(1)} s`,
    `commits/s ${count(moment.commitsPerSecond)}  writes/s ${count(moment.writesPerSecond)}  changes/s ${count(moment.changesPerSecond)}`,
    `watch latency  from the call ${spreadText(moment.latency.fromCall)}`,
    `               from the acknowledgement ${spreadText(moment.latency.fromAcknowledgement)}`,
    `lag ${count(moment.lag)} changes  slow reader ${count(moment.slowLag)} (${moment.slowState})`,
  ];
}

function plainLine(moment: ProgressMoment, flightCount: number): string {
  return [
    `${(moment.elapsedMs / 1000).toFixed(1)} s`,
    `${moment.commits}/${flightCount} flights`,
    `${count(moment.writesPerSecond)} writes/s`,
    `${count(moment.changesPerSecond)} changes/s`,
    `watch ${spreadText(moment.latency.fromCall)}`,
    `lag ${moment.lag}`,
    `slow reader ${moment.slowLag} (${moment.slowState})`,
  ].join("  ");
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
