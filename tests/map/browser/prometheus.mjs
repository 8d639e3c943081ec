// A graph of the observer's metrics in Prometheus's own page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, picture, until } from "./chromium.mjs";
import { given, please } from "./observer.mjs";

const ADDRESS = given("ADDRESS");
const EXPRESSION = "sum by (encryption) (observer_flows_total)";

await test("Prometheus draws the flows by encryption", async () => {
  const query = async () => {
    const answer = await fetch(`${ADDRESS}/api/v1/query_range?${new URLSearchParams({
      query: EXPRESSION,
      start: String(Date.now() / 1000 - 60),
      end: String(Date.now() / 1000),
      step: "1",
    })}`);
    const { data } = await answer.json();
    return data.result;
  };
  // Calls while it scrapes, so that there is something to see.
  for (let calls = 0; calls < 6; calls += 1) {
    await please("call");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const series = await until("some samples", async () => {
    const result = await query();
    return result.length >= 3 && result.every((/** @type {any} */ one) => one.values.length >= 6) ? result : undefined;
  }, 20);
  const statuses = series.map((/** @type {any} */ one) => one.metric.encryption).sort();
  const address = `${ADDRESS}/classic/graph?${new URLSearchParams({ "g0.expr": EXPRESSION, "g0.tab": "0", "g0.range_input": "15s", "g0.stacked": "1" })}`;
  await open(address, { viewport: { width: 1000, height: 700 } }, async (page) => {
    const legend = page.locator(".legend");
    await legend.getByText(statuses[0]).waitFor();
    const text = await legend.innerText();
    for (const status of statuses) assert.ok(text.includes(`encryption="${status}"`), text);
    await page.screenshot({ path: picture("prometheus"), fullPage: true });
  }, false);
});
