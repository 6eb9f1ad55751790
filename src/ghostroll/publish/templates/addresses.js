// Where pictures are loaded from. An address dies with its signature; gallery.json then has another one
// for the same picture. What was loaded once keeps its address, and comes from the browser's own store.

const worked = new Map(); // by address without its signature: the address that was loaded
const bareAddress = (address) => address.split("?")[0];

/**
 * Load a picture's `part`, "thumb" or "share", into an image; where that fails once more, from the address
 * that gallery.json has by then. `tell(true)` when it is there, `tell(false)` when it failed twice.
 */
function loadPicture(image, item, part, tell) {
  let again = false;
  const loaded = () => {
    worked.set(bareAddress(image.src), image.src);
    tell(true);
  };
  const failed = async () => {
    worked.delete(bareAddress(image.src));
    if (again) return tell(false);
    again = true;
    await askAnew();
    if (image.onload !== loaded) return undefined; // it shows another picture by now
    image.src = items[indexOf.get(item.key)]?.[part] ?? item[part];
    return undefined;
  };
  image.onload = loaded;
  image.onerror = failed;
  image.src = worked.get(bareAddress(item[part])) ?? item[part];
}

/** Load a picture before it is looked at. */
function preload(item) {
  const image = new Image();
  image.onload = () => worked.set(bareAddress(image.src), image.src);
  image.src = worked.get(bareAddress(item.share)) ?? item.share;
  return image;
}
