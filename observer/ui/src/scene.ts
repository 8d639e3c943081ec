// What is on the map now: the graph, where it is, and what of it is shown.

import { clearOf, type Curve, curveOf, distance } from "./curve.ts";
import type { Edge, Graph, Principal } from "./graph.ts";
import { NOBODY } from "./graph.ts";
import { type Box, EMPTY, type Layout, layOut, type Point } from "./layout.ts";

/** More lines are drawn thinner, and their symbols stand where they may. */
const MANY = 600;

export interface Shown {
  edge: Edge;
  curve: Curve;
  /** In the map's units. */
  width: number;
}

export class Scene {
  graph: Graph = NOBODY;
  layout: Layout = EMPTY;
  /** Those that the filter lets through. */
  shown: Shown[] = [];
  /** Principals at their ends. */
  involved = new Set<string>();
  selected: string | undefined;
  hovered: string | undefined;

  /** Takes a new graph; places change only where there are others than before. Answers whether they did. */
  take(graph: Graph): boolean {
    const same =
      graph.principals.size === this.graph.principals.size &&
      [...graph.principals.keys()].every((id) => this.graph.principals.has(id));
    this.graph = graph;
    if (!same) this.layout = layOut(graph, this.layout);
    return !same;
  }

  show(edges: Edge[]): void {
    this.shown = [];
    this.involved = new Set();
    const thin = edges.length > MANY ? 0.5 : 1;
    for (const edge of edges) {
      const curve = curveOf(edge, this.layout);
      if (curve === undefined) continue;
      const clear = edges.length > MANY ? curve : clearOf(curve, this.layout.places.values());
      this.shown.push({ edge, curve: clear, width: widthOf(edge.traffic) * thin });
      this.involved.add(edge.client.id).add(edge.server.id);
    }
  }

  /** What has to be in view to see all that is shown; all there is if nothing is. */
  extent(): { x: number; y: number; width: number; height: number } | undefined {
    const boxes = [...this.layout.boxes.values()];
    const used = boxes.filter((box) => this.inside(box).some((principal) => this.involved.has(principal.id)));
    const around = used.length > 0 ? used : boxes;
    if (around.length === 0) return undefined;
    const west = Math.min(...around.map((box) => box.x - box.width / 2));
    const east = Math.max(...around.map((box) => box.x + box.width / 2));
    const north = Math.min(...around.map((box) => box.y - box.height / 2));
    const south = Math.max(...around.map((box) => box.y + box.height / 2));
    return { x: west, y: north, width: east - west, height: south - north };
  }

  private inside(box: Box): Principal[] {
    return [...this.graph.principals.values()].filter((principal) => {
      const place = this.layout.places.get(principal.id);
      return (
        place !== undefined && Math.abs(place.x - box.x) <= box.width / 2 && Math.abs(place.y - box.y) <= box.height / 2
      );
    });
  }

  edgeAt(point: Point, within: number): Edge | undefined {
    let [nearest, found] = [within, undefined as Edge | undefined];
    for (const { edge, curve, width } of this.shown) {
      const off = distance(curve, point) - width / 2;
      if (off < nearest) [nearest, found] = [off, edge];
    }
    return found;
  }

  principalAt(point: Point, within: number): Principal | undefined {
    for (const [id, place] of this.layout.places) {
      if (Math.hypot(place.x - point.x, place.y - point.y) <= within) return this.graph.principals.get(id);
    }
    return undefined;
  }
}

/** Ten times the traffic is one step thicker. */
function widthOf(traffic: number): number {
  return traffic === 0 ? 1.5 : Math.min(1.5 + Math.log10(traffic) * 1.6, 9);
}
