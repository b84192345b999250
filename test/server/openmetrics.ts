/**
 * Owns a strict reader of OpenMetrics 1.0 text, as far as a server of ours writes it: counters, gauges and histograms without timestamps. It
 * refuses what the specification forbids, where a scraper may be lenient.
 */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly samples: Sample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ["_total"],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
};
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/y;

/** The families by name. @throws Error that names the line. */
export function readOpenMetrics(text: string): Map<string, Family> {
  if (!text.endsWith("# EOF\n")) throw new Error("it does not end with # EOF and a newline");
  const families = new Map<string, Family>();
  let name = "";
  for (const line of text.slice(0, -"# EOF\n".length).split("\n").slice(0, -1)) {
    const described = /^# (TYPE|HELP|UNIT) (\S+) (.+)$/.exec(line);
    if (described?.[1] === "TYPE") {
      name = described[2]!;
      if (families.has(name)) throw new Error(`${name} comes in two places: ${line}`);
      if (!(described[3]! in SUFFIXES)) throw new Error(`unknown type: ${line}`);
      families.set(name, { type: described[3]!, samples: [] });
    } else if (described !== null) {
      if (described[2] !== name) throw new Error(`it describes another family than ${name}: ${line}`);
      if (families.get(name)!.samples.length > 0) throw new Error(`it comes behind samples: ${line}`);
    } else addSample(name, families.get(name), line);
  }
  for (const [family, { type, samples }] of families) {
    if (type === "histogram") checkHistogram(family, samples);
    if (type === "counter" && samples.some(({ value }) => value < 0 || Number.isNaN(value)))
      throw new Error(`${family} counts down`);
  }
  return families;
}

function addSample(name: string, family: Family | undefined, line: string): void {
  const sample = readSample(line);
  const isOurs = family !== undefined && SUFFIXES[family.type]!.some((end) => name + end === sample.name);
  if (!isOurs) throw new Error(`it does not belong to ${name}: ${line}`);
  const key = JSON.stringify(Object.entries(sample.labels).sort());
  if (family.samples.some((other) => other.name === sample.name && labelsOf(other) === key))
    throw new Error(`it comes twice: ${line}`);
  family.samples.push(sample);
}

function labelsOf({ labels }: Sample): string {
  return JSON.stringify(Object.entries(labels).sort());
}

function readSample(line: string): Sample {
  const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || !/^([+-]Inf|NaN|-?\d+(\.\d+)?(e[+-]?\d+)?)$/.test(value!))
    throw new Error(`it is no sample: ${line}`);
  return { name, labels: readLabels(labels, line), value: Number(value!.replace("Inf", "Infinity")) };
}

function readLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.length; ) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || name in labels) throw new Error(`its labels are wrong: ${line}`);
    labels[name] = value!;
  }
  return labels;
}

/** Each group of a histogram counts upwards to its infinite bucket, which is its count. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [group, own] of groups) {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => Number(labels["le"]!.replace("Inf", "Infinity")));
    const counts = buckets.map(({ value }) => value);
    const isSorted = (list: readonly number[], isStrict: boolean): boolean =>
      list.every(
        (value, index) => index === 0 || value > list[index - 1]! || (!isStrict && value === list[index - 1]),
      );
    if (!isSorted(bounds, true) || bounds.at(-1) !== Infinity) throw new Error(`buckets of ${name}${group}`);
    if (!isSorted(counts, false)) throw new Error(`${name}${group} is not cumulative`);
    const total = own.find((sample) => sample.name === `${name}_count`);
    const sum = own.find((sample) => sample.name === `${name}_sum`);
    if (total?.value !== counts.at(-1) || sum === undefined)
      throw new Error(`count or sum of ${name}${group}`);
  }
}
