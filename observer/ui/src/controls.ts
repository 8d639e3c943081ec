// The filters, and the legend that counts.

import { DECLARATIONS, ENCRYPTIONS } from "./answers.ts";
import { byId, element } from "./element.ts";
import { EVERYTHING, type Filter, isEverything } from "./filter.ts";
import type { Edge, Graph } from "./graph.ts";
import { MEANINGS, VERDICTS } from "./verdict.ts";

const CHOICES = ["namespace", "account", "finding", "encryption", "declared"] as const;

export class Controls {
  private readonly search = byId("search", HTMLInputElement);
  private readonly selects = Object.fromEntries(CHOICES.map((name) => [name, byId(name, HTMLSelectElement)])) as Record<
    (typeof CHOICES)[number],
    HTMLSelectElement
  >;
  private readonly clear = byId("clear", HTMLButtonElement);
  private readonly legend = byId("legend", HTMLUListElement);

  constructor(changed: () => void) {
    const tell = () => {
      this.clear.disabled = isEverything(this.filter());
      changed();
    };
    this.search.addEventListener("input", tell);
    for (const select of Object.values(this.selects)) select.addEventListener("change", tell);
    this.clear.addEventListener("click", () => {
      this.set(EVERYTHING);
      tell();
      this.search.focus();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.search.focus();
    });
    offer(this.selects.encryption, "any", [...ENCRYPTIONS]);
    offer(this.selects.declared, "any", [...DECLARATIONS, "unseen"]);
  }

  filter(): Filter {
    const value = (name: (typeof CHOICES)[number]) => this.selects[name].value;
    return {
      search: this.search.value,
      namespace: value("namespace"),
      account: value("account"),
      finding: value("finding"),
      encryption: value("encryption"),
      declared: value("declared"),
    };
  }

  set(filter: Filter): void {
    this.search.value = filter.search;
    for (const name of CHOICES) this.selects[name].value = filter[name];
    this.clear.disabled = isEverything(filter);
  }

  /** What there is to choose from. */
  offer(graph: Graph): void {
    const principals = [...graph.principals.values()];
    const namespaces = principals.map(({ namespace }) => namespace).filter((name) => name !== undefined);
    offer(this.selects.namespace, "any", sorted(namespaces));
    offer(this.selects.account, "any", sorted(principals.map(({ id }) => id)));
    offer(this.selects.finding, "any", ["none", ...sorted(graph.edges.flatMap(({ findings }) => findings))]);
  }

  /** Verdicts that there are, with how many edges have them. */
  count(edges: Edge[]): void {
    const entries = VERDICTS.flatMap((verdict) => {
      const n = edges.filter((edge) => edge.verdict === verdict).length;
      if (n === 0) return [];
      const { word, symbol, sentence } = MEANINGS[verdict];
      const mark = element("span", { class: `symbol ${verdict}`, "aria-hidden": "true" }, symbol);
      return element("li", { title: sentence, "data-verdict": verdict }, mark, `${word} ${n}`);
    });
    const text = entries.map((entry) => entry.textContent).join();
    if (text !== this.legend.textContent) this.legend.replaceChildren(...entries);
  }
}

function sorted(names: string[]): string[] {
  return [...new Set(names)].sort();
}

/** Keeps what is chosen, also if it is not there just now. */
function offer(select: HTMLSelectElement, any: string, values: string[]): void {
  const chosen = select.value;
  const all = chosen === "" || values.includes(chosen) ? values : [chosen, ...values];
  const there = [...select.options].slice(1).map((option) => option.value);
  if (select.options.length > 0 && there.join("\n") === all.join("\n")) return;
  select.replaceChildren(element("option", { value: "" }, any), ...all.map((value) => element("option", { value }, value)));
  select.value = chosen;
}
