// Which edges are shown.

import { DECLARATIONS, ENCRYPTIONS } from "./answers.ts";
import type { Edge } from "./graph.ts";

/** An empty string is any. */
export interface Filter {
  search: string;
  namespace: string;
  account: string;
  /** A kind, or `none`. */
  finding: string;
  encryption: string;
  /** A declaration status, or `unseen`. */
  declared: string;
}

export const EVERYTHING: Filter = {
  search: "",
  namespace: "",
  account: "",
  finding: "",
  encryption: "",
  declared: "",
};

export function isEverything(filter: Filter): boolean {
  return Object.values(filter).every((value) => value === "");
}

export function matches(filter: Filter, edge: Edge): boolean {
  const { client, server, seen } = edge;
  return (
    (filter.namespace === "" || client.namespace === filter.namespace || server.namespace === filter.namespace) &&
    (filter.account === "" || client.id === filter.account || server.id === filter.account) &&
    (filter.finding === "" ||
      (filter.finding === "none" ? edge.findings.length === 0 : edge.findings.includes(filter.finding))) &&
    (filter.encryption === "" || had(seen?.encryption, ENCRYPTIONS, filter.encryption)) &&
    (filter.declared === "" ||
      (filter.declared === "unseen" ? seen === undefined : had(seen?.declaration, DECLARATIONS, filter.declared))) &&
    filter.search
      .toLowerCase()
      .split(/\s+/)
      .every((word) => word === "" || textOf(edge).includes(word))
  );
}

/** As `observer edges --encryption` has it: an edge that has had such a flow. */
function had<Word extends string>(counts: Record<Word, number> | undefined, words: readonly Word[], word: string): boolean {
  const found = words.find((one) => one === word);
  return counts !== undefined && found !== undefined && counts[found] > 0;
}

/** What is searched. */
function textOf(edge: Edge): string {
  return [edge.client.id, edge.server.id, edge.port, edge.transport, edge.verdict, edge.unseen?.source ?? "", ...edge.findings]
    .join(" ")
    .toLowerCase();
}
