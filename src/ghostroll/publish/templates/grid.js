// The pictures by day. Every box has its place; only those near the window are in the document, so that
// ten thousand pictures scroll like a hundred.

const REACH = 1.5; // how far beyond the window, in windows
const HEAD = 56; // of the window's top, where the day's heading lies over the pictures
const main = byId("days");
const sections = new Map(); // by day
const tiles = new Map(); // by the picture's key: what is in the document now
let items = []; // in order of capture
let indexOf = new Map(); // by key
let days = [];

/** Show these pictures instead of those before. What stays is not loaded again, and loses no focus. */
function showItems(next) {
  items = next;
  indexOf = new Map(items.map((item, index) => [item.key, index]));
  groupDays();
  layOut();
}

function groupDays() {
  days = [];
  for (const [index, item] of items.entries()) {
    const key = item.taken?.day ?? "";
    if (days.at(-1)?.key !== key) days.push({ key, first: index, items: [], ...sectionOf(key, sayDay(item.taken)) });
    days.at(-1).items.push(item);
  }
  for (const key of sections.keys()) {
    if (days.some((day) => day.key === key)) continue;
    sections.get(key).section.remove();
    sections.delete(key);
  }
  let last = null;
  for (const day of days) {
    const place = last ? last.nextSibling : main.firstChild;
    if (place !== day.section) main.insertBefore(day.section, place);
    day.number.textContent = day.items.length.toLocaleString("en");
    last = day.section;
  }
}

function sectionOf(key, title) {
  if (!sections.has(key)) {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    const number = document.createElement("span");
    const list = document.createElement("ul");
    const words = document.createElement("span");
    words.textContent = title;
    words.id = `day-${key || "none"}`;
    section.setAttribute("aria-labelledby", words.id);
    list.setAttribute("role", "list"); // Safari forgets it where the bullets are gone
    heading.append(words, " ", number);
    section.append(heading, list);
    sections.set(key, { section, list, number });
  }
  return sections.get(key);
}

function layOut() {
  const width = main.clientWidth;
  for (const day of days) {
    Object.assign(day, layRows(day.items, width));
    day.list.style.height = `${day.height}px`;
  }
  mountNear();
}

/** Put the tiles near the window into the document, and take the others out. */
function mountNear() {
  const reach = innerHeight * REACH;
  const focused = document.activeElement?.closest(".tile")?.dataset.key; // stays, wherever it is
  const near = days.map((day) => {
    const top = day.list.getBoundingClientRect().top;
    if (top > innerHeight + reach || top + day.height < -reach) return day.items.filter((item) => item.key === focused);
    return day.items.filter((item, at) => {
      const box = day.boxes[at];
      return item.key === focused || (top + box.top < innerHeight + reach && top + box.top + box.height > -reach);
    });
  });
  const wanted = new Set(near.flat().map((item) => item.key));
  for (const [key, tile] of tiles) {
    if (wanted.has(key)) continue;
    tile.element.remove();
    tiles.delete(key);
  }
  for (const [at, day] of days.entries()) placeTiles(day, near[at]);
}

function placeTiles(day, wanted) {
  let last = null;
  for (const item of wanted) {
    const at = indexOf.get(item.key) - day.first;
    const tile = tileOf(item).element;
    const box = day.boxes[at];
    for (const side of ["left", "top", "width", "height"]) tile.style[side] = `${box[side]}px`;
    tile.setAttribute("aria-posinset", at + 1);
    tile.setAttribute("aria-setsize", day.items.length);
    const place = last ? last.nextSibling : day.list.firstChild;
    if (place !== tile) day.list.insertBefore(tile, place);
    last = tile;
  }
}

/** The picture's tile. One that was loaded is kept; one that was not gets another try from a new address. */
function tileOf(item) {
  const known = tiles.get(item.key);
  if (known && !(known.broken && known.thumb !== item.thumb)) {
    if (known.link) known.link.href = item.share; // the newest lives longest
    return known;
  }
  known?.element.remove();
  const tile = makeTile(item);
  tiles.set(item.key, tile);
  return tile;
}

