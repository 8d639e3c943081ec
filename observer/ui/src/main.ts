// Wires the page together.

import type { Coverage } from "./answers.ts";
import { Controls } from "./controls.ts";
import { byId, say } from "./element.ts";
import { Facts } from "./facts.ts";
import { Feed, type News } from "./feed.ts";
import { matches } from "./filter.ts";
import { type Edge, graphOf, titleOf } from "./graph.ts";
import { Scene } from "./scene.ts";
import { Table, worstFirst } from "./table.ts";
import { theme } from "./theme.ts";
import { MEANINGS, VERDICTS } from "./verdict.ts";
import { View } from "./view.ts";
import { counted, moment } from "./words.ts";

const scene = new Scene();
let shown: Edge[] = [];
let meanings: Record<string, string> = {};
/** Where the focus goes when the facts are closed. */
let opener: HTMLElement | undefined;

const canvas = byId("map", HTMLCanvasElement);
const said = byId("said", HTMLElement);
const view = new View(canvas, byId("tip", HTMLElement), byId("legend", HTMLElement), scene, {
  choose: (edge) => choose(edge),
  turn: (by) => {
    const at = shown.findIndex((edge) => edge.id === scene.selected);
    const next = at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length;
    choose(shown[next]);
  },
  openFacts: () => {
    if (scene.selected === undefined) return;
    opener = canvas;
    facts.focus();
  },
  account: (principal) => {
    const filter = controls.filter();
    controls.set({ ...filter, account: filter.account === principal.id ? "" : principal.id });
    filtered();
  },
});
const controls = new Controls(() => filtered());
const table = new Table(byId("table", HTMLElement), (edge, button) => {
  choose(edge);
  opener = button;
  facts.focus();
});
const facts = new Facts(byId("facts", HTMLElement), () => meanings, () => {
  const id = scene.selected;
  choose(undefined);
  const there = opener === canvas ? canvas : id !== undefined ? table.button(id) : undefined;
  there?.focus();
});
const feed = new Feed({
  news: (news) => take(news),
  trouble: (what) => {
    const banner = byId("trouble", HTMLElement);
    banner.hidden = what === "";
    say(banner, what);
  },
  silent: (nodes) => {
    const banner = byId("silent", HTMLElement);
    banner.hidden = nodes.length === 0;
    say(banner, `No answer from ${counted(nodes.length, "node")}: ${nodes.join(", ")}`);
  },
});

byId("fit", HTMLButtonElement).addEventListener("click", () => view.fit());
byId("closer", HTMLButtonElement).addEventListener("click", () => view.scale(1.4));
byId("farther", HTMLButtonElement).addEventListener("click", () => view.scale(1 / 1.4));
theme(() => view.recolour());
void begin();

async function begin(): Promise<void> {
  // What findings mean is told by the same program.
  meanings = await fetch("/meanings.json").then((answer) => answer.json() as Promise<Record<string, string>>);
  await feed.ask();
  // Two frames later the first drawing is on the screen.
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("map-drawn")));
}

function take({ seen, unseen, coverage }: News): void {
  const moved = scene.take(graphOf(seen, unseen));
  controls.offer(scene.graph);
  choosable();
  if (moved) view.fitUnlessMoved();
  view.draw();
  if (coverage !== undefined) say(byId("coverage", HTMLElement), coverageOf(coverage));
  byId("nothing", HTMLElement).hidden = scene.graph.edges.length > 0;
}

/** After the filter or the graph changed. */
function choosable(): void {
  const filter = controls.filter();
  shown = worstFirst(scene.graph.edges.filter((edge) => matches(filter, edge)));
  scene.show(shown);
  const selected = scene.graph.edges.find((edge) => edge.id === scene.selected);
  scene.selected = selected?.id;
  controls.count(shown);
  table.show(shown, scene.selected);
  facts.show(selected);
  if (selected !== undefined) void records(selected);
  say(byId("summary", HTMLElement), summaryOf(shown, scene.graph.edges.length));
}

function filtered(): void {
  choosable();
  view.fit();
  view.draw();
}

function choose(edge: Edge | undefined): void {
  scene.selected = edge?.id;
  facts.show(edge);
  table.show(shown, scene.selected);
  say(said, edge === undefined ? "" : `${titleOf(edge)}: ${[MEANINGS[edge.verdict].word, ...edge.findings].join(", ")}`);
  if (edge !== undefined) {
    void records(edge);
    view.reveal(edge);
  }
  view.draw();
}

async function records(edge: Edge): Promise<void> {
  const pair = scene.graph.edges.filter(({ client, server }) => client === edge.client && server === edge.server);
  try {
    facts.showRecords(edge, await feed.records(edge, pair));
  } catch (error) {
    facts.trouble(edge, error instanceof Error ? error.message : String(error));
  }
}

/** Changes only when an edge comes, goes or gets another verdict: a screen reader reads it aloud. */
function summaryOf(edges: Edge[], all: number): string {
  const parts = VERDICTS.map((verdict) => {
    const n = edges.filter((edge) => edge.verdict === verdict).length;
    return n === 0 ? "" : `${n} ${MEANINGS[verdict].word}`;
  }).filter((part) => part !== "");
  const of = edges.length === all ? "" : ` of ${all}`;
  return `${edges.length}${of} edges${parts.length > 0 ? `: ${parts.join(", ")}` : ""}`;
}

/** A zero is only worth something next to what could not be seen. */
function coverageOf({ since, lost_events, unresolved_flows, truncated_payloads }: Coverage): string {
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, n) => all + n, 0);
  return (
    `Seen since ${moment(since)}. Not seen or not told: ${counted(sum(lost_events), "lost event")}, ` +
    `${counted(sum(unresolved_flows), "unresolved flow")}, ${counted(truncated_payloads, "truncated payload")}.`
  );
}
