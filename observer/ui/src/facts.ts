// The panel with what is known of one edge, and its records.

import { AUTHENTICATIONS, DECLARATIONS, ENCRYPTIONS, type FlowRecord } from "./answers.ts";
import { element } from "./element.ts";
import { type Edge, titleOf } from "./graph.ts";
import { MEANINGS } from "./verdict.ts";
import { counted, counts, moment } from "./words.ts";

export class Facts {
  private readonly heading = element("h2", { tabindex: "-1", id: "facts-heading" });
  private readonly list = element("dl");
  private readonly records = element("div", { class: "records" });
  private edge: Edge | undefined;

  constructor(
    private readonly panel: HTMLElement,
    /** A sentence for each kind of finding. */
    private readonly meanings: () => Record<string, string>,
    close: () => void,
  ) {
    const button = element("button", { type: "button", class: "close", "aria-label": "Close the facts" }, "✕");
    button.addEventListener("click", close);
    panel.append(button, this.heading, this.list, element("h3", {}, "Latest records"), this.records);
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
  }

  /** Shows an edge, or nothing. */
  show(edge: Edge | undefined): void {
    const another = edge?.id !== this.edge?.id;
    this.edge = edge;
    this.panel.hidden = edge === undefined;
    if (edge === undefined) return;
    this.heading.textContent = titleOf(edge);
    this.list.replaceChildren(...factsOf(edge, this.meanings()).flatMap(pair));
    if (another) this.records.replaceChildren(element("p", {}, edge.seen === undefined ? "None: it was not seen." : "…"));
  }

  focus(): void {
    this.heading.focus();
  }

  /** Of the edge that is shown, the newest first. */
  showRecords(edge: Edge, records: FlowRecord[]): void {
    if (edge.id !== this.edge?.id || edge.seen === undefined) return;
    if (records.length === 0) {
      const none = "The observer keeps none of this edge any more: it keeps the newest of all.";
      this.records.replaceChildren(element("p", {}, none));
      return;
    }
    const open = this.records.querySelectorAll("details[open]").length > 0;
    // What somebody reads does not move away.
    if (!open) this.records.replaceChildren(...records.map(record));
  }

  trouble(edge: Edge, what: string): void {
    if (edge.id === this.edge?.id) this.records.replaceChildren(element("p", { class: "trouble" }, what));
  }
}

function pair([name, value]: [string, Node | string]): Node[] {
  return [element("dt", {}, name), element("dd", {}, value)];
}

function factsOf(edge: Edge, meanings: Record<string, string>): [string, Node | string][] {
  const { word, symbol, sentence } = MEANINGS[edge.verdict];
  const mark = element("span", { class: `symbol ${edge.verdict}`, "aria-hidden": "true" }, symbol);
  const verdict = element("span", {}, mark, element("strong", {}, word), `: ${sentence}`);
  const { seen, unseen } = edge;
  if (seen === undefined) {
    return [
      ["Verdict", verdict],
      ["Declared by", `${unseen?.source ?? "-"}, ${unseen?.clause ?? "-"}`],
      ["Not seen since", unseen?.not_seen_since === undefined ? "-" : moment(unseen.not_seen_since)],
      ["Seen before", unseen?.last_seen === undefined ? "no" : moment(unseen.last_seen)],
    ];
  }
  const findings = Object.entries(seen.findings).map(([kind, flows]) =>
    element("li", {}, element("strong", {}, kind), ` (${counted(flows, "flow")}). ${meanings[kind] ?? ""}`),
  );
  const { total, rejected } = seen.requests;
  return [
    ["Verdict", verdict],
    ["Findings", findings.length === 0 ? "none" : element("ul", {}, ...findings)],
    ["Client", `${seen.client.principal} (${seen.client.kind})`],
    ["Server", `${seen.server.principal} (${seen.server.kind})`],
    ["Flows", String(seen.flows)],
    ["Encryption", counts(seen.encryption, ENCRYPTIONS)],
    ["Requests", `${total}${total > 0 ? `: ${counts(seen.requests, AUTHENTICATIONS)}` : ""}`],
    ["Rejected", String(rejected)],
    ["Declaration", counts(seen.declaration, DECLARATIONS)],
    ["First seen", moment(seen.first_seen)],
    ["Last seen", moment(seen.last_seen)],
  ];
}

function record(one: FlowRecord): HTMLElement {
  const request = one.last_request;
  const what = [
    one.protocol,
    one.encryption.status,
    one.authentication === undefined ? "" : `authentication ${one.authentication.status}`,
    request === undefined ? "" : `${request.method ?? "-"} ${request.status ?? "-"}`,
    one.final === true ? "" : "open",
  ].filter((text) => text !== "");
  const findings = one.findings.length === 0 ? "" : ` · ${one.findings.join(", ")}`;
  const summary = element("summary", {}, `${moment(one.time)} · ${what.join(" · ")}${findings}`);
  const ends = `${one.client.pod ?? one.client.ip} → ${one.server.pod ?? one.server.ip}:${one.server.port}`;
  // It scrolls sideways: keys have to reach it.
  const whole = element("pre", { tabindex: "0", "aria-label": "The whole record" }, JSON.stringify(one, null, 1));
  return element("details", {}, summary, element("p", {}, ends), whole);
}
