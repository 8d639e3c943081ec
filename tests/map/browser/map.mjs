// The page, over a real daemon and real traffic.

import assert from "node:assert/strict";
import { test } from "node:test";
import { barriers, open, picture, until } from "./chromium.mjs";
import { ask, given, please, ui } from "./observer.mjs";

const SOCKET = given("SOCKET");

/** @typedef {import("playwright-core").Page} Page */

/**
 * What the page's table says, a row for each edge.
 * @param {Page} page
 * @returns {Promise<string[][]>}
 */
function rows(page) {
  return page.locator("#edges tbody tr").evaluateAll((rows) =>
    rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.innerText.replace(/\s+/g, " ").trim())),
  );
}

/**
 * @param {string} address
 * @param {(page: Page) => Promise<void>} look
 * @param {import("playwright-core").BrowserContextOptions} options
 */
async function filled(address, look, options = {}) {
  await open(address, { locale: "en-GB", timezoneId: "UTC", ...options }, async (page) => {
    await page.locator("#edges tbody tr").first().waitFor();
    await look(page);
  });
}

/**
 * Whether a line in the colour of a verdict passes within a few pixels of a place on the map.
 * @param {Page} page
 * @param {string} word the last of the verdict's words
 * @param {number} x
 * @param {number} y
 */
function isDrawn(page, word, x, y) {
  const verdict = { finding: "finding", seen: "unseen" }[word] ?? word;
  return page.evaluate(
    async ({ verdict, x, y }) => {
      // What the pointer is at is drawn in its full colour in the next frame.
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const colour = getComputedStyle(document.documentElement).getPropertyValue(`--${verdict}`).trim();
      const wanted = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
      const map = /** @type {HTMLCanvasElement} */ (document.getElementById("map"));
      const around = map.getContext("2d")?.getImageData(x - 12, y - 12, 24, 24).data ?? [];
      for (let at = 0; at < around.length; at += 4) {
        if (wanted.every((one, channel) => Math.abs(one - (around[at + channel] ?? 0)) < 8)) return true;
      }
      return false;
    },
    { verdict, x, y },
  );
}

/** `none 3, verified 9` of the counts of an answer. */
function counts(/** @type {Record<string, number>} */ all, /** @type {string[]} */ ...words) {
  return words.filter((word) => (all[word] ?? 0) > 0).map((word) => `${word} ${all[word]}`).join(", ") || "-";
}

/** The row that an object of `observer edges -o json` should have; without its verdict and time. */
function wanted(/** @type {any} */ edge) {
  return [
    edge.client.principal,
    edge.server.principal,
    `${edge.port}/${edge.transport}`,
    String(edge.flows),
    counts(edge.requests, "none", "present", "verified", "invalid", "unknown"),
    counts(edge.encryption, "plaintext", "tls", "mtls", "unknown"),
    counts(edge.declaration, "allowed", "unexpected", "ungoverned", "unevaluable"),
    Object.keys(edge.findings).join(", ") || "-",
  ].join(" | ");
}

const told = (/** @type {string[]} */ row) => [...row.slice(0, 3), ...row.slice(4, 9)].join(" | ");
const isSeen = (/** @type {string[]} */ row) => row[9] !== "not seen";

