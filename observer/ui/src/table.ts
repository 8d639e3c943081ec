// All edges that are shown, as a table: the map for those who do not see it.

import { AUTHENTICATIONS, DECLARATIONS, ENCRYPTIONS } from "./answers.ts";
import { element, say } from "./element.ts";
import { type Edge, titleOf } from "./graph.ts";
import { MEANINGS, VERDICTS } from "./verdict.ts";
import { counted, counts, moment } from "./words.ts";

/** Rows at a time: thousands would make the page slow. */
const PAGE = 100;

const COLUMNS = [
  "Client",
  "Server",
  "Port",
  "Verdict",
  "Flows",
  "Requests",
  "Encryption",
  "Declaration",
  "Findings",
  "Last seen",
] as const;

export class Table {
  private readonly rows = element("tbody");
  private readonly told = element("p", { class: "told" });
  private readonly back = element("button", { type: "button" }, "Previous");
  private readonly on = element("button", { type: "button" }, "Next");
  private edges: Edge[] = [];
  private page = 0;
  private selected: string | undefined;

  constructor(
    where: HTMLElement,
    private readonly choose: (edge: Edge, opener: HTMLElement) => void,
  ) {
    const heading = element("tr", {}, ...COLUMNS.map((name) => element("th", { scope: "col" }, name)));
    const caption = element("caption", { class: "unseen" }, "Edges, the worst first");
    const table = element("table", { id: "edges" }, caption, element("thead", {}, heading), this.rows);
    this.back.addEventListener("click", () => this.turn(-1));
    this.on.addEventListener("click", () => this.turn(1));
    const frame = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of edges" }, table);
    where.append(element("div", { class: "turn" }, this.told, this.back, this.on), frame);
  }

  /** In its own order: the worst first. */
  show(edges: Edge[], selected: string | undefined): void {
    this.edges = edges;
    this.selected = selected;
    this.fill();
  }

  private turn(by: number): void {
    this.page += by;
    this.fill();
  }

  private fill(): void {
    const pages = Math.max(1, Math.ceil(this.edges.length / PAGE));
    this.page = Math.max(0, Math.min(this.page, pages - 1));
    const some = this.edges.slice(this.page * PAGE, (this.page + 1) * PAGE);
    // Rows that are there already stay, and with them the focus, and the place of whoever listens to the page.
    const there = new Map([...this.rows.rows].map((row) => [row.dataset["edge"], row]));
    const rows = some.map((edge) => updated(there.get(edge.id), this.row(edge)));
    const same = rows.length === this.rows.rows.length && rows.every((row, at) => row === this.rows.rows[at]);
    if (!same) {
      const focused = this.rows.contains(document.activeElement) ? document.activeElement : undefined;
      this.rows.replaceChildren(...rows);
      if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    }
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === pages - 1;
    this.back.hidden = this.on.hidden = pages === 1;
    const from = this.page * PAGE + 1;
    const which = pages === 1 ? "" : `, ${from} to ${from + some.length - 1} below`;
    say(this.told, counted(this.edges.length, "edge") + which);
  }

  /** The button of an edge, if its row is on this page. */
  button(id: string): HTMLElement | undefined {
    return [...this.rows.querySelectorAll<HTMLElement>("button")].find((one) => one.dataset["edge"] === id);
  }

  /** As it is now: the row may be older. */
  private open(id: string, opener: HTMLElement): void {
    const edge = this.edges.find((one) => one.id === id);
    if (edge !== undefined) this.choose(edge, opener);
  }

  private row(edge: Edge): HTMLTableRowElement {
    const { seen } = edge;
    const open = element("button", { type: "button", class: "open", "data-edge": edge.id }, edge.client.id);
    open.setAttribute("aria-label", `${titleOf(edge)}: facts`);
    open.addEventListener("click", () => this.open(edge.id, open));
    const { word, symbol } = MEANINGS[edge.verdict];
    const mark = element("span", { class: `symbol ${edge.verdict}`, "aria-hidden": "true" }, symbol);
    const cells: (Node | string)[] = [
      open,
      edge.server.id,
      edge.transport === "" ? edge.port : `${edge.port}/${edge.transport}`,
      element("span", { class: "verdict" }, mark, word),
      String(seen?.flows ?? 0),
      seen === undefined ? "-" : counts(seen.requests, AUTHENTICATIONS),
      seen === undefined ? "-" : counts(seen.encryption, ENCRYPTIONS),
      seen === undefined ? (edge.unseen?.source ?? "declared") : counts(seen.declaration, DECLARATIONS),
      edge.findings.length === 0 ? "-" : edge.findings.join(", "),
      seen === undefined ? "not seen" : moment(seen.last_seen),
    ];
    const row = element("tr", { class: edge.id === this.selected ? "selected" : "", "data-edge": edge.id });
    row.append(...cells.map((cell) => element("td", {}, cell)));
    return row;
  }
}

/** The row that was there, with what is new in it; the new one where there was none. */
function updated(old: HTMLTableRowElement | undefined, made: HTMLTableRowElement): HTMLTableRowElement {
  if (old === undefined) return made;
  old.className = made.className;
  [...made.cells].forEach((cell, at) => {
    const there = old.cells[at];
    if (there !== undefined && there.textContent !== cell.textContent) there.replaceChildren(...cell.childNodes);
  });
  return old;
}

/** The worst first, then by name. */
export function worstFirst(edges: Edge[]): Edge[] {
  const place = (edge: Edge) => VERDICTS.indexOf(edge.verdict);
  return [...edges].sort((a, b) => place(a) - place(b) || (a.id < b.id ? -1 : 1));
}
