// One picture, large. A modal dialog: the browser keeps the focus inside and the page behind it still.

const SWIPE = 48; // CSS pixels of a finger's way that turn the page
const TAP = 8; // less than this is a tap
const EDGE = 0.3; // of the width at each side: a tap there turns the page
const box = byId("lightbox");
const stage = byId("stage");
const frame = byId("frame");
const small = byId("small");
const picture = byId("picture");
let current = null; // the key of the picture shown
let ahead = []; // neighbours being loaded

function openLightbox(key) {
  showPicture(key);
  box.showModal();
  byId("close").focus();
}

function showPicture(key) {
  current = key;
  const index = indexOf.get(key);
  const item = items[index];
  frame.style.setProperty("--width", item.width);
  frame.style.setProperty("--height", item.height);
  loadFrame(item);
  picture.alt = item.name;
  byId("picture-name").textContent = item.name;
  byId("picture-time").textContent = item.taken ? `${sayDay(item.taken)}, ${item.taken.clock}` : "";
  byId("picture-camera").textContent = item.camera;
  byId("picture-caption").textContent = item.caption;
  reveal(byId("picture-clip"), item.clip);
  sayPosition();
  ahead = [items[index + 1], items[index - 1]].filter((next) => next?.share).map(preload);
}

/** The thumbnail at once, the picture over it as soon as it is there. */
function loadFrame(item) {
  if (item.thumb) loadPicture(small, item, "thumb", () => {});
  else forget(small);
  frame.classList.add("loading");
  reveal(byId("broken"), !item.share);
  if (!item.share) return forget(picture);
  return loadPicture(picture, item, "share", (there) => {
    frame.classList.toggle("loading", !there);
    byId("broken").textContent = over ? EXPIRED.join(" ") : "This picture could not be loaded.";
    reveal(byId("broken"), !there);
  });
}

function forget(image) {
  image.onload = null;
  image.removeAttribute("src");
}

/** The counter, the buttons and the downloads; also after the gallery changed around the picture shown. */
function sayPosition() {
  const index = indexOf.get(current);
  if (index === undefined) return;
  byId("position").textContent = `${(index + 1).toLocaleString("en")} / ${items.length.toLocaleString("en")}`;
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === items.length - 1;
  const item = items[index];
  offer(byId("download"), item.share);
  offer(byId("original"), over ? null : item.original);
}

function turnTo(index) {
  if (items[index] && items[index].key !== current) showPicture(items[index].key);
}

function turnBy(step) {
  turnTo(indexOf.get(current) + step);
}

byId("previous").addEventListener("click", () => turnBy(-1));
byId("next").addEventListener("click", () => turnBy(1));
byId("close").addEventListener("click", () => box.close());

box.addEventListener("close", () => {
  box.classList.remove("bare");
  focusItem(current);
});

box.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const act = {
    ArrowLeft: () => turnBy(-1),
    ArrowRight: () => turnBy(1),
    Home: () => turnTo(0),
    End: () => turnTo(items.length - 1),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

main.addEventListener("click", (event) => {
  const tile = event.target.closest("a")?.closest(".tile");
  if (!tile || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as ever
  event.preventDefault();
  openLightbox(tile.dataset.key);
});

// Swipes and taps. Two fingers belong to the browser, which zooms; so does one finger once it has.
let finger = null;
const zoomed = () => (window.visualViewport?.scale ?? 1) > 1.01;
window.visualViewport?.addEventListener("resize", () => stage.classList.toggle("zoomed", zoomed()));

function letGo() {
  finger = null;
  frame.classList.remove("held");
  frame.style.transform = "";
}

stage.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button || zoomed()) return letGo();
  finger = { id: event.pointerId, x: event.clientX, y: event.clientY };
});
stage.addEventListener("pointermove", (event) => {
  if (finger?.id !== event.pointerId || event.pointerType === "mouse") return;
  const [x, y] = [event.clientX - finger.x, event.clientY - finger.y];
  frame.classList.add("held");
  frame.style.transform = Math.abs(x) > Math.abs(y) ? `translateX(${x}px)` : `translateY(${Math.max(0, y)}px)`;
});
stage.addEventListener("pointercancel", letGo);
stage.addEventListener("pointerup", (event) => {
  if (finger?.id !== event.pointerId) return;
  const [x, y] = [event.clientX - finger.x, event.clientY - finger.y];
  letGo();
  if (Math.hypot(x, y) < TAP) tapAt(event.clientX / innerWidth);
  else if (event.pointerType === "mouse") return;
  else if (Math.abs(x) > Math.max(SWIPE, Math.abs(y))) turnBy(x < 0 ? 1 : -1);
  else if (y > 2 * SWIPE && y > Math.abs(x)) box.close();
});

function tapAt(part) {
  if (part < EDGE) turnBy(-1);
  else if (part > 1 - EDGE) turnBy(1);
  else box.classList.toggle("bare"); // the picture alone
}
