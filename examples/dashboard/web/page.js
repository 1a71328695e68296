/** What the parts of the page share. */

/**
 * Find an element by its id.
 *
 * @template {Element} Kind
 * @param {string} id
 * @param {new () => Kind} kind Its class.
 * @returns {Kind}
 */
export function find(id, kind) {
  return checked(document.getElementById(id), kind, `#${id}`)
}

/**
 * Find the first element inside another.
 *
 * @template {Element} Kind
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => Kind} kind Its class.
 * @returns {Kind}
 */
export function findIn(parent, selector, kind) {
  return checked(parent.querySelector(selector), kind, selector)
}

/**
 * @template {Element} Kind
 * @param {Element | null} element
 * @param {new () => Kind} kind
 * @param {string} selector
 * @returns {Kind}
 */
function checked(element, kind, selector) {
  if (element instanceof kind) return element
  throw new Error(`The page has no ${kind.name} ${selector}`)
}

/**
 * Return a function that draws in the next frame, once for however many calls. A hidden tab has no frames: it draws nothing.
 *
 * @param {() => void} draw
 * @returns {() => void}
 */
export function inNextFrame(draw) {
  let wanted = false
  return () => {
    if (wanted) return
    wanted = true
    requestAnimationFrame(() => {
      wanted = false
      draw()
    })
  }
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })

/**
 * Write a time of day.
 *
 * @param {number} time Milliseconds since 1970.
 */
export function clock(time) {
  return Number.isNaN(new Date(time).valueOf()) ? "–" : CLOCK.format(time)
}
