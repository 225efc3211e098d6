// The keys of the whole page. Each does one thing, wherever the focus is, except where one writes.

import { isWriting } from "./hands.js";

const $ = (id) => document.getElementById(id);
const isText = (target) => target instanceof HTMLElement && target.matches("textarea, input:not([type=range], [type=radio], [type=checkbox], [type=file])");
const ctrl = (event) => event.ctrlKey || event.metaKey;
const plain = (event) => !ctrl(event) && !event.altKey;

/** What each key does: `matches(event)`, then `run()`. A click on a disabled button does nothing. */
function table(studio) {
  return [
    { matches: (event) => ctrl(event) && !event.altKey && event.key.toLowerCase() === "z" && !event.shiftKey, run: () => $("undo").click() },
    { matches: (event) => ctrl(event) && !event.altKey && (event.key.toLowerCase() === "y" || (event.key.toLowerCase() === "z" && event.shiftKey)), run: () => $("redo").click() },
    { matches: (event) => plain(event) && event.key === "?", run: toggleHelp },
    { matches: (event) => plain(event) && event.key === "+", run: () => studio.roll.zoomBy(1.4) },
    { matches: (event) => plain(event) && event.key === "-", run: () => studio.roll.zoomBy(1 / 1.4) },
  ];
}

function toggleHelp() {
  const help = $("shortcuts");
  if (help.open) help.close();
  else if (!document.querySelector("dialog[open]")) help.showModal();
}

export function listen(studio) {
  const shortcuts = table(studio);
  const isSpace = (event) => event.key === " " && plain(event) && !isText(event.target);
  // First of all listeners, and with the key's own effect (a button's click, an open list) taken away: Space never does two things.
  addEventListener("keydown", (event) => {
    if (!isSpace(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) studio.playOrPause();
  }, { capture: true });
  addEventListener("keyup", (event) => { if (isSpace(event)) event.preventDefault(); }, { capture: true });
  addEventListener("keydown", (event) => {
    if (isWriting(event.target)) return;
    const shortcut = shortcuts.find(({ matches }) => matches(event));
    if (shortcut) {
      event.preventDefault();
      shortcut.run();
    } else if (event.key === "Enter" && event.target.matches("input[type=checkbox]")) event.target.click(); // Space is taken
  });
  $("shortcuts-open").onclick = toggleHelp;
  $("shortcuts-close").onclick = toggleHelp;
  $("shortcuts").addEventListener("click", (event) => { if (event.target === $("shortcuts")) toggleHelp(); });
}
