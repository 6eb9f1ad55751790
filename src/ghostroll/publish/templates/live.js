// How the gallery grows while it is looked at. From a server the page asks for gallery.json again; from
// a disk, where fetch() fails, it loads itself again when nobody would notice. Once complete: never more.

const SOONEST = 2000; // milliseconds; each time nothing is new, wait half as long again
const LATEST = 30000;
const UNDISTURBED = 3000; // since the last key, finger or wheel, before the page may reload itself
const ANEW = 8; // of so many polls one passes every cache: times by the second can hide a change
const later = (delay) => Math.min(LATEST, delay * 1.5);

let delay = SOONEST;
let polls = 0;
let failures = 0;
let known = ""; // the text of the last gallery.json

async function poll() {
  if (document.hidden) return document.addEventListener("visibilitychange", poll, { once: true });
  try {
    polls += 1;
    const cache = polls % ANEW ? "no-cache" : "reload";
    const answer = await fetch("gallery.json", { cache, signal: AbortSignal.timeout(LATEST) });
    if (!answer.ok) throw new Error(`gallery.json: ${answer.status}`);
    const text = await answer.text();
    const gallery = readGallery(text);
    const news = text !== known || failures > 0;
    delay = text === known ? later(delay) : SOONEST;
    failures = 0;
    known = text;
    if (news) showGallery(gallery);
    if (gallery.state === "complete") return undefined;
  } catch {
    delay = later(delay);
    failures += 1;
    if (failures > 1) byId("status").textContent = "No connection just now, trying again";
  }
  return setTimeout(poll, delay);
}

/** Reload the page from its disk, as long as it is live, and come back to the same place. */
function watchFile({ state, total, items, failed }) {
  const now = [state, total, items.length, failed.length].join();
  const before = history.state?.watch;
  const wait = before?.now === now ? later(before.wait) : SOONEST;
  let touched = -Infinity;
  for (const type of ["keydown", "pointerdown", "pointermove", "scroll", "touchmove", "wheel"]) {
    addEventListener(type, () => { touched = performance.now(); }, { passive: true });
  }
  const reload = () => {
    if (document.hidden || box.open || performance.now() - touched < UNDISTURBED) return setTimeout(reload, 1000);
    const focus = document.activeElement?.closest(".tile")?.dataset.key;
    history.scrollRestoration = "manual";
    history.replaceState({ watch: { now, wait }, back: { place: findPlace(), focus, open: byId("failed").open } }, "");
    return location.reload();
  };
  setTimeout(reload, wait);
}

/** After a reload of our own: the scroll place, the focus and the open list as they were. */
function comeBack() {
  const { back, watch } = history.state ?? {};
  history.replaceState(watch ? { watch } : null, ""); // once: a person's own reload starts afresh
  // Only then is the browser past restoring a place of its own, from before the pictures came.
  addEventListener("pageshow", () => setTimeout(() => { history.scrollRestoration = "auto"; }));
  if (!back) return;
  byId("failed").open = back.open;
  keepPlace(back.place);
  tiles.get(back.focus)?.element.querySelector("a")?.focus({ preventScroll: true });
}
