// Debian's Chromium over one page. Whatever it asks of anybody but this machine is an error, and so is whatever it
// complains about.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @typedef {import("playwright-core").Page} Page */

/**
 * Opens an address, lets `look` at it, and closes everything. Of somebody else's page, complaints are theirs.
 * @param {string} address
 * @param {import("playwright-core").BrowserContextOptions} options
 * @param {(page: Page) => Promise<void>} look
 */
export async function open(address, options, look, isOurs = true) {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    // Tests run as root, and /dev/shm is small in containers. No name but this machine's means anything.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    const here = new URL(address).origin;
    /** @type {string[]} */
    const wrong = [];
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.origin !== here) wrong.push(`asks ${url.href}`);
    });
    page.on("console", (message) => {
      if (isOurs && message.type() === "error") wrong.push(`complains: ${message.text()}`);
    });
    page.on("pageerror", (error) => {
      if (isOurs) wrong.push(`fails: ${error.stack}`);
    });
    await page.goto(address);
    await look(page);
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
  }
}

/**
 * What axe-core finds wrong with the page as it is now, a line for each.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export async function barriers(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate("axe.run()");
  return violations.map(
    (/** @type {{ id: string, help: string, nodes: { html: string }[] }} */ { id, help, nodes }) =>
      `${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`,
  );
}

/**
 * Waits until `holds` says true, or answers; at most `seconds`.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} holds
 */
export async function until(what, holds, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await holds();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * Where a picture goes: into the repository's documents only if somebody asks for it.
 * @param {string} name
 */
export function picture(name) {
  return `${process.env["PICTURES"]}/${name}.png`;
}
