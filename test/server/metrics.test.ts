import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PACKAGE_ROOT } from "../docs/source-root.js";
import { readOpenMetrics } from "./openmetrics.js";
import { post, tempServer } from "./temp-server.js";

describe("the metrics", () => {
  it("are OpenMetrics, and count what was done", async () => {
    const { url, kv } = await tempServer();
    await post(`${url}/v1/set`, { key: ["a"], value: 1 });
    await post(`${url}/v1/get`, { key: "no key" });
    await (await fetch(`${url}/nowhere`)).text();
    const feed = kv.changes({ prefix: [] });
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get("content-type")).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    const families = readOpenMetrics(await response.text());
    feed.close();
    const countOf = (family: string, labels: Readonly<Record<string, string>> = {}): number | undefined =>
      families.get(family)?.samples.find((sample) => {
        const { le = "+Inf", ...rest } = sample.labels;
        return le === "+Inf" && JSON.stringify(rest) === JSON.stringify(labels);
      })?.value;
    expect(countOf("belfry_http_requests", { route: "POST /v1/set", status: "200" })).toBe(1);
    expect(countOf("belfry_http_requests", { route: "POST /v1/get", status: "400" })).toBe(1);
    expect(countOf("belfry_http_requests", { route: "none", status: "404" })).toBe(1);
    expect(countOf("belfry_http_request_seconds", { route: "POST /v1/set" })).toBe(1);
    expect(countOf("belfry_shard_commits", { shard: "0" })).toBe(1);
    expect(countOf("belfry_shard_transactions", { shard: "0" })).toBe(1);
    expect(countOf("belfry_shard_ring_bytes", { shard: "0" })).toBeGreaterThan(0);
    expect(countOf("belfry_shard_log_bytes", { shard: "0" })).toBeGreaterThan(0);
    expect(countOf("belfry_history_newest")).toBe(Number.parseInt(kv.history().newest.slice(0, 16), 16));
    expect(countOf("belfry_history_oldest")).toBe(0);
    expect(countOf("belfry_feeds", { state: "live" })).toBe(1);
    expect(countOf("belfry_queue_messages", { state: "ready" })).toBe(0);
    expect(countOf("belfry_connections")).toBeGreaterThan(0);
  });

  it("have all that the dashboard asks for", async () => {
    const { url } = await tempServer();
    const text = await (await fetch(`${url}/metrics`)).text();
    const dashboard = readFileSync(join(PACKAGE_ROOT, "examples/grafana-dashboard.json"), "utf8");
    for (const [name] of dashboard.matchAll(/belfry_[a-z_]+/g)) {
      expect(text).toContain(name.replace(/_(total|bucket)$/, ""));
    }
  });

  it.each([
    ["no end", "# TYPE a gauge\na 1\n"],
    ["a counter without its suffix", "# TYPE a counter\na 1\n# EOF\n"],
    ["a family in two places", "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\n# EOF\n"],
    ["a sample of nothing", "a 1\n# EOF\n"],
    ["the same sample twice", '# TYPE a gauge\na{b="1"} 1\na{b="1"} 2\n# EOF\n'],
    ["a label that is not escaped", '# TYPE a gauge\na{b="""} 1\n# EOF\n'],
    ["a value that is none", "# TYPE a gauge\na undefined\n# EOF\n"],
    [
      "a histogram that counts down",
      '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n# EOF\n',
    ],
  ])("could not have %s", (_, text) => {
    expect(() => readOpenMetrics(text)).toThrow();
  });
});

it("says that it answers, and that it is ready", async () => {
  const { url } = await tempServer();
  expect(await (await fetch(`${url}/healthz`)).text()).toBe("ok\n");
  expect(await (await fetch(`${url}/readyz`)).text()).toBe("ready\n");
});
