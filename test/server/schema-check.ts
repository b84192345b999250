/**
 * Owns the comparison of a message with the JSON schema that the OpenAPI document has of it, as far as that document uses schemas.
 */

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

export type Schemas = Readonly<Record<string, Schema>>;

/** What does not fit, each with its place; empty when all does. */
export function misfits(value: unknown, schema: Schema, schemas: Schemas, at = "$"): string[] {
  if (schema.$ref !== undefined) {
    const named = schemas[schema.$ref.replace("#/components/schemas/", "")];
    return named === undefined
      ? [`${at}: there is no ${schema.$ref}`]
      : misfits(value, named, schemas, `${at}<${schema.$ref.split("/").at(-1)}>`);
  }
  if (schema.oneOf !== undefined) {
    const fitting = schema.oneOf.filter((one) => misfits(value, one, schemas).length === 0);
    return fitting.length === 1
      ? []
      : [`${at}: fits ${fitting.length} of ${schema.oneOf.length}: ${shown(value)}`];
  }
  const wrong = isOfSchema(value, schema) ? [] : [`${at}: ${shown(value)} is not ${JSON.stringify(schema)}`];
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return wrong;
    return [...wrong, ...value.flatMap((item, index) => misfits(item, items, schemas, `${at}[${index}]`))];
  }
  return typeof value === "object" && value !== null
    ? [...wrong, ...misfitsInside(value as Record<string, unknown>, schema, schemas, at)]
    : wrong;
}

function misfitsInside(
  value: Readonly<Record<string, unknown>>,
  schema: Schema,
  schemas: Schemas,
  at: string,
): string[] {
  const { properties = {}, required = [], additionalProperties = true } = schema;
  const missing = required.filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`);
  const inside = Object.entries(value).flatMap(([name, field]) => {
    const known = properties[name];
    if (known !== undefined) return misfits(field, known, schemas, `${at}.${name}`);
    return additionalProperties ? [] : [`${at}.${name} is not documented`];
  });
  return [...missing, ...inside];
}

function isOfSchema(value: unknown, schema: Schema): boolean {
  const { type, pattern, minimum = -Infinity, maximum = Infinity } = schema;
  if ("const" in schema && value !== schema.const) return false;
  if (schema.enum !== undefined && !schema.enum.includes(value)) return false;
  if (type !== undefined && ![type].flat().some((name) => isOfType(value, name))) return false;
  if (typeof value === "string" && pattern !== undefined && !new RegExp(pattern).test(value)) return false;
  if (typeof value === "number" && (value < minimum || value > maximum)) return false;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  const count = Object.keys(value).length;
  return count >= (schema.minProperties ?? 0) && count <= (schema.maxProperties ?? Infinity);
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 200);
}
