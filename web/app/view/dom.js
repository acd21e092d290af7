/** DOM helpers for the views. */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id of an element of index.html
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return /** @type {T} */ (element);
}

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {T}
 */
export function find(root, selector) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`nothing matches ${selector}`);
  return /** @type {T} */ (/** @type {unknown} */ (element));
}

/** A copy of the only element of a `<template>`. @param {string} id @returns {HTMLElement} */
export function fromTemplate(id) {
  const { content } = /** @type {HTMLTemplateElement} */ (byId(id));
  return /** @type {HTMLElement} */ (/** @type {Element} */ (content.firstElementChild).cloneNode(true));
}

/**
 * Sets the text only if it differs, because screen readers announce every write.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} button @param {boolean} pressed */
export function setPressed(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

