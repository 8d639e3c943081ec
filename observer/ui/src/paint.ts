// Draws the scene.

import { type Bounds, overlap, RADIUS } from "./curve.ts";
import type { Principal } from "./graph.ts";
import type { Point } from "./layout.ts";
import type { Scene, Shown } from "./scene.ts";
import { MEANINGS, VERDICTS, type Verdict } from "./verdict.ts";

export interface Transform {
  x: number;
  y: number;
  k: number;
}

/** The page's colours, from its style sheet. */
export interface Colours {
  verdict: Record<Verdict, string>;
  text: string;
  faint: string;
  ground: string;
  box: string;
  line: string;
  principal: string;
  mark: string;
}

export function coloursOf(root: Element): Colours {
  const style = getComputedStyle(root);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const verdict = Object.fromEntries(VERDICTS.map((one) => [one, colour(one)])) as Record<Verdict, string>;
  return {
    verdict,
    text: colour("text"),
    faint: colour("faint"),
    ground: colour("ground"),
    box: colour("box"),
    line: colour("line"),
    principal: colour("principal"),
    mark: colour("mark"),
  };
}

const FONT = "system-ui, sans-serif";
/** Half of the longest name. */
const NAME = 60;
/** Names of principals are drawn from this scale on. */
const NAMES_FROM = 0.5;
/** Symbols on so many lines at most, unless one comes near. */
const SYMBOLS = 250;
const SYMBOLS_FROM = 0.35;
const NEAR = 1.1;
const DASHES = [7, 6];
/** Beside a chosen line; and where there are many lines, those that need nobody's attention. */
const FADED = 0.25;
const MANY = 400;

export function paint(canvas: HTMLCanvasElement, scene: Scene, { x, y, k }: Transform, colours: Colours): void {
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) return;
  const ratio = canvas.width / Math.max(canvas.clientWidth, 1);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  context.setTransform(ratio * k, 0, 0, ratio * k, ratio * x, ratio * y);
  const view = { west: -x / k, north: -y / k, east: (canvas.clientWidth - x) / k, south: (canvas.clientHeight - y) / k };
  const visible = scene.shown.filter(({ curve }) => overlap(curve.bounds, view));
  boxes(context, scene, k, colours);
  const marked = visible.filter(({ edge }) => edge.id === scene.selected || edge.id === scene.hovered);
  lines(context, visible, marked.some(({ edge }) => edge.id === scene.selected) ? FADED : 0.85, k, colours);
  halo(context, marked, k, colours);
  lines(context, marked, 1, k, colours);
  principals(context, scene, view, k, colours);
  if (k >= SYMBOLS_FROM && (visible.length <= SYMBOLS || k >= NEAR)) symbols(context, visible, k, colours);
}

