/** A caller's requests by their ids: the same as a Map would tell, whatever comes and goes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { RequestTable } from "../../src/router/request-table.js";

interface Numbered {
  readonly requestId: number;
}

test("finds what was added and not deleted, and nothing else, in bursts of any size", () => {
  const burst = fc.record({ adds: fc.nat(1500), deletes: fc.nat(1500), fromEnd: fc.boolean() });
  fc.assert(
    fc.property(fc.array(burst, { maxLength: 12 }), fc.nat(0xffff_ffff), (bursts, lastId) => {
      const table = new RequestTable<Numbered>(lastId);
      const model = new Map<number, Numbered>();
      for (const { adds, deletes, fromEnd } of bursts) {
        for (let count = 0; count < adds; count++) {
          const request = { requestId: table.takeId() };
          expect(model.has(request.requestId)).toBe(false);
          table.add(request);
          model.set(request.requestId, request);
        }
        const ids = [...model.keys()];
        for (const id of fromEnd ? ids.slice(-deletes) : ids.slice(0, deletes)) {
          table.delete(id);
          table.delete(id);
          model.delete(id);
          expect(table.get(id)).toBeUndefined();
        }
        expect(table.size).toBe(model.size);
        for (const [id, request] of model) expect(table.get(id)).toBe(request);
        expect(new Set(table.all())).toEqual(new Set(model.values()));
      }
    }),
    { numRuns: 50 },
  );
});

test("an id comes again only after all others, and not while its request is there", () => {
  const table = new RequestTable<Numbered>(0xffff_fffe);
  const ids: number[] = [];
  for (let count = 0; count < 3; count++) {
    const requestId = table.takeId();
    ids.push(requestId);
    table.add({ requestId });
  }
  expect(ids).toEqual([0xffff_ffff, 0, 1]);
  table.delete(0);
  const next = table.takeId();
  expect(next).toBe(2);
});
