// Where everything is: ServiceAccounts around each other within the box of their namespace, and the boxes around each
// other. The same answer gives the same places, and what had a place keeps it as nearly as newcomers allow.

import { forceLink, forceSimulation, forceX, forceY, type SimulationLinkDatum, type SimulationNodeDatum } from "d3-force";
import type { Edge, Graph, Principal } from "./graph.ts";

/** What a principal needs with its name below. */
const CELL = { width: 124, height: 62 };
/** Around the principals of a namespace; above them is its name. */
const MARGIN = { side: 14, top: 34, bottom: 12 };
/** Between two boxes. */
const GAP = 46;
/** Steps of the simulation: enough to settle. */
const STEPS = 160;
/** And then, at most, until nothing overlaps. */
const PUSHES = 400;

export interface Point {
  x: number;
  y: number;
}

export interface Box extends Point {
  width: number;
  height: number;
  /** Absent where a principal has no namespace. */
  namespace: string | undefined;
}

export interface Layout {
  places: Map<string, Point>;
  boxes: Map<string, Box>;
}

export const EMPTY: Layout = { places: new Map(), boxes: new Map() };

interface Body extends SimulationNodeDatum {
  id: string;
  width: number;
  height: number;
}

export function layOut(graph: Graph, before: Layout): Layout {
  const groups = new Map<string, Principal[]>();
  for (const principal of [...graph.principals.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const group = groupOf(principal);
    groups.set(group, [...(groups.get(group) ?? []), principal]);
  }
  const inner = new Map<string, Map<string, Point>>();
  const boxes: Box[] = [];
  for (const [group, members] of groups) {
    const old = before.boxes.get(group);
    const places = arrange(
      members.map(({ id }) => body(id, CELL.width, CELL.height, relative(before.places.get(id), old))),
      links(graph.edges, (edge) => edge.client.id, (edge) => edge.server.id, new Set(members.map(({ id }) => id))),
      0,
    );
    inner.set(group, places);
    boxes.push(boxAround(places, members[0]?.namespace));
  }
  const ids = [...groups.keys()];
  const centres = arrange(
    ids.map((group, index) => {
      const box = boxes[index];
      return body(group, (box?.width ?? 0) + GAP, (box?.height ?? 0) + GAP, before.boxes.get(group));
    }),
    links(graph.edges, (edge) => groupOf(edge.client), (edge) => groupOf(edge.server), new Set(ids)),
    GAP,
  );
  const layout: Layout = { places: new Map(), boxes: new Map() };
  ids.forEach((group, index) => {
    const [box, centre] = [boxes[index], centres.get(group)];
    if (box === undefined || centre === undefined) return;
    layout.boxes.set(group, { ...box, ...centre });
    for (const [id, place] of inner.get(group) ?? []) {
      layout.places.set(id, { x: centre.x + place.x - box.x, y: centre.y + place.y - box.y });
    }
  });
  return layout;
}

/** Namespaces' names have no blanks: nothing else is called like this. */
function groupOf(principal: Principal): string {
  return principal.namespace ?? `principal ${principal.id}`;
}

function relative(place: Point | undefined, box: Box | undefined): Point | undefined {
  return place && box && { x: place.x - box.x, y: place.y - box.y };
}

function body(id: string, width: number, height: number, at: Point | undefined): Body {
  return at === undefined ? { id, width, height } : { id, width, height, x: at.x, y: at.y };
}

function links(edges: Edge[], from: (edge: Edge) => string, to: (edge: Edge) => string, among: Set<string>): SimulationLinkDatum<Body>[] {
  const pairs = new Map<string, SimulationLinkDatum<Body>>();
  for (const edge of edges) {
    const [source, target] = [from(edge), to(edge)].sort();
    if (source === undefined || target === undefined || source === target) continue;
    if (among.has(source) && among.has(target)) pairs.set(`${source}\n${target}`, { source, target });
  }
  return [...pairs.values()];
}

/** Puts bodies near those that they are linked with, and none on another. */
function arrange(bodies: Body[], pairs: SimulationLinkDatum<Body>[], gap: number): Map<string, Point> {
  const side = Math.sqrt(bodies.reduce((area, one) => area + one.width * one.height, 0));
  const simulation = forceSimulation(bodies)
    .force("links", forceLink<Body, SimulationLinkDatum<Body>>(pairs).id((one) => one.id).distance(side / 3 + gap).strength(0.08))
    // Screens are wider than high.
    .force("x", forceX(0).strength(0.04))
    .force("y", forceY(0).strength(0.12))
    .force("apart", () => pushApart(bodies, 0.6))
    .stop()
    .tick(STEPS);
  simulation.nodes().forEach((one) => Object.assign(one, { vx: 0, vy: 0 }));
  for (let step = 0; step < PUSHES && pushApart(bodies, 0.7); step += 1) {
    for (const one of bodies) {
      one.x = (one.x ?? 0) + (one.vx ?? 0);
      one.y = (one.y ?? 0) + (one.vy ?? 0);
      one.vx = one.vy = 0;
    }
  }
  return new Map(bodies.map((one) => [one.id, { x: Math.round(one.x ?? 0), y: Math.round(one.y ?? 0) }]));
}

/** Moves overlapping bodies along the axis on which they overlap less. Answers whether any did. */
function pushApart(bodies: Body[], share: number): boolean {
  const sorted = [...bodies].sort((a, b) => left(a) - left(b));
  let any = false;
  for (let i = 0; i < sorted.length; i += 1) {
    const a = sorted[i];
    for (let j = i + 1; a !== undefined && j < sorted.length; j += 1) {
      const b = sorted[j];
      if (b === undefined || left(b) >= left(a) + a.width) break;
      const dx = (b.x ?? 0) - (a.x ?? 0);
      const dy = (b.y ?? 0) - (a.y ?? 0);
      const overX = (a.width + b.width) / 2 - Math.abs(dx);
      const overY = (a.height + b.height) / 2 - Math.abs(dy);
      if (overX < 0.5 || overY < 0.5) continue;
      any = true;
      if (overX / a.width < overY / a.height) {
        const by = (overX / 2) * share * (dx < 0 ? -1 : 1);
        a.vx = (a.vx ?? 0) - by;
        b.vx = (b.vx ?? 0) + by;
      } else {
        const by = (overY / 2) * share * (dy < 0 ? -1 : 1);
        a.vy = (a.vy ?? 0) - by;
        b.vy = (b.vy ?? 0) + by;
      }
    }
  }
  return any;
}

function left(one: Body): number {
  return (one.x ?? 0) - one.width / 2;
}

function boxAround(places: Map<string, Point>, namespace: string | undefined): Box {
  const xs = [...places.values()].map((place) => place.x);
  const ys = [...places.values()].map((place) => place.y);
  const margin = namespace === undefined ? { side: 0, top: 0, bottom: 0 } : MARGIN;
  const [west, east] = [Math.min(...xs) - CELL.width / 2 - margin.side, Math.max(...xs) + CELL.width / 2 + margin.side];
  const [north, south] = [Math.min(...ys) - CELL.height / 2 - margin.top, Math.max(...ys) + CELL.height / 2 + margin.bottom];
  return { x: (west + east) / 2, y: (north + south) / 2, width: east - west, height: south - north, namespace };
}
