// The page: what it was published with, then whatever comes.

const SAID = 20000; // milliseconds
let saidAt = -Infinity;

/** Show a gallery. Where the reader is, and a picture that is open, stay as they are. */
function showGallery(gallery) {
  const place = findPlace();
  complete = gallery.state === "complete";
  byId("span").textContent = sayTitle(gallery);
  document.title = byId("span").textContent || byId("session").textContent;
  byId("status").textContent = sayState(gallery);
  sayAloud(byId("status").textContent);
  const progress = byId("progress");
  progress.max = Math.max(1, gallery.total, gallery.items.length);
  progress.value = gallery.items.length;
  reveal(progress, !complete);
  byId("archive-words").textContent = sayArchive(gallery);
  offer(byId("archive"), gallery.archive);
  reveal(byId("empty"), !gallery.items.length);
  byId("empty-words").textContent = sayEmpty(gallery);
  showFailed(gallery.failed);
  showItems(gallery.items);
  keepPlace(place);
  if (box.open && byId("broken").hidden) sayPosition();
  else if (box.open) showPicture(current); // its address may be a new one
  document.body.dataset.state = gallery.state;
}

/** For who listens: how far it is, now and then, and that it is complete. */
function sayAloud(words) {
  if (!complete && Date.now() - saidAt < SAID) return;
  saidAt = Date.now();
  byId("said").textContent = words;
}

function showFailed(failed) {
  reveal(byId("failed"), failed.length);
  byId("failed").querySelector("summary").textContent = sayFailed(failed);
  byId("failed").querySelector("ul").replaceChildren(...failed.map(({ name, error }) => {
    const line = document.createElement("li");
    const [what, why] = [document.createElement("bdi"), document.createElement("bdi")];
    what.className = "name";
    what.textContent = name;
    why.textContent = error;
    line.append(what, " ", why);
    return line;
  }));
}

if (own === undefined) {
  known = byId("gallery").textContent;
  const published = readGallery(known);
  showGallery(published);
  comeBack();
  if (!complete && location.protocol === "file:") watchFile(published);
  else if (!complete) timer = setTimeout(poll, SOONEST);
} else {
  poll();
}
