// The map on its canvas: moved and zoomed by pointer and keys, drawn at most once a frame.

import { select } from "d3-selection";
import { zoom, type ZoomBehavior, zoomIdentity, zoomTransform } from "d3-zoom";
import type { Edge, Principal } from "./graph.ts";
import type { Point } from "./layout.ts";
import { type Colours, coloursOf, paint } from "./paint.ts";
import type { Scene } from "./scene.ts";

/** How near to a line a click has to be, in pixels. */
const CLOSE = 7;
/** An arrow key moves so many pixels. */
const STEP = 60;
const SCALES: [number, number] = [0.03, 4];
/** A drawing that takes longer, in ms, is moved as a picture until the hand rests, and made anew so often meanwhile. */
const QUICK = 6;
const ANEW = 250;
/** Left free around all that is shown, in pixels. */
const AROUND = 16;

export interface Wishes {
  choose(edge: Edge | undefined): void;
  /** The next edge, or with -1 the one before. */
  turn(by: 1 | -1): void;
  openFacts(): void;
  account(principal: Principal): void;
}

export class View {
  private readonly zooming: ZoomBehavior<HTMLCanvasElement, unknown>;
  private colours: Colours;
  private asked = false;
  /** The last picture is not good any more, wherever one looks from. */
  private anew = true;
  /** What was drawn last, from where, when, and how long it took. */
  private readonly last = { picture: document.createElement("canvas"), transform: zoomIdentity, at: 0, took: 0 };
  private later: number | undefined;
  /** Somebody moved it: what is new no longer moves it by itself. */
  private moved = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly tip: HTMLElement,
    /** Lies over the map's lower end. */
    private readonly legend: HTMLElement,
    private readonly scene: Scene,
    private readonly wishes: Wishes,
  ) {
    this.colours = coloursOf(document.documentElement);
    this.zooming = zoom<HTMLCanvasElement, unknown>()
      .scaleExtent(SCALES)
      .on("zoom", ({ sourceEvent }: { sourceEvent: Event | null }) => {
        this.moved ||= sourceEvent !== null;
        if (sourceEvent === null) this.draw();
        else this.frame();
      });
    select(canvas).call(this.zooming).on("dblclick.zoom", null);
    canvas.addEventListener("click", (event) => this.click(event));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.mark(undefined, undefined));
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  draw(): void {
    this.anew = true;
    this.frame();
  }

  /** Many wishes within a frame are one. */
  private frame(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.anew) this.paint();
      else this.shift();
    });
  }

  private paint(): void {
    this.anew = false;
    clearTimeout(this.later);
    const start = performance.now();
    const transform = zoomTransform(this.canvas);
    paint(this.canvas, this.scene, transform, this.colours);
    const { picture } = this.last;
    [picture.width, picture.height] = [this.canvas.width, this.canvas.height];
    picture.getContext("2d", { alpha: false })?.drawImage(this.canvas, 0, 0);
    const now = performance.now();
    Object.assign(this.last, { transform, at: now, took: now - start });
  }

  /** Draws from where it is looked at now: anew, or for the moment from the last picture. */
  private shift(): void {
    const { picture, transform, at, took } = this.last;
    if (took < QUICK || performance.now() - at > ANEW) {
      this.paint();
      return;
    }
    const context = this.canvas.getContext("2d", { alpha: false });
    if (context === null) return;
    const { x, y, k } = zoomTransform(this.canvas);
    const scale = k / transform.k;
    const ratio = this.canvas.width / Math.max(this.canvas.clientWidth, 1);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.colours.ground;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(scale, 0, 0, scale, (x - transform.x * scale) * ratio, (y - transform.y * scale) * ratio);
    context.drawImage(picture, 0, 0);
    clearTimeout(this.later);
    this.later = window.setTimeout(() => this.draw(), ANEW);
  }

  recolour(): void {
    this.colours = coloursOf(document.documentElement);
    this.draw();
  }

  /** Brings all that is shown into view. */
  fit(): void {
    this.moved = false;
    const extent = this.scene.extent();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (extent === undefined || width === 0) return;
    const covered = this.legend.offsetHeight + AROUND / 2;
    const k = Math.min((width - 2 * AROUND) / extent.width, (height - covered - 2 * AROUND) / extent.height, 1.4);
    const x = width / 2 - (extent.x + extent.width / 2) * k;
    const y = (height - covered) / 2 - (extent.y + extent.height / 2) * k;
    select(this.canvas).call(this.zooming.transform, zoomIdentity.translate(x, y).scale(k));
  }

  /** As `fit`, unless somebody chose another view. */
  fitUnlessMoved(): void {
    if (this.moved) this.draw();
    else this.fit();
  }

  scale(by: number): void {
    this.moved = true;
    select(this.canvas).call(this.zooming.scaleBy, by);
  }

  /** Brings the chosen edge into view. */
  reveal(edge: Edge): void {
    const curve = this.scene.shown.find((one) => one.edge.id === edge.id)?.curve;
    if (curve === undefined) return;
    const [x, y] = zoomTransform(this.canvas).apply([curve.middle.x, curve.middle.y]);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) {
      select(this.canvas).call(this.zooming.translateTo, curve.middle.x, curve.middle.y);
    }
    this.draw();
  }

  private resize(): void {
    const ratio = Math.min(devicePixelRatio, 2);
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.fitUnlessMoved();
  }

  private point(event: MouseEvent): { point: Point; k: number } {
    const transform = zoomTransform(this.canvas);
    const [x, y] = transform.invert([event.offsetX, event.offsetY]);
    return { point: { x, y }, k: transform.k };
  }

  private click(event: MouseEvent): void {
    // The end of a drag.
    if (event.defaultPrevented) return;
    const { point, k } = this.point(event);
    const principal = this.scene.principalAt(point, 13);
    if (principal !== undefined) this.wishes.account(principal);
    else this.wishes.choose(this.scene.edgeAt(point, CLOSE / k));
  }

  private hover(event: PointerEvent): void {
    if (event.buttons !== 0) return;
    const { point, k } = this.point(event);
    const principal = this.scene.principalAt(point, 13);
    const edge = principal === undefined ? this.scene.edgeAt(point, CLOSE / k) : undefined;
    this.mark(edge, principal);
  }

  private mark(edge: Edge | undefined, principal: Principal | undefined): void {
    this.canvas.style.cursor = edge === undefined && principal === undefined ? "" : "pointer";
    const text = edge === undefined ? (principal?.id ?? "") : tipOf(edge);
    if (this.tip.textContent !== text) this.tip.textContent = text;
    if (this.scene.hovered === edge?.id) return;
    this.scene.hovered = edge?.id;
    this.draw();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [STEP, 0],
      ArrowRight: [-STEP, 0],
      ArrowUp: [0, STEP],
      ArrowDown: [0, -STEP],
    };
    const move = moves[event.key];
    if (move !== undefined) {
      const { k } = zoomTransform(this.canvas);
      this.moved = true;
      select(this.canvas).call(this.zooming.translateBy, move[0] / k, move[1] / k);
    } else if (event.key === "+" || event.key === "=") this.scale(1.3);
    else if (event.key === "-") this.scale(1 / 1.3);
    else if (event.key === "0") this.fit();
    else if (event.key === "n") this.wishes.turn(1);
    else if (event.key === "p") this.wishes.turn(-1);
    else if (event.key === "Enter") this.wishes.openFacts();
    else if (event.key === "Escape") this.wishes.choose(undefined);
    else return;
    event.preventDefault();
  }
}

function tipOf(edge: Edge): string {
  const what = edge.findings.length > 0 ? edge.findings.join(", ") : edge.verdict;
  return `${edge.client.id} → ${edge.server.id} :${edge.port} ${what}`;
}
