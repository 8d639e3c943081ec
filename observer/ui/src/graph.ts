// Principals and the edges between them, made of the observer's answers.

import type { End, Kind, SeenEdge, UnseenEdge } from "./answers.ts";
import { type Verdict, verdictOf } from "./verdict.ts";

export interface Principal {
  /** `shop/orders`, `node`, `external`, `unknown`, or whom a declaration means: `shop/*`, `10.0.0.0/8`. */
  id: string;
  /** Without its namespace. */
  label: string;
  namespace: string | undefined;
  /** `pattern`: named by a declaration alone, and perhaps many. */
  kind: Kind | "pattern";
}

export interface Edge {
  /** The same edge has the same id in the next answer. */
  id: string;
  client: Principal;
  server: Principal;
  /** `8080`, `8080,8081`, `any`, `ephemeral`. */
  port: string;
  transport: string;
  verdict: Verdict;
  findings: string[];
  /** Flows or requests, whichever are more. */
  traffic: number;
  /** Which of the edges between the same two this is, from 0 on. */
  lane: number;
  seen: SeenEdge | undefined;
  unseen: UnseenEdge | undefined;
}

export interface Graph {
  principals: Map<string, Principal>;
  edges: Edge[];
}

export const NOBODY: Graph = { principals: new Map(), edges: [] };

export function graphOf(seen: SeenEdge[], unseen: UnseenEdge[]): Graph {
  const principals = new Map<string, Principal>();
  const known = (principal: Principal): Principal => {
    const there = principals.get(principal.id);
    if (there !== undefined) return there;
    principals.set(principal.id, principal);
    return principal;
  };
  const edges: Edge[] = [];
  for (const edge of seen) {
    const client = known(principalOf(edge.client));
    const server = known(principalOf(edge.server));
    edges.push({
      id: `${client.id} ${server.id} ${edge.port} ${edge.transport}`,
      client,
      server,
      port: String(edge.port),
      transport: edge.transport,
      verdict: verdictOf(edge),
      findings: Object.keys(edge.findings),
      traffic: Math.max(edge.flows, edge.requests.total),
      lane: 0,
      seen: edge,
      unseen: undefined,
    });
  }
  for (const edge of unseen) {
    const client = known(declared(edge.client));
    const server = known(declared(edge.server));
    const port = edge.ports.length === 0 ? "any" : edge.ports.join(",");
    edges.push({
      id: `${client.id} ${server.id} ${port} ${edge.source ?? ""} ${edge.clause ?? ""}`,
      client,
      server,
      port,
      transport: "",
      verdict: "unseen",
      findings: [],
      traffic: 0,
      lane: 0,
      seen: undefined,
      unseen: edge,
    });
  }
  const lanes = new Map<string, number>();
  for (const edge of edges) {
    const pair = `${edge.client.id} ${edge.server.id}`;
    edge.lane = lanes.get(pair) ?? 0;
    lanes.set(pair, edge.lane + 1);
  }
  return { principals, edges };
}

function principalOf(end: End): Principal {
  return {
    id: end.principal,
    label: end.service_account ?? end.principal,
    namespace: end.namespace,
    kind: end.kind,
  };
}

/** Whom a declaration names. Addresses have a slash, too, but no namespace has a dot or a colon. */
function declared(name: string): Principal {
  const slash = name.indexOf("/");
  const namespace = name.slice(0, Math.max(slash, 0));
  if (slash < 0 || /[.:]/.test(namespace)) {
    const kind = name === "node" || name === "external" ? name : "pattern";
    return { id: name, label: name, namespace: undefined, kind };
  }
  const label = name.slice(slash + 1);
  const isPattern = label === "*" || namespace === "*";
  return {
    id: name,
    label: namespace === "*" ? name : label,
    namespace: namespace === "*" ? undefined : namespace,
    kind: isPattern ? "pattern" : "pod",
  };
}

/** `shop/orders → shop/payments, port 8080/tcp`. */
export function titleOf(edge: Edge): string {
  const transport = edge.transport === "" ? "" : `/${edge.transport}`;
  return `${edge.client.id} → ${edge.server.id}, port ${edge.port}${transport}`;
}
