// Asks `observer ui`, again and again, and says when it does not answer.

import { type Coverage, type FlowRecord, lines, type SeenEdge, type UnseenEdge } from "./answers.ts";
import type { Edge } from "./graph.ts";

const EVERY = 2000;
/** What changes seldom is asked for with every so many askings. */
const SELDOM = 5;
/** Records of an edge, at most. */
const RECORDS = 50;

export interface News {
  seen: SeenEdge[];
  unseen: UnseenEdge[];
  coverage: Coverage | undefined;
}

export interface Heard {
  /** Something is different from before. */
  news(news: News): void;
  /** All is well again if nothing is said. */
  trouble(what: string): void;
  /** Nodes that did not answer. */
  silent(nodes: string[]): void;
}

export class Feed {
  private texts = { seen: "", unseen: "", coverage: "" };
  private round = 0;
  private timer: number | undefined;
  private begun = false;

  constructor(private readonly heard: Heard) {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.ask();
    });
  }

  /** Asks now, and from now on. Nobody looks at a hidden page: then it waits. */
  async ask(): Promise<void> {
    clearTimeout(this.timer);
    if (document.hidden && this.begun) return;
    try {
      await this.once();
      this.heard.trouble("");
    } catch (error) {
      this.heard.trouble(error instanceof Error ? error.message : String(error));
    }
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), EVERY);
  }

  private async once(): Promise<void> {
    const before = this.texts;
    const seldom = this.round % SELDOM === 0;
    const [seen, unseen, coverage] = await Promise.all([
      this.lines({ edges: {} }),
      seldom ? this.lines("unseen") : before.unseen,
      seldom ? this.lines("coverage") : before.coverage,
    ]);
    this.round += 1;
    this.texts = { seen, unseen, coverage };
    if (this.begun && seen === before.seen && unseen === before.unseen && coverage === before.coverage) return;
    this.begun = true;
    this.heard.news({
      seen: lines<SeenEdge>(seen),
      unseen: lines<UnseenEdge>(unseen),
      coverage: lines<Coverage>(coverage)[0],
    });
  }

  /** The newest records of an edge, the newest first. */
  async records({ seen }: Edge, others: Edge[]): Promise<FlowRecord[]> {
    if (seen === undefined) return [];
    const port = seen.port === "ephemeral" ? [] : [seen.port];
    const filter = { from: [seen.client.principal], to: [seen.server.principal], port, transport: [seen.transport] };
    const records = lines<FlowRecord>(await this.lines({ flows: { last: RECORDS, filter } })).reverse();
    if (seen.port !== "ephemeral") return records;
    // What has a port of its own is another edge's.
    const ports = new Set(others.map((other) => other.port));
    return records.filter((record) => !ports.has(String(record.server.port)));
  }

  private async lines(request: unknown): Promise<string> {
    let answer: Response;
    try {
      answer = await fetch("/ask", {
        method: "POST",
        headers: { "content-type": "application/json", "observer-token": location.hash.slice(1) },
        body: JSON.stringify(request),
        cache: "no-store",
      });
    } catch {
      throw new Error("`observer ui` does not answer any more: what is shown is old. Start it again.");
    }
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.trim());
    const silent = answer.headers.get("observer-silent");
    this.heard.silent(silent === null ? [] : silent.split(","));
    return text;
  }
}
