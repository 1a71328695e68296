/** The services, each with its button, and a field for another name. */

import { SystemRestartUnknownService } from "./client.js"
import { CallError, ConnectionLost, DeadlineExceeded } from "./enkaku.js"
import { find, findIn } from "./page.js"

const TIMEOUT = 10_000 // ms

export class Services {
  #client
  #calls
  #known = "" // as JSON
  #list = find("services", HTMLUListElement)
  #row = find("service-row", HTMLTemplateElement)

  /**
   * @param {import("./client.js").DashboardClient} client
   * @param {import("./calls.js").Calls} calls
   * @param {readonly string[]} known The names of services, until the server says what it has.
   */
  constructor(client, calls, known) {
    this.#client = client
    this.#calls = calls
    this.#show(known)
    const form = find("restart-form", HTMLFormElement)
    const field = find("service", HTMLInputElement)
    const button = find("restart", HTMLButtonElement)
    const answer = find("restart-answer", HTMLOutputElement)
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      void this.#restart(field.value, button, answer)
    })
  }

  /** @param {readonly string[]} names */
  #show(names) {
    const known = JSON.stringify(names)
    if (known === this.#known) return
    this.#known = known
    this.#list.replaceChildren(...names.map((name) => this.#rowOf(name)))
  }

  /** @param {string} name */
  #rowOf(name) {
    const row = findIn(/** @type {DocumentFragment} */ (this.#row.content.cloneNode(true)), "li", HTMLLIElement)
    const button = findIn(row, "button", HTMLButtonElement)
    const answer = findIn(row, "output", HTMLOutputElement)
    findIn(row, ".service", HTMLElement).textContent = name
    button.setAttribute("aria-label", `Restart ${name}`)
    button.addEventListener("click", () => void this.#restart(name, button, answer))
    return row
  }

  /**
   * @param {string} service
   * @param {HTMLButtonElement} button
   * @param {HTMLOutputElement} answer
   */
  async #restart(service, button, answer) {
    if (button.ariaBusy === "true") return
    button.ariaBusy = "true"
    answer.dataset.outcome = "waiting"
    answer.textContent = "Waiting for the answer…"
    this.#calls.count("system/restart", "sent")
    try {
      const { success, message } = await this.#client.systemRestart({ service }, { timeout: TIMEOUT })
      this.#calls.count("system/restart", "received")
      answer.dataset.outcome = success ? "done" : "failed"
      answer.textContent = message
    } catch (error) {
      answer.dataset.outcome = "failed"
      answer.replaceChildren(...describe(error))
      if (error instanceof CallError) this.#calls.count("system/restart", "received")
      if (error instanceof SystemRestartUnknownService) this.#show(error.data.known)
    } finally {
      button.ariaBusy = "false"
    }
  }
}

/**
 * Say what went wrong. The error that the protocol declares has a type, and so has its data.
 *
 * @param {unknown} error
 * @returns {(Node | string)[]}
 */
function describe(error) {
  if (error instanceof SystemRestartUnknownService) {
    return [code(error.code), ` ${error.message}. Known: ${error.data.known.join(", ")}.`]
  }
  if (error instanceof DeadlineExceeded) return ["No answer in time. The service may restart all the same."]
  if (error instanceof ConnectionLost) return ["The connection was lost before the answer."]
  if (error instanceof CallError) return [code(error.code), ` ${error.message}`]
  return [String(error)]
}

/** @param {string} text */
function code(text) {
  const element = document.createElement("code")
  element.textContent = text
  return element
}
