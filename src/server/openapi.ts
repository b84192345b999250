/**
 * Owns the OpenAPI document of all that a server answers: made of the table of routes, and of the few that are no messages. A test holds it against the
 * server's own list, method by method.
 */
import { CONNECT_PATH } from "./connect/metadata.js";
import { ROUTES, type Route, SCHEMAS, type Schema } from "./native/routes.js";

const STATUSES: Readonly<Record<string, string>> = {
  400: "The request is wrong; nothing was done.",
  401: "No access token, or a wrong one.",
  403: "The token has not this right.",
  408: "The body did not arrive in time.",
  413: "The body is too large.",
  415: "The body is of another media type.",
  429: "Too many requests or watches.",
  503: "The store is closing or can't take it; nothing was done unless the text says so.",
};

const STREAM: Schema = {
  200: {
    description:
      "Events: change, state, progress, lagged, failure, end. The id of an event is where to resume.",
    content: { "text/event-stream": { schema: { type: "string" } } },
  },
};

/** The document. */
export function openApi(version: string): Schema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of ROUTES) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Belfry",
      version,
      description:
        "Messages are tagged JSON (application/json), or the same in the binary form (application/x-belfry) where Content-Type and Accept say so.",
    },
    paths: { ...paths, ...streamPaths(), ...entryPaths(), ...plainPaths(), ...connectPaths() },
    components: {
      schemas: SCHEMAS,
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
    security: [{ token: [] }, {}],
  };
}

function operation({ summary, right, request, response }: Route): Schema {
  return {
    summary,
    description: `Needs ${right}.`,
    ...(request !== null && { requestBody: { required: true, content: contents(request) } }),
    responses: { 200: { description: "Done.", content: contents(response) }, ...failures() },
  };
}

function contents(schema: Schema): Schema {
  return {
    "application/json": { schema },
    "application/x-belfry": { schema: { type: "string", format: "binary" } },
  };
}

function failures(): Schema {
  const content = { "application/json": { schema: { $ref: "#/components/schemas/Error" } } };
  return Object.fromEntries(
    Object.entries(STATUSES).map(([status, description]) => [status, { description, content }]),
  );
}

function streamPaths(): Record<string, Schema> {
  const changes = [
    query("selectors", "Tagged JSON: a selector, or an array of them."),
    query("options", "Tagged JSON: the options of kv.changes."),
    query("since", "Where to begin."),
    { name: "Last-Event-ID", in: "header", schema: { type: "string" } },
  ];
  return {
    "/v1/changes": streamPath(
      "Every change, as server-sent events.",
      "read on all that the selectors select",
      changes,
      "ChangesRequest",
    ),
    "/v1/watch": streamPath(
      "The states of some keys, as server-sent events.",
      "read on each key",
      [query("keys", "Tagged JSON: an array of keys.")],
      "WatchRequest",
    ),
  };
}

/** A GET for an `EventSource`, which has everything in its address, and a POST for what does not fit there. */
function streamPath(
  summary: string,
  right: string,
  parameters: readonly Schema[],
  request: keyof typeof SCHEMAS,
): Schema {
  const shared = { summary, description: `Needs ${right}.`, responses: { ...STREAM, ...failures() } };
  const content = contents({ $ref: `#/components/schemas/${request}` });
  return { get: { ...shared, parameters }, post: { ...shared, requestBody: { required: true, content } } };
}

function query(name: string, description: string): Schema {
  return { name, in: "query", description, schema: { type: "string" } };
}

function entryPaths(): Record<string, Schema> {
  const parameters = [
    {
      name: "path",
      in: "path",
      required: true,
      description: "The key as a path: users/42",
      schema: { type: "string" },
    },
  ];
  const entry = { content: contents({ $ref: "#/components/schemas/Entry" }), description: "The entry." };
  const committed = { content: contents({ $ref: "#/components/schemas/Committed" }), description: "Done." };
  return {
    "/v1/entries/{path}": {
      get: {
        summary: "The entry under a key.",
        parameters,
        responses: { 200: entry, 404: { description: "There is none." }, ...failures() },
      },
      put: {
        summary: "Sets a key to the body: tagged JSON, or bytes as application/octet-stream.",
        parameters,
        requestBody: { required: true, content: contents({ $ref: "#/components/schemas/Value" }) },
        responses: { 200: committed, ...failures() },
      },
      delete: {
        summary: "Deletes a key.",
        parameters,
        responses: {
          200: { description: "Done.", content: contents({ $ref: "#/components/schemas/Done" }) },
          ...failures(),
        },
      },
    },
  };
}

/** KV Connect, whose messages Deno documents. Its refusals are plain texts. */
function connectPaths(): Record<string, Schema> {
  const method = (summary: string, request: string, response: string): Schema => ({
    post: {
      summary,
      description: "KV Connect, as Deno's own clients speak it.",
      requestBody: { required: true, content: { [request]: {} } },
      responses: { 200: { description: "Done.", content: { [response]: {} } }, ...textFailures() },
    },
  });
  const metadata = method("Agrees on a version of KV Connect.", "application/json", "application/json");
  const protobuf = "application/x-protobuf";
  return {
    "/": metadata,
    [CONNECT_PATH]: metadata,
    [`${CONNECT_PATH}/snapshot_read`]: method("Reads ranges of keys.", protobuf, protobuf),
    [`${CONNECT_PATH}/atomic_write`]: method("Checks and mutations.", protobuf, protobuf),
    [`${CONNECT_PATH}/watch`]: method("The states of some keys.", protobuf, "application/octet-stream"),
  };
}

function textFailures(): Schema {
  const content = { "text/plain": { schema: { type: "string" } } };
  return Object.fromEntries(
    Object.entries(STATUSES).map(([status, description]) => [status, { description, content }]),
  );
}

function plainPaths(): Record<string, Schema> {
  const plain = (summary: string): Schema => ({
    get: { summary, responses: { 200: { description: "As it says." } } },
  });
  return {
    "/v1/openapi.json": plain("This document."),
    "/metrics": plain("Metrics in OpenMetrics text. Needs admin."),
    "/healthz": plain("Whether the process answers."),
    "/readyz": plain("Whether the store takes writes."),
  };
}