function boxes(context: CanvasRenderingContext2D, scene: Scene, k: number, colours: Colours): void {
  context.lineWidth = 1 / k;
  context.fillStyle = colours.box;
  context.strokeStyle = colours.line;
  for (const box of scene.layout.boxes.values()) {
    if (box.namespace === undefined) continue;
    context.beginPath();
    context.roundRect(box.x - box.width / 2, box.y - box.height / 2, box.width, box.height, 10);
    context.fill();
    context.stroke();
  }
  // Names stay readable from afar, as far as their boxes are wide enough.
  const size = Math.min(Math.max(14, 11 / k), 60);
  context.font = `600 ${size}px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillStyle = colours.faint;
  for (const box of scene.layout.boxes.values()) {
    if (box.namespace === undefined) continue;
    context.fillText(box.namespace, box.x - box.width / 2 + 12, box.y - box.height / 2 + 9, Math.max(box.width - 24, 20));
  }
}

/** The worst on top. One path for all lines that look alike: that is what makes thousands of them quick. */
function lines(context: CanvasRenderingContext2D, shown: Shown[], alpha: number, k: number, colours: Colours): void {
  const alike = new Map<string, Shown[]>();
  for (const one of shown) {
    const look = `${VERDICTS.indexOf(one.edge.verdict)} ${Math.round(one.width * 2)}`;
    const others = alike.get(look);
    if (others === undefined) alike.set(look, [one]);
    else others.push(one);
  }
  for (const [, some] of [...alike].sort(([a], [b]) => Number.parseInt(b) - Number.parseInt(a))) {
    const first = some[0];
    if (first === undefined) continue;
    const { verdict } = first.edge;
    context.globalAlpha = shown.length > MANY && (verdict === "fine" || verdict === "unseen") ? Math.min(alpha, FADED) : alpha;
    context.strokeStyle = context.fillStyle = colours.verdict[verdict];
    context.lineWidth = Math.max(first.width, 1 / k);
    context.setLineDash(verdict === "unseen" ? DASHES : []);
    context.beginPath();
    for (const { curve } of some) {
      context.moveTo(curve.from.x, curve.from.y);
      context.bezierCurveTo(curve.bend[0].x, curve.bend[0].y, curve.bend[1].x, curve.bend[1].y, curve.to.x, curve.to.y);
    }
    context.stroke();
    if (k < 0.2) continue;
    context.beginPath();
    for (const { curve, width } of some) arrow(context, curve.to, curve.heading, 7 + width);
    context.fill();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function arrow(context: CanvasRenderingContext2D, tip: Point, { x, y }: Point, size: number): void {
  const [bx, by] = [tip.x - x * size, tip.y - y * size];
  context.moveTo(tip.x + x * 2, tip.y + y * 2);
  context.lineTo(bx - y * size * 0.5, by + x * size * 0.5);
  context.lineTo(bx + y * size * 0.5, by - x * size * 0.5);
  context.closePath();
}

function halo(context: CanvasRenderingContext2D, shown: Shown[], k: number, colours: Colours): void {
  context.strokeStyle = colours.mark;
  context.globalAlpha = 0.35;
  for (const { curve, width } of shown) {
    context.lineWidth = width + 9 / Math.min(k, 1);
    context.beginPath();
    context.moveTo(curve.from.x, curve.from.y);
    context.bezierCurveTo(curve.bend[0].x, curve.bend[0].y, curve.bend[1].x, curve.bend[1].y, curve.to.x, curve.to.y);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function principals(context: CanvasRenderingContext2D, scene: Scene, view: Bounds, k: number, colours: Colours): void {
  const size = Math.max(12.5, 9 / k);
  context.font = `${Math.min(size, 20)}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const [id, place] of scene.layout.places) {
    const principal = scene.graph.principals.get(id);
    const around = { west: place.x - NAME, east: place.x + NAME, north: place.y - NAME, south: place.y + NAME };
    if (principal === undefined || !overlap(around, view)) continue;
    context.globalAlpha = scene.involved.has(id) ? 1 : 0.25;
    shape(context, principal, place, colours);
    if (k < NAMES_FROM) continue;
    // Lines pass below names.
    context.lineWidth = 3;
    context.strokeStyle = principal.namespace === undefined ? colours.ground : colours.box;
    context.lineJoin = "round";
    context.strokeText(principal.label, place.x, place.y + RADIUS + 5, 2 * NAME);
    context.fillStyle = colours.text;
    context.fillText(principal.label, place.x, place.y + RADIUS + 5, 2 * NAME);
  }
  context.globalAlpha = 1;
}

/** A ServiceAccount is round, a node square, what is outside stands on a corner, what is only declared is hollow. */
function shape(context: CanvasRenderingContext2D, { kind }: Principal, { x, y }: Point, colours: Colours): void {
  context.beginPath();
  if (kind === "node") {
    context.roundRect(x - RADIUS + 1, y - RADIUS + 1, 2 * RADIUS - 2, 2 * RADIUS - 2, 3);
  } else if (kind === "external") {
    context.moveTo(x, y - RADIUS - 1);
    context.lineTo(x + RADIUS + 1, y);
    context.lineTo(x, y + RADIUS + 1);
    context.lineTo(x - RADIUS - 1, y);
    context.closePath();
  } else {
    context.arc(x, y, RADIUS, 0, 2 * Math.PI);
  }
  context.lineWidth = 2;
  context.strokeStyle = colours.principal;
  context.fillStyle = kind === "pattern" || kind === "unknown" ? colours.ground : colours.principal;
  context.setLineDash(kind === "pattern" ? [4, 3] : []);
  context.fill();
  context.stroke();
  context.setLineDash([]);
  if (kind !== "unknown") return;
  const font = context.font;
  context.font = `600 13px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = colours.principal;
  context.fillText("?", x, y + 1);
  context.font = font;
  context.textBaseline = "top";
}

/** The verdict in a letter, in the middle of its line: colour alone tells too little. */
function symbols(context: CanvasRenderingContext2D, shown: Shown[], k: number, colours: Colours): void {
  const radius = Math.min(8 / Math.min(k, 1), 14);
  context.font = `700 ${radius * 1.35}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { edge, curve } of shown) {
    if (edge.verdict === "fine" || edge.verdict === "unseen") continue;
    context.beginPath();
    context.arc(curve.middle.x, curve.middle.y, radius, 0, 2 * Math.PI);
    context.fillStyle = colours.ground;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = context.fillStyle = colours.verdict[edge.verdict];
    context.stroke();
    context.fillText(MEANINGS[edge.verdict].symbol, curve.middle.x, curve.middle.y + radius * 0.08);
  }
}
