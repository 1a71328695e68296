/** The log. It keeps the newest records, and has a row for each. */

import { clock, find, inNextFrame } from "./page.js"

/** @typedef {import("./client.js").LogLevel} LogLevel */
/** @typedef {import("./client.js").LogsWatchReceive} LogRecord */

const MOST = 500 // records

/** @type {readonly LogLevel[]} */
const LEVELS = ["debug", "info", "warn", "error"]

export class Log {
  /** @type {LogRecord[]} */
  #records = []
  #count = 0 // of all records that were added
  #drawn = 0 // of those, how many have or had a row
  /** @type {LogLevel} */
  #level = "debug"
  #list = find("log", HTMLOListElement)
  #scroll = find("log-scroll", HTMLElement)
  #empty = find("log-empty", HTMLElement)
  #newest = find("log-newest", HTMLButtonElement)
  #draw = inNextFrame(() => this.#drawNow())

  /** @param {(level: LogLevel) => void} onLevel Called with the level that a person has chosen. */
  constructor(onLevel) {
    const levels = find("levels", HTMLFieldSetElement)
    const chosen = levels.querySelector("input:checked") // a browser may restore another than the page's
    if (chosen instanceof HTMLInputElement) this.#level = levelOf(chosen.value)
    levels.addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement)) return
      this.#level = levelOf(target.value)
      this.#draw()
      this.#follow()
      onLevel(this.#level)
    })
    this.#scroll.addEventListener("scroll", () => (this.#newest.hidden = this.#atEnd()), { passive: true })
    this.#newest.addEventListener("click", () => this.#follow())
    this.#draw()
  }

  get level() {
    return this.#level
  }

  /** @param {LogRecord} record */
  add(record) {
    this.#records.push(record)
    if (this.#records.length > MOST) this.#records.shift()
    this.#count++
    this.#draw()
  }

  #drawNow() {
    const following = this.#atEnd()
    const first = this.#count - this.#records.length
    const kept = Math.max(0, this.#drawn - first) // rows of records that are still here
    while (this.#list.childElementCount > kept) this.#list.firstElementChild?.remove()
    this.#list.append(...this.#records.slice(kept).map(rowOf))
    this.#drawn = this.#count
    this.#list.dataset.from = this.#level
    this.#empty.hidden = this.#records.some(({ level }) => !isBelow(level, this.#level))
    this.#empty.textContent = this.#count ? `No records from ${this.#level} on.` : "No records yet."
    if (following) this.#follow()
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll
    return scrollHeight - scrollTop - clientHeight < 30
  }

  /** Show the newest records, and go on with those that come. */
  #follow() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight
  }
}

/**
 * @param {string} value
 * @returns {LogLevel}
 */
function levelOf(value) {
  return LEVELS.find((each) => each === value) ?? "debug"
}

/**
 * Return whether a record's level is below another. A level that the protocol does not name is below none.
 *
 * @param {string} level
 * @param {LogLevel} from
 */
function isBelow(level, from) {
  const order = /** @type {readonly string[]} */ (LEVELS)
  return order.includes(level) && order.indexOf(level) < order.indexOf(from)
}

/** @param {LogRecord} record */
function rowOf({ level, message, timestamp }) {
  const row = document.createElement("li")
  row.dataset.level = level
  for (const [name, text] of [["time", clock(timestamp)], ["level", level], ["message", message]]) {
    const cell = document.createElement("span")
    cell.className = name ?? ""
    cell.textContent = text ?? ""
    row.append(cell)
  }
  return row
}
