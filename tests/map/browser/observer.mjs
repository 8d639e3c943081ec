// The observer under test, and what its other commands say.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { existsSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { until } from "./chromium.mjs";

const OBSERVER = given("OBSERVER_BIN");

/** @param {string} name */
export function given(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run this through \`cargo xtask test --only ui\``);
  return value;
}

/**
 * The objects that a command prints.
 * @param {string} socket
 * @param {string[]} words
 * @returns {Promise<any[]>}
 */
export async function ask(socket, ...words) {
  const { stdout } = await promisify(execFile)(OBSERVER, [...words, "-o", "json", "--socket", socket], { maxBuffer: 1 << 28 })
    // `graph diff` exits with 1 where something differs.
    .catch((error) => (error.code === 1 && words[0] === "graph" ? error : Promise.reject(error)));
  return stdout.split("\n").filter((/** @type {string} */ line) => line !== "").map((/** @type {string} */ line) => JSON.parse(line));
}

/**
 * Runs `observer ui` while `look` has its address.
 * @param {string} socket
 * @param {(address: string) => Promise<void>} look
 */
export async function ui(socket, look) {
  const running = spawn(OBSERVER, ["ui", "--socket", socket], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => running.on("exit", (code) => resolve(code)));
  try {
    const lines = createInterface({ input: running.stdout });
    const [address] = await Promise.race([
      new Promise((resolve) => lines.once("line", (line) => resolve([line]))),
      ended.then((code) => Promise.reject(new Error(`\`observer ui\` ended with ${code}`))),
    ]);
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/#[0-9a-f]{32}$/);
    await look(address);
  } finally {
    running.kill("SIGTERM");
    assert.equal(await ended, 0, "`observer ui` ends well when it is told to");
  }
}

/**
 * Has the test that started this do something, and waits until it is done.
 * @param {string} what
 */
export async function please(what) {
  const file = given("PLEASE");
  writeFileSync(file, what);
  await until(`${what} is done`, async () => !existsSync(file), 20);
}
