/** Light or dark: as the system says, or as a person has chosen. */

import { find } from "./page.js"

const KEY = "theme"
const system = matchMedia("(prefers-color-scheme: dark)")
const button = find("theme", HTMLButtonElement)

/** @returns {boolean} */
function isDark() {
  const { theme } = document.documentElement.dataset
  return theme ? theme === "dark" : system.matches
}

function show() {
  button.ariaPressed = String(isDark())
}

/** @param {string | undefined} theme Undefined follows the system. */
function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme
  else delete document.documentElement.dataset.theme
  try {
    if (theme) localStorage.setItem(KEY, theme)
    else localStorage.removeItem(KEY)
  } catch {
    // a browser that stores nothing: the choice lasts as long as the page
  }
  show()
}

/** @returns {string | undefined} */
function stored() {
  try {
    return localStorage.getItem(KEY) ?? undefined
  } catch {
    return undefined
  }
}

choose(stored())
system.addEventListener("change", show)
button.addEventListener("click", () => {
  const dark = !isDark()
  choose(dark === system.matches ? undefined : dark ? "dark" : "light")
})
