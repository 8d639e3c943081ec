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
  await ui(socket, async (address) => { await open(address, {}, async (page) => {
    await page.waitForFunction(() => performance.getEntriesByName("map-filled").length > 0);
    await page.waitForTimeout(500);
    await page.screenshot({ path: "/tmp/w/ui-pics/crowd.png" });
    for (let i = 0; i < 5; i++) await page.getByRole("button", { name: "Zoom in" }).click();
    await page.waitForTimeout(500);
    await page.screenshot({ path: "/tmp/w/ui-pics/crowd-near.png" });
  });});
} finally {
  server.close();
  rmSync(directory, { recursive: true });
}
