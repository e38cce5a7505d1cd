"use strict";
// The page is complete without this: it asks for itself every few seconds, and replaces
// what has changed. A part in which somebody is, with the keyboard or a selection, stays.
const every = 5000;
const inUse = part => part.contains(document.activeElement) || !getSelection().isCollapsed && getSelection().containsNode(part, true);

async function look() {
  if (document.hidden) return;
  const summary = document.getElementById("summary");
  let text;
  try {
    const reply = await fetch(location.href, {cache: "no-store", signal: AbortSignal.timeout(every)});
    if (!reply.ok) throw new Error(reply.statusText);
    text = await reply.text();
  } catch {
    say(summary, "The scheduler doesn't answer. What is shown may be old.");
    summary.classList.add("old");
    return;
  }
  const now = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = now.getElementById(part.id);
    if (!next) { location.reload(); return; } // another replica leads
    if (!inUse(part) && part.innerHTML !== next.innerHTML) part.replaceChildren(...next.childNodes);
  }
  say(summary, now.getElementById("summary").textContent);
  summary.classList.remove("old");
  document.title = now.title;
}

// say changes the text that is read out only if it is another one.
function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

setInterval(look, every);
document.addEventListener("visibilitychange", look);
