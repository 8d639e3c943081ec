// A daemon's socket with 500 principals and 3,000 edges behind it, some of them with hostile names.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { test } from "node:test";
import { open } from "./chromium.mjs";
import { ui } from "./observer.mjs";

const PRINCIPALS = 500;
const EDGES = 3000;
const HOSTILE = `<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>`;

/** The same numbers every time: a linear congruential generator (Numerical Recipes). */
let state = 1;
const random = (/** @type {number} */ below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

function end(/** @type {number} */ n) {
  // Namespaces of different sizes.
  const namespace = `team-${Math.floor(Math.sqrt(n * 2))}`;
  const name = n === 7 ? HOSTILE : `service-${n}`;
  return { principal: `${namespace}/${name}`, kind: "pod", namespace, service_account: name };
}

const edges = new Map();
while (edges.size < EDGES) {
  // Most calls stay near.
  const from = random(PRINCIPALS);
  const to = edges.size < PRINCIPALS ? edges.size : random(20) > 0 ? Math.min(PRINCIPALS - 1, from + random(20)) : random(PRINCIPALS);
  const port = 8000 + random(5);
  const flows = 1 + random(10 ** random(6));
  const kind = ["fine", "plaintext", "unauthenticated", "unexpected", "unknown", "fine", "fine"][random(7)];
  const client = end(from);
  const server = end(to);
  edges.set(`${client.principal} ${server.principal} ${port}`, {
    client,
    server,
    port,
    transport: "tcp",
    flows,
    requests: { total: 0, none: 0, present: 0, verified: 0, invalid: 0, unknown: 0, rejected: 0 },
    encryption: { plaintext: kind === "plaintext" ? flows : 0, tls: kind === "unknown" || kind === "plaintext" ? 0 : flows, mtls: 0, unknown: kind === "unknown" ? flows : 0 },
    declaration: { allowed: flows, unexpected: 0, ungoverned: 0, unevaluable: 0 },
    findings:
      kind === "plaintext" ? { unencrypted: flows } : kind === "unauthenticated" || kind === "unexpected" ? { [kind]: flows } : {},
    first_seen: "2026-01-01T00:00:00Z",
    last_seen: "2026-01-01T00:00:01Z",
  });
}
const answers = {
  edges: [...edges.values()],
  observed: [...edges.values()].map((edge) => ({ edge, clients: {}, servers: {} })),
  declared: [],
  flows: [],
  coverage: [{ since: "2026-01-01T00:00:00Z", lost_events: {}, unresolved_flows: {}, truncated_payloads: 0 }],
};

/**
 * @param {(one: number, other: number) => boolean} isBetter
 * @param {(found: number) => boolean} willDo
 * @param {() => Promise<number>} measure
 */
async function best(isBetter, willDo, measure) {
  let found = await measure();
  for (let more = 0; more < 2 && !willDo(found); more += 1) {
    const other = await measure();
    if (isBetter(other, found)) found = other;
  }
  return found;
}

/** After how many milliseconds all of it is there. */
async function drawn(/** @type {string} */ address) {
  let after = Infinity;
  await open(address, {}, async (page) => {
    await page.waitForFunction(() => performance.getEntriesByName("map-drawn").length > 0);
    after = await page.evaluate(() => performance.getEntriesByName("map-drawn")[0]?.startTime ?? Infinity);
    assert.match(await page.locator("#summary").innerText(), new RegExp(`^${EDGES} edges`));
  });
  return after;
}

/** How many frames a second come while a hand moves the map: all in view, or nearer. */
async function moved(/** @type {string} */ address, /** @type {number} */ nearer) {
  let rate = 0;
  await open(address, {}, async (page) => {
    await page.waitForFunction(() => performance.getEntriesByName("map-drawn").length > 0);
    const box = await page.locator("#map").boundingBox();
    assert.ok(box);
    for (let press = 0; press < nearer; press += 1) await page.getByRole("button", { name: "Zoom in" }).click();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.move(x, y);
    await page.mouse.down();
    const frames = page.evaluate(
      () =>
        new Promise((resolve) => {
          const start = performance.now();
          let frames = 0;
          const frame = (/** @type {number} */ now) => {
            frames += 1;
            if (now - start < 2000) requestAnimationFrame(frame);
            else resolve((frames * 1000) / (now - start));
          };
          requestAnimationFrame(frame);
        }),
    );
    const end = Date.now() + 2000;
    for (let step = 0; Date.now() < end; step += 1) {
      await page.mouse.move(x + Math.sin(step / 15) * 200, y + Math.cos(step / 15) * 120);
      await new Promise((resolve) => setTimeout(resolve, 8));
    }
    rate = Number(await frames);
    await page.mouse.up();
  });
  return rate;
}

const directory = mkdtempSync(`${tmpdir()}/observer-crowd-`);
const socket = `${directory}/observer.sock`;
const server = createServer((client) => {
  client.write('{"protocol":2,"version":"test"}\n');
  client.on("error", () => {});
  client.once("data", (data) => {
    const request = JSON.parse(String(data));
    const name = /** @type {keyof typeof answers} */ (typeof request === "string" ? request : Object.keys(request)[0]);
    const lines = answers[name].map((/** @type {unknown} */ line) => `${JSON.stringify(line)}\n`);
    client.end(`${lines.join("")}{"end":${lines.length}}\n`);
  });
});
await new Promise((resolve) => server.listen(socket, () => resolve(undefined)));

try {
  await ui(socket, async (address) => {
    await test(`${PRINCIPALS} principals with ${EDGES} edges are drawn within 2 s and moved at 30 frames a second`, async () => {
      // Somebody else may have the CPU for a while: the best of three counts.
      const filled = await best((one, other) => one < other, (found) => found < 2000, () => drawn(address));
      for (const nearer of [0, 3]) {
        const rate = await best((one, other) => one > other, (found) => found >= 30, () => moved(address, nearer));
        console.log(`drawn after ${Math.round(filled)} ms; moved at ${Math.round(rate)} frames a second, ${nearer} steps nearer`);
        assert.ok(rate >= 30, `${rate} frames a second, ${nearer} steps nearer`);
      }
      assert.ok(filled < 2000, `${filled} ms`);
    });

    await test("an object's name is text, whatever is in it", async () => {
      await open(address, {}, async (page) => {
        await page.locator("#search").fill("onerror");
        const cell = page.locator("#edges tbody td", { hasText: "onerror" }).first();
        await cell.waitFor();
        assert.ok((await cell.innerText()).endsWith(HOSTILE));
        await page.locator("#edges button").first().click();
        assert.ok((await page.locator("#facts h2").innerText()).includes(HOSTILE));
        assert.equal(await page.locator("img, main script").count(), 0);
        assert.equal(await page.title(), "Observer");
      });
    });

    await test("an observer that went away is told, and one that comes back is heard", async () => {
      await assert.rejects(
        open(address, {}, async (page) => {
          await page.locator("#edges tbody tr").first().waitFor();
          const all = answers.edges;
          server.close();
          const trouble = page.getByRole("alert");
          await trouble.filter({ hasText: "no observer answers" }).waitFor();
          assert.ok((await page.locator("#edges tbody tr").count()) > 0, "what was seen stays");
          answers.edges = all.slice(0, 5);
          await new Promise((resolve) => server.listen(socket, () => resolve(undefined)));
          await page.locator("#summary", { hasText: /^5 edges/ }).waitFor();
          assert.ok(await trouble.isHidden());
          answers.edges = all;
        }),
        (/** @type {any} */ error) => error.actual?.every((/** @type {string} */ line) => line.includes("502")) ?? false,
      );
    });
  });
} finally {
  server.close();
  rmSync(directory, { recursive: true });
}