function makeTile(item) {
  const element = document.createElement("li");
  const tile = { element, thumb: item.thumb, link: null, broken: false };
  element.className = item.clip ? "tile clip" : "tile";
  element.dataset.key = item.key;
  const name = document.createElement("bdi");
  name.textContent = item.name;
  if (!item.share || !item.thumb) {
    element.classList.add("broken");
    element.append(name);
    return tile;
  }
  tile.link = document.createElement("a");
  tile.link.href = item.share;
  tile.link.title = item.name;
  const image = makeImage(item);
  element.classList.add("loading");
  loadPicture(image, item, "thumb", (there) => {
    element.classList.remove("loading");
    tile.broken = !there;
    element.classList.toggle("broken", tile.broken);
    if (tile.broken) tile.link.append(name);
  });
  if (image.complete) element.classList.remove("loading");
  tile.link.append(image);
  element.append(tile.link);
  return tile;
}

function makeImage(item) {
  const image = document.createElement("img");
  image.alt = [item.clip ? `Clip ${item.name}` : item.name, item.taken?.clock].filter(Boolean).join(", ");
  image.width = item.width;
  image.height = item.height;
  image.loading = "lazy";
  image.decoding = "async";
  image.draggable = false;
  return image;
}

/** Another try for the tiles that could not be loaded. */
function retryBroken() {
  for (const [key, tile] of tiles) {
    if (!tile.broken || tile.element.contains(document.activeElement)) continue;
    tile.element.remove();
    tiles.delete(key);
  }
  mountNear();
}

/** The first picture to be seen in the window and how far from its top; null at the page's top. */
function findPlace() {
  if (scrollY <= 0) return null;
  for (const day of days) {
    const top = day.list.getBoundingClientRect().top;
    if (top + day.height <= HEAD) continue;
    const at = day.boxes.findIndex((box) => top + box.top + box.height > HEAD);
    if (at >= 0) return { key: day.items[at].key, top: top + day.boxes[at].top };
  }
  return null;
}

/** Scroll so that a picture is where `findPlace` found it. */
function keepPlace(place) {
  const now = place && boxOf(place.key);
  if (now) scrollBy({ top: now.top - place.top, behavior: "instant" });
  mountNear();
}

/** Where a picture's box is in the window; null where there is no such picture. */
function boxOf(key) {
  const index = indexOf.get(key);
  const day = days.findLast(({ first }) => first <= index);
  if (!day) return null;
  const box = day.boxes[index - day.first];
  const list = day.list.getBoundingClientRect();
  return { ...box, left: list.left + box.left, top: list.top + box.top };
}

/** Give a picture's tile the focus, and bring it into the window where it isn't. */
function focusItem(key) {
  const box = boxOf(key);
  if (!box) return;
  if (box.top < HEAD) scrollBy({ top: box.top - HEAD, behavior: "instant" });
  else if (box.top + box.height > innerHeight) scrollBy({ top: box.top + box.height + GAP - innerHeight, behavior: "instant" });
  mountNear();
  tiles.get(key).element.querySelector("a")?.focus({ preventScroll: true });
}

/** The next picture for an arrow key: along the row, or the nearest in the row above or below. */
function neighbourOf(key, arrow) {
  const index = indexOf.get(key);
  if (arrow === "ArrowLeft") return items[index - 1]?.key;
  if (arrow === "ArrowRight") return items[index + 1]?.key;
  const step = arrow === "ArrowUp" ? -1 : 1;
  const from = boxOf(key);
  const middle = from.left + from.width / 2;
  let best = null;
  for (let at = index + step; items[at]; at += step) {
    const box = boxOf(items[at].key);
    if (box.top === from.top) continue;
    if (best && box.top !== best.top) break;
    const distance = Math.abs(box.left + box.width / 2 - middle);
    if (!best || distance < best.distance) best = { key: items[at].key, top: box.top, distance };
  }
  return best?.key;
}

main.addEventListener("keydown", (event) => {
  const key = event.target.closest(".tile")?.dataset.key;
  if (key === undefined || !event.key.startsWith("Arrow") || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const next = neighbourOf(key, event.key);
  if (next !== undefined) focusItem(next);
});

let framed = false;
addEventListener("scroll", () => {
  if (framed) return;
  framed = true;
  requestAnimationFrame(() => {
    framed = false;
    mountNear();
  });
}, { passive: true });

let laidOut = 0; // the width of the last layout
// In the next frame: a layout within the observer's own call would change what it observes.
new ResizeObserver(() => requestAnimationFrame(() => {
  if (main.clientWidth === laidOut) return mountNear();
  laidOut = main.clientWidth;
  const place = findPlace();
  layOut();
  return keepPlace(place);
})).observe(main);
