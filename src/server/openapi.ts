/**
 * Owns the OpenAPI document of the native API: made of the table of routes, and of the few that are no messages.
 */
import { ROUTES, type Route, SCHEMAS, type Schema } from "./native/routes.js";

const STATUSES: Readonly<Record<string, string>> = {
  400: "The request is wrong; nothing was done.",
  401: "No access token, or a wrong one.",
  403: "The token has not this right.",
  413: "The body is too large.",
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
    paths: { ...paths, ...streamPaths(), ...entryPaths(), ...plainPaths() },
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
  const query = (name: string, description: string): Schema => ({
    name,
    in: "query",
    description,
    schema: { type: "string" },
  });
  const resume: Schema = { name: "Last-Event-ID", in: "header", schema: { type: "string" } };
  const changes = [
    query("selectors", "Tagged JSON: a selector, or an array of them."),
    query("options", "Tagged JSON: the options of kv.changes."),
    query("since", "Where to begin."),
    resume,
  ];
  return {
    "/v1/changes": {
      get: {
        summary: "Every change, as server-sent events.",
        parameters: changes,
        responses: { ...STREAM, ...failures() },
      },
    },
    "/v1/watch": {
      get: {
        summary: "The states of some keys, as server-sent events.",
        parameters: [query("keys", "Tagged JSON: an array of keys.")],
        responses: { ...STREAM, ...failures() },
      },
    },
  };
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
        responses: { 200: { description: "Done." }, ...failures() },
      },
    },
  };
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
