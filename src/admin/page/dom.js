// Making and writing elements. Texts are set as texts, so nothing that came over the wire becomes markup.

export const at = (id) => document.getElementById(id);

export function make(name, options = {}, ...children) {
  const made = document.createElement(name);
  const { data, ...properties } = options;
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  Object.assign(made.dataset, data ?? {});
  made.append(...children);
  return made;
}

// Only what differs is written: screen readers tell of every change.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
