// The line of an edge: its shape, and how far a point is from it.

import type { Edge } from "./graph.ts";
import type { Layout, Point } from "./layout.ts";

/** A principal's radius. */
export const RADIUS = 11;
/** What a principal and its name need around them. */
const ROOM = 34;
/** Between the lines of two edges of the same two principals. */
const LANE = 16;
/** How far a line bends, as a share of its length: the two directions do not cover each other. */
const BEND = 0.1;

/** A cubic curve. */
export interface Curve {
  from: Point;
  bend: [Point, Point];
  to: Point;
  /** About its middle: where its symbol stands. */
  middle: Point;
  /** Where the arrow points, as a unit vector. */
  heading: Point;
  /** All of it is within. */
  bounds: Bounds;
}

export interface Bounds {
  west: number;
  north: number;
  east: number;
  south: number;
}

export function overlap(a: Bounds, b: Bounds): boolean {
  return a.west <= b.east && a.east >= b.west && a.north <= b.south && a.south >= b.north;
}

export function curveOf(edge: Edge, layout: Layout): Curve | undefined {
  const a = layout.places.get(edge.client.id);
  const b = layout.places.get(edge.server.id);
  if (a === undefined || b === undefined) return undefined;
  return a === b ? loop(a, edge.lane) : between(a, b, edge.lane);
}

function between(a: Point, b: Point, lane: number): Curve {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const off = length * BEND + lane * LANE;
  const knee = (share: number): Point => ({ x: a.x + dx * share + uy * off * 1.33, y: a.y + dy * share - ux * off * 1.33 });
  const bend: [Point, Point] = [knee(0.3), knee(0.7)];
  return finish(edgeOf(a, bend[0], RADIUS), bend, edgeOf(b, bend[1], RADIUS + 3));
}

/** Above the principal. */
function loop(at: Point, lane: number): Curve {
  const [width, height] = [30 + lane * LANE, 52 + lane * LANE];
  const bend: [Point, Point] = [
    { x: at.x - width, y: at.y - height },
    { x: at.x + width, y: at.y - height },
  ];
  return finish(edgeOf(at, bend[0], RADIUS), bend, edgeOf(at, bend[1], RADIUS + 3));
}

/** Where a line that leaves a principal towards a point begins to be seen. */
function edgeOf(at: Point, towards: Point, radius: number): Point {
  const [dx, dy] = [towards.x - at.x, towards.y - at.y];
  const length = Math.hypot(dx, dy) || 1;
  return { x: at.x + (dx / length) * radius, y: at.y + (dy / length) * radius };
}

function finish(from: Point, bend: [Point, Point], to: Point): Curve {
  const [dx, dy] = [to.x - bend[1].x, to.y - bend[1].y];
  const length = Math.hypot(dx, dy) || 1;
  const heading = { x: dx / length, y: dy / length };
  return { from, bend, to, middle: at({ from, bend, to }, 0.5), heading, bounds: boundsOf([from, ...bend, to]) };
}

function boundsOf(points: Point[]): Bounds {
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  return { west: Math.min(...xs), north: Math.min(...ys), east: Math.max(...xs), south: Math.max(...ys) };
}

/** Where a line's symbol covers no principal and no name, if there is such a place about its middle. */
export function clearOf(curve: Curve, places: Iterable<Point>): Curve {
  const near = [...places].filter((place) => Math.hypot(place.x - curve.middle.x, place.y - curve.middle.y) < ROOM * 4);
  const isClear = (spot: Point) => near.every((place) => Math.hypot(place.x - spot.x, (place.y + 10 - spot.y) * 1.2) > ROOM);
  const spots = [0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73].map((t) => at(curve, t));
  return { ...curve, middle: spots.find(isClear) ?? curve.middle };
}

function at({ from, bend: [one, two], to }: Pick<Curve, "from" | "bend" | "to">, t: number): Point {
  const s = 1 - t;
  const mix = (a: number, b: number, c: number, d: number) => s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d;
  return { x: mix(from.x, one.x, two.x, to.x), y: mix(from.y, one.y, two.y, to.y) };
}

/** The distance of a point, as nearly as clicks need it. */
export function distance(curve: Curve, point: Point): number {
  const PIECES = 16;
  let [nearest, last] = [Infinity, curve.from];
  for (let piece = 1; piece <= PIECES; piece += 1) {
    const next = at(curve, piece / PIECES);
    nearest = Math.min(nearest, toSegment(point, last, next));
    last = next;
  }
  return nearest;
}

function toSegment(point: Point, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const along = ((point.x - a.x) * dx + (point.y - a.y) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.max(0, Math.min(1, along));
  return Math.hypot(point.x - a.x - dx * share, point.y - a.y - dy * share);
}
