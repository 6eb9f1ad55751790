// From a disk, where fetch() fails, a live page loads itself again when nobody would notice.

const UNDISTURBED = 3000; // milliseconds since the last key, finger or wheel

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
