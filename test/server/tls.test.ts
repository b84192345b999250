import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { connect } from "node:http2";
import { request } from "node:https";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { tempPath } from "../kv/temp-store.js";
import { tempServer } from "./temp-server.js";

/** A certificate of this machine's own making, or `null` where there is no openssl. */
function certificate(): { readonly key: string; readonly cert: string } | null {
  const directory = tempPath();
  mkdirSync(directory);
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const args = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "1",
  ];
  try {
    execFileSync("openssl", [...args, "-subj", "/CN=localhost", "-keyout", key, "-out", cert], {
      stdio: "ignore",
    });
  } catch {
    return null;
  }
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
}

it("speaks HTTP/1.1 and HTTP/2 over TLS, and only TLS", async (context) => {
  const tls = certificate();
  if (tls === null) return context.skip("there is no openssl here");
  const { server, url } = await tempServer({ tls });
  expect(url).toMatch(/^https:/);
  const options = { port: server.port, host: "localhost", path: "/healthz", ca: tls.cert };
  const status = await new Promise((resolve, reject) => {
    request(options, (response) => resolve(response.resume().statusCode))
      .on("error", reject)
      .end();
  });
  expect(status).toBe(200);
  const session = connect(`https://localhost:${server.port}`, { ca: tls.cert });
  onTestFinished(() => session.destroy());
  const headers = await new Promise<Record<string, unknown>>((resolve, reject) => {
    session.on("error", reject);
    session.request({ ":path": "/healthz" }).on("response", resolve).resume();
  });
  expect(headers[":status"]).toBe(200);
  await expect(fetch(`http://127.0.0.1:${server.port}/healthz`)).rejects.toThrow();
});
