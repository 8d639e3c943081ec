// Numbers and times as people read them.

/** `none 3, verified 9`, as `observer edges` prints it. */
export function counts(all: Record<string, number>, words: readonly string[]): string {
  const there = words.filter((word) => (all[word] ?? 0) > 0).map((word) => `${word} ${all[word]}`);
  return there.length === 0 ? "-" : there.join(", ");
}

/** `1 edge`, `2 edges`. */
export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

/** In the reader's own time zone. */
export function moment(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toLocaleTimeString(undefined, { hour12: false }) + dayOf(date);
}

function dayOf(date: Date): string {
  return date.toDateString() === new Date().toDateString() ? "" : ` ${date.toLocaleDateString()}`;
}
