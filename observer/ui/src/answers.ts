// What the observer answers, with the keys that `observer edges`, `graph diff` and `flows` have with `-o json`.

export type Kind = "pod" | "node" | "external" | "unknown";
export type Port = number | "ephemeral";

export interface End {
  principal: string;
  kind: Kind;
  namespace?: string;
  service_account?: string;
}

export const ENCRYPTIONS = ["plaintext", "tls", "mtls", "unknown"] as const;
export const DECLARATIONS = ["allowed", "unexpected", "ungoverned", "unevaluable"] as const;
export const AUTHENTICATIONS = ["none", "present", "verified", "invalid", "unknown"] as const;

export type Counts<Word extends string> = Record<Word, number>;

/** A line of `observer edges -o json`. */
export interface SeenEdge {
  client: End;
  server: End;
  port: Port;
  transport: string;
  flows: number;
  requests: Counts<(typeof AUTHENTICATIONS)[number] | "total" | "rejected">;
  encryption: Counts<(typeof ENCRYPTIONS)[number]>;
  declaration: Counts<(typeof DECLARATIONS)[number]>;
  findings: Record<string, number>;
  first_seen: string;
  last_seen: string;
}

/** A stale line of `observer graph diff -o json`: declared, and not seen. */
export interface UnseenEdge {
  client: string;
  server: string;
  ports: Port[];
  source?: string;
  clause?: string;
  not_seen_since?: string;
  last_seen?: string;
}

/** What the panel shows of a flow record; there is more in it. */
export interface FlowRecord {
  time: string;
  protocol: string;
  client: FlowEnd;
  server: FlowEnd;
  encryption: { status: string; reason?: string; version?: string };
  authentication?: { status: string; scheme?: string; reason?: string };
  last_request?: { method?: string; status?: number };
  findings: string[];
  final?: boolean;
}

export interface FlowEnd {
  principal: string;
  pod?: string;
  ip: string;
  port: number;
}

/** What the observer could not see. */
export interface Coverage {
  since: string;
  lost_events: Record<string, number>;
  unresolved_flows: Record<string, number>;
  truncated_payloads: number;
}

/** One JSON object a line. */
export function lines<T>(text: string): T[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}
