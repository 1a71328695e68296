/** How many values went each way, by procedure. */

import { findIn, inNextFrame } from "./page.js"

/** @typedef {"sent" | "received"} Direction */

export class Calls {
  /** @type {Map<HTMLElement, number>} */
  #counts = new Map()
  #draw = inNextFrame(() => {
    for (const [cell, count] of this.#counts) cell.textContent = count.toLocaleString()
  })

  /**
   * @param {string} procedure
   * @param {Direction} direction
   */
  count(procedure, direction) {
    const cell = findIn(document, `tr[data-procedure="${procedure}"] .${direction}`, HTMLElement)
    this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + 1)
    this.#draw()
  }
}
