/** A chart of the last minute. It keeps the samples of that time, and no others. */

import { clock, find, findIn, inNextFrame } from "./page.js"

const SPAN = 60_000 // ms
const GAP = 2_000 // ms between samples that no line joins
const MOST = 1_000 // samples, should they come faster than expected

/** @typedef {{ time: number, value: number }} Sample */

export class Chart {
  /** @type {Sample[]} */
  #samples = []
  /** @type {number | undefined} Where the pointer is: 0 is left, 1 is right. */
  #pointer
  #name
  #svg
  #tip
  #paths
  #texts
  #draw = inNextFrame(() => this.#drawNow())

  /**
   * @param {string} id With which the ids of its elements begin.
   * @param {string} name For people who hear the page.
   */
  constructor(id, name) {
    this.#name = name
    this.#svg = find(`${id}-chart`, SVGSVGElement)
    this.#tip = findIn(find(`${id}-plot`, HTMLElement), ".tip", HTMLElement)
    const path = (/** @type {string} */ kind) => findIn(this.#svg, `.${kind}`, SVGPathElement)
    this.#paths = { fill: path("fill"), line: path("line"), cross: path("cross"), dot: path("dot") }
    const text = (/** @type {string} */ part) => find(`${id}-${part}`, HTMLElement)
    this.#texts = { value: text("value"), low: text("low"), mean: text("mean"), high: text("high") }
    this.#svg.addEventListener("pointermove", (event) => this.#point(event))
    this.#svg.addEventListener("pointerdown", (event) => this.#point(event))
    this.#svg.addEventListener("pointerleave", () => this.#point())
  }

  /**
   * Add a sample.
   *
   * @param {number} time Milliseconds since 1970, by the server's clock.
   * @param {number} value Percent.
   */
  add(time, value) {
    const last = this.#samples.at(-1)
    if (last && time < last.time) this.#samples = [] // the clock was set back
    this.#samples.push({ time, value })
    const kept = this.#samples.findIndex((each) => each.time >= time - SPAN)
    this.#samples.splice(0, Math.max(kept, this.#samples.length - MOST))
    this.#draw()
  }

  /** @param {PointerEvent} [event] */
  #point(event) {
    const { left, width } = this.#svg.getBoundingClientRect()
    this.#pointer = event && (event.clientX - left) / width
    this.#draw()
  }

  #drawNow() {
    const last = this.#samples.at(-1)
    if (!last) return
    const values = this.#samples.map((each) => each.value)
    const low = Math.min(...values)
    const high = Math.max(...values)
    const mean = values.reduce((sum, each) => sum + each, 0) / values.length
    this.#texts.value.textContent = last.value.toFixed(1)
    this.#texts.low.textContent = percent(low)
    this.#texts.mean.textContent = percent(mean)
    this.#texts.high.textContent = percent(high)
    const summary = `now ${percent(last.value)}; in the last minute from ${percent(low)} to ${percent(high)}`
    this.#svg.setAttribute("aria-label", `${this.#name}: ${summary}`)
    this.#drawLine(last)
    this.#drawPointer(last)
  }

  /** @param {Sample} last */
  #drawLine(last) {
    let line = ""
    let fill = ""
    let before = -Infinity // the time of the sample before
    for (const sample of this.#samples) {
      const x = across(sample, last)
      const y = down(sample)
      if (sample.time - before > GAP) {
        if (fill) fill += "V100Z"
        line += `M${x} ${y}`
        fill += `M${x} 100V${y}`
      } else {
        line += `L${x} ${y}`
        fill += `L${x} ${y}`
      }
      before = sample.time
    }
    this.#paths.line.setAttribute("d", line)
    this.#paths.fill.setAttribute("d", `${fill}V100Z`)
  }

  /** Mark the sample at the pointer, or the last one. @param {Sample} last */
  #drawPointer(last) {
    const { cross, dot } = this.#paths
    const pointed = this.#pointer === undefined ? undefined : this.#nearest(last.time - SPAN * (1 - this.#pointer))
    const { time, value } = pointed ?? last
    const x = across({ time, value }, last)
    dot.setAttribute("d", `M${x} ${down({ time, value })}h0`)
    cross.setAttribute("d", pointed ? `M${x} 0V100` : "")
    this.#tip.hidden = !pointed
    this.#tip.textContent = `${percent(value)} at ${clock(time)}`
    this.#tip.style.left = `${(x / 60) * 100}%`
    this.#tip.classList.toggle("leftwards", x > 30)
  }

  /** @param {number} time */
  #nearest(time) {
    const distance = (/** @type {Sample} */ each) => Math.abs(each.time - time)
    return this.#samples.reduce((best, each) => (distance(each) < distance(best) ? each : best))
  }
}

/** @param {number} value */
function percent(value) {
  return `${value.toFixed(1)} %`
}

/**
 * @param {Sample} sample
 * @param {Sample} last
 */
function across({ time }, last) {
  return Number(((60 * (time - last.time + SPAN)) / SPAN).toFixed(3))
}

/** @param {Sample} sample */
function down({ value }) {
  return Number((100 - Math.min(100, Math.max(0, value))).toFixed(2))
}
