/**
 * Keeps the layer table of ARCHITECTURE.md true: what each folder may import, types included, and who may import the libraries.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = process.cwd();

/** The table as it stands in ARCHITECTURE.md: folder → folders below it, and the packages that only it may import. */
function readTable(): Map<string, { below: string[]; packages: string[] }> {
  const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
  const section = text.split("## The layers")[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return new Map(
    rows.map((line) => {
      const [, folder = "", below = "", packages = ""] = line.split("|").map((cell) => cell.trim());
      return [names(folder)[0]!, { below: names(below), packages: names(packages) }];
    }),
  );
}

function names(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

interface Import {
  readonly file: string;
  readonly folder: string;
  readonly target: string;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The folder below src (or `workers`) that a file belongs to; files at the top of src are `errors`, `limits`, `clock`, `index`. */
function folderOf(file: string): string {
  const [top = "", second = ""] = relative(ROOT, file).split("/");
  return top === "src" ? second.replace(/\.(ts|js)$/, "") : top;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8");
  const specifiers = [...text.matchAll(/(?:^|\n)(?:import|export)\s[^;]*?from\s+"([^"]+)"/g)].map(
    (match) => match[1]!,
  );
  return specifiers.map((specifier) => ({
    file: relative(ROOT, file),
    folder: folderOf(file),
    target: specifier.startsWith(".") ? folderOf(resolve(dirname(file), specifier)) : specifier,
  }));
}

describe("the layers", () => {
  const table = readTable();
  const imports = [...sourceFiles("src"), ...sourceFiles("workers")].flatMap(importsOf);

  it("has a row for every folder, and no row without one", () => {
    const folders = new Set(imports.map(({ folder }) => folder));
    for (const file of [...sourceFiles("src"), ...sourceFiles("workers")]) folders.add(folderOf(file));
    expect([...table.keys()].sort()).toEqual([...folders].sort());
  });

  it("imports only from layers below", () => {
    const upward = imports.filter(({ folder, target }) => {
      const isLibrary = !table.has(target);
      return !isLibrary && target !== folder && !table.get(folder)?.below.includes(target);
    });
    expect(upward).toEqual([]);
  });

  it("imports each library in one folder only", () => {
    const libraries = imports.filter(({ target }) => !table.has(target) && !target.startsWith("node:"));
    const strays = libraries.filter(({ folder, target }) => !table.get(folder)?.packages.includes(target));
    expect(strays).toEqual([]);
    expect(new Set(libraries.map(({ target }) => target))).toEqual(
      new Set(["commander", "lmdb", "pbf", "piscina"]),
    );
  });

  it("has no circles", () => {
    for (const [folder, { below }] of table) {
      for (const lower of below)
        expect(table.get(lower)?.below ?? [], `${folder} and ${lower}`).not.toContain(folder);
    }
  });
});