await ui(SOCKET, async (address) => {
  await test("the page says what `observer edges -o json` says", async () => {
    await filled(address, async (page) => {
      const edges = await ask(SOCKET, "edges");
      assert.ok(edges.length >= 8, `${edges.length} edges`);
      const seen = (await rows(page)).filter(isSeen);
      assert.deepEqual(seen.map(told).sort(), edges.map(wanted).sort());
      for (const [kind, verdict] of [
        ["unencrypted", "plaintext"],
        ["unauthenticated", "unauthenticated"],
        ["unexpected", "unexpected"],
      ]) {
        const having = seen.filter((row) => row[8]?.includes(kind ?? ""));
        assert.ok(having.length > 0, kind);
        // The worst is told: plaintext before the others.
        const better = kind === "unencrypted" ? [] : ["plaintext", "unauthenticated"];
        for (const row of having) assert.ok([verdict, ...better].some((word) => row[3]?.endsWith(word ?? "")), row.join());
      }
      for (const row of seen.filter((row) => row[8] === "-")) assert.match(row[3] ?? "", /fine|unknown/);
      const of = (/** @type {string} */ verdict) => seen.filter((row) => row[3]?.endsWith(verdict)).length;
      for (const verdict of ["plaintext", "fine", "unknown"]) {
        assert.ok(of(verdict) > 0, verdict);
        assert.match(await page.locator(`#legend [data-verdict=${verdict}]`).innerText(), new RegExp(`${verdict} ${of(verdict)}$`));
      }
    });
  });

  await test("what is declared and was not seen is there as `observer graph diff` tells it", async () => {
    await filled(address, async (page) => {
      const stale = (await ask(SOCKET, "graph", "diff")).filter((row) => row.difference === "stale");
      assert.ok(stale.length >= 2, JSON.stringify(stale));
      const unseen = (await rows(page)).filter((row) => !isSeen(row));
      assert.deepEqual(
        unseen.map((row) => row.slice(0, 3).join(" ")).sort(),
        stale.map(({ client, server, ports }) => `${client} ${server} ${ports.join(",") || "any"}`).sort(),
      );
      await page.getByRole("button", { name: "shop/cart → shop/payments" }).click();
      assert.match(await page.locator("#facts").innerText(), /ServiceGraph shop\/shop, spec\.edges\[\d+\]/);
    });
  });

  await test("filters and search leave the edges that they name", async () => {
    await filled(address, async (page) => {
      const all = await rows(page);
      const chosen = async (/** @type {(row: string[]) => boolean} */ choice, /** @type {string} */ what) => {
        const left = await rows(page);
        assert.deepEqual(left, all.filter(choice), what);
        assert.ok(left.length > 0 && left.length < all.length, `${what}: ${left.length} of ${all.length}`);
        assert.match(await page.locator("#summary").innerText(), new RegExp(`^${left.length} of ${all.length} edges`));
        await page.getByRole("button", { name: "Clear" }).click();
      };
      const ends = (/** @type {string[]} */ row) => [row[0] ?? "", row[1] ?? ""];
      await page.locator("#namespace").selectOption("bank");
      await chosen((row) => ends(row).some((end) => end.startsWith("bank/")), "namespace");
      await page.locator("#account").selectOption("shop/orders");
      await chosen((row) => ends(row).includes("shop/orders"), "account");
      await page.locator("#finding").selectOption("unauthenticated");
      await chosen((row) => row[8]?.includes("unauthenticated") ?? false, "finding");
      await page.locator("#finding").selectOption("none");
      await chosen((row) => row[8] === "-", "no finding");
      await page.locator("#encryption").selectOption("mtls");
      await chosen((row) => row[6]?.includes("mtls") ?? false, "encryption");
      await page.locator("#declared").selectOption("unexpected");
      await chosen((row) => row[7]?.includes("unexpected") ?? false, "declared");
      await page.locator("#declared").selectOption("unseen");
      await chosen((row) => !isSeen(row), "unseen");
      await page.locator("#search").fill("ORDERS 8443");
      await chosen((row) => ends(row).includes("shop/orders") && (row[2]?.startsWith("8443") ?? false), "search");
    });
  });

  await test("keys alone lead to an edge's facts and records, and back", async () => {
    await filled(address, async (page) => {
      const active = () => page.evaluate(() => document.activeElement?.id);
      for (let tabs = 0; (await active()) !== "map"; tabs += 1) {
        assert.ok(tabs < 20, "Tab does not lead to the map");
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press("n");
      await page.keyboard.press("n");
      await page.keyboard.press("p");
      const said = await page.locator("#said").innerText();
      const first = (await rows(page))[0] ?? [];
      assert.ok(said.startsWith(`${first[0]} → ${first[1]}, port ${first[2]}: `), said);
      await page.keyboard.press("Enter");
      assert.equal(await active(), "facts-heading");
      const [port, transport] = (first[2] ?? "").split("/");
      const edge = ["--from", first[0] ?? "", "--to", first[1] ?? "", "--port", port ?? "", "--transport", transport ?? ""];
      const records = await ask(SOCKET, "flows", "--last", "50", ...edge);
      assert.ok(records.length > 0);
      const whole = page.locator("#facts pre");
      await until("the records come", async () => (await whole.count()) === records.length);
      const shown = (await whole.allTextContents()).map((text) => JSON.parse(text));
      assert.deepEqual(shown, records.reverse());
      const facts = await page.locator("#facts").innerText();
      for (const kind of (first[8] ?? "").split(", ")) assert.ok(facts.includes(kind), kind);
      await page.keyboard.press("Escape");
      assert.equal(await active(), "map");
      assert.ok(await page.locator("#facts").isHidden());
      // The table does the same.
      await page.locator("#edges button").first().focus();
      await page.keyboard.press("Enter");
      assert.equal(await active(), "facts-heading");
      await page.keyboard.press("Escape");
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), first[0]);
      await page.keyboard.press("/");
      assert.equal(await active(), "search");
    });
  });

  await test("a click on a line opens the edge that is drawn there", async () => {
    await filled(address, async (page) => {
      const box = await page.locator("#map").boundingBox();
      assert.ok(box);
      const tip = page.locator("#tip");
      const opened = new Set();
      const all = await rows(page);
      for (let step = 0; step < 200 && opened.size < 3; step += 1) {
        const [x, y] = [box.x + ((step * 37) % 100) * 0.01 * box.width, box.y + ((step * 61) % 100) * 0.008 * box.height];
        await page.mouse.move(x, y);
        const text = (await tip.textContent()) ?? "";
        if (!text.includes(" → ")) continue;
        const [client, , server, port] = text.split(" ");
        const row = all.find((row) => row[0] === client && row[1] === server && `:${row[2]?.split("/")[0]}` === port) ?? [];
        // A name may lie over it just there.
        const word = /(plaintext|unauthenticated|unexpected|finding|unknown|fine|seen)$/.exec(row[3] ?? "")?.[1];
        assert.ok(word, text);
        if (!(await isDrawn(page, word, x - box.x, y - box.y))) continue;
        await page.mouse.click(x, y);
        const heading = await page.locator("#facts h2").innerText();
        assert.equal(heading.replace(/, port ([^/]*).*/, " :$1"), text.split(" ").slice(0, 4).join(" "));
        opened.add(heading);
        await page.keyboard.press("Escape");
        assert.ok(await page.locator("#facts").isHidden());
        // The map has its whole width again, and fits itself into it.
        await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 200)));
      }
      assert.ok(opened.size >= 3, `${opened.size} lines were found where they are drawn`);
    });
  });

  await test("a call that happens now appears without a reload", async () => {
    await filled(address, async (page) => {
      const before = await rows(page);
      await page.evaluate(() => document.body.setAttribute("data-loaded", "once"));
      const isIt = (/** @type {string[]} */ row) => row[0] === "web/frontend" && row[1] === "bank/ledger";
      assert.ok(!before.some(isIt));
      await please("call");
      await until("the edge appears", async () => (await rows(page)).some(isIt));
      assert.equal(await page.getAttribute("body", "data-loaded"), "once");
      assert.equal((await rows(page)).length, before.length + 1);
    });
  });

  await test("nothing stands in the way of those who use it otherwise, in light and in dark", async () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      await filled(
        address,
        async (page) => {
          assert.deepEqual(await barriers(page), [], colorScheme);
          await page.locator("#edges button").first().click();
          await page.locator("#facts details").first().waitFor();
          await page.locator("#facts summary").first().click();
          assert.deepEqual(await barriers(page), [], `${colorScheme}, with facts`);
        },
        { colorScheme },
      );
    }
  });

  await test("it is dark where the system is, and as one wants it after that", async () => {
    const isDark = async (/** @type {Page} */ page) => {
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const sum = (ground.match(/\d+/g) ?? []).reduce((all, n) => all + Number(n), 0);
      // The canvas has the same ground as the page around it.
      const drawn = await page.evaluate(async () => {
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        const map = /** @type {HTMLCanvasElement} */ (document.getElementById("map"));
        return [...(map.getContext("2d")?.getImageData(2, 2, 1, 1).data ?? [])].slice(0, 3).join(", ");
      });
      assert.equal(`rgb(${drawn})`, ground);
      return sum < 200;
    };
    await filled(
      address,
      async (page) => {
        assert.ok(await isDark(page));
        await page.getByRole("button", { name: "Dark" }).click();
        assert.ok(!(await isDark(page)));
        await page.reload();
        await page.locator("#edges tbody tr").first().waitFor();
        assert.ok(!(await isDark(page)));
        await page.emulateMedia({ colorScheme: "light" });
        assert.ok(!(await isDark(page)));
      },
      { colorScheme: "dark" },
    );
  });

  await test("pictures for the documents", async () => {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      await filled(
        address,
        async (page) => {
          await page.getByRole("button", { name: "web/frontend → shop/orders" }).first().click();
          await page.locator("#facts details").first().waitFor();
          await page.getByRole("button", { name: "Show all" }).click();
          await page.mouse.move(2, 2);
          await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
          await page.screenshot({ path: picture(`map-${colorScheme}`) });
        },
        { colorScheme, viewport: { width: 1120, height: 720 } },
      );
    }
  });

  await test("without its token the page says what is missing, and shows nothing", async () => {
    const bare = address.replace(/#.*/, "");
    for (const path of ["", "meanings.json"]) assert.equal((await fetch(bare + path)).status, 200);
    const refused = await fetch(`${bare}ask`, { method: "POST", body: '{"edges":{}}', headers: { "observer-token": "0" } });
    assert.equal(refused.status, 403);
    const spoiled = `${bare}#${"0".repeat(32)}`;
    await assert.rejects(
      open(spoiled, {}, async (page) => {
        await page.getByRole("alert").filter({ hasText: "`observer ui` printed" }).waitFor();
        assert.equal(await page.locator("#edges tbody tr").count(), 0);
      }),
      // Chromium complains about the status, and about nothing else.
      (/** @type {any} */ error) => error.actual?.every((/** @type {string} */ line) => line.includes("403")) ?? false,
    );
  });
});
