// The worst that is known of an edge. It sums up what the observer said, and judges nothing by itself.

import type { SeenEdge } from "./answers.ts";

/** The worst first; `unseen` is of declared edges that nobody used. */
export const VERDICTS = [
  "plaintext",
  "unauthenticated",
  "unexpected",
  "finding",
  "unknown",
  "fine",
  "unseen",
] as const;
export type Verdict = (typeof VERDICTS)[number];

export const MEANINGS: Record<Verdict, { word: string; symbol: string; sentence: string }> = {
  plaintext: { word: "plaintext", symbol: "P", sentence: "Calls or credentials went over the network in clear." },
  unauthenticated: {
    word: "unauthenticated",
    symbol: "A",
    sentence: "Callers did not say who they are, or their token is not good or not theirs.",
  },
  unexpected: { word: "unexpected", symbol: "X", sentence: "The server is governed by a graph, and no edge allows this." },
  finding: { word: "other finding", symbol: "F", sentence: "Something else was found: the edge's facts name it." },
  unknown: { word: "unknown", symbol: "?", sentence: "Nothing was found, but not all of it could be seen or judged." },
  fine: { word: "fine", symbol: "✓", sentence: "Nothing was found, and nothing of it is unknown." },
  unseen: { word: "declared, not seen", symbol: "–", sentence: "A graph allows it, and no call was seen." },
};

/** Kinds of findings that have a verdict of their own; others are `finding`. */
const OF_FINDING: Record<string, Verdict> = {
  unencrypted: "plaintext",
  "credential-in-cleartext": "plaintext",
  unauthenticated: "unauthenticated",
  "invalid-token": "unauthenticated",
  "identity-mismatch": "unauthenticated",
  unexpected: "unexpected",
};

export function verdictOf(edge: SeenEdge): Verdict {
  const found = new Set(Object.keys(edge.findings).map((kind) => OF_FINDING[kind] ?? "finding"));
  const worst = VERDICTS.find((verdict) => found.has(verdict));
  if (worst !== undefined) return worst;
  const unknown = edge.encryption.unknown + edge.declaration.unevaluable + edge.requests.unknown;
  return unknown > 0 ? "unknown" : "fine";
}
