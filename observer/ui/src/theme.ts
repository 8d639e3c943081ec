// Light or dark: as the system has it, until somebody says otherwise.

import { byId } from "./element.ts";

const KEPT = "observer-theme";

export function theme(changed: () => void): void {
  const root = document.documentElement;
  const button = byId("theme", HTMLButtonElement);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset["theme"] ?? (dark.matches ? "dark" : "light")) === "dark";
  const tell = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    changed();
  };
  const kept = localStorage.getItem(KEPT);
  if (kept === "dark" || kept === "light") root.dataset["theme"] = kept;
  button.addEventListener("click", () => {
    root.dataset["theme"] = isDark() ? "light" : "dark";
    localStorage.setItem(KEPT, root.dataset["theme"]);
    tell();
  });
  dark.addEventListener("change", tell);
  tell();
}
