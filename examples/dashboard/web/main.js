/** The dashboard's page: connects, and keeps two calls open, of which the parts of the page show what comes. */

import { Calls } from "./calls.js"
import { Chart } from "./chart.js"
import { DashboardClient } from "./client.js"
import { CallError, connect, ConnectionLost } from "./enkaku.js"
import { Log } from "./log.js"
import { clock, find } from "./page.js"
import { Services } from "./services.js"
import "./theme.js"

const INTERVAL = 250 // ms from one sample to the next
const PAUSE = 500 // ms until a call that has ended is opened again
const PATIENCE = 2_000 // ms without a server, until the page says so
const LABELS = { connecting: "Connecting", connected: "Connected", reconnecting: "Reconnecting", closed: "Disconnected" }

const overHttp = new URLSearchParams(location.search).get("transport") === "sse"
find(overHttp ? "transport-sse" : "transport-websocket", HTMLAnchorElement).ariaCurrent = "true"
find("host", HTMLElement).textContent = location.host

const connection = connect("rpc", {
  transport: overHttp ? "http" : "websocket",
  reconnect: { longest: 3_000 }, // ms: somebody is looking
  onState: showState,
})
const client = new DashboardClient(connection)

const calls = new Calls()
const cpu = new Chart("cpu", "CPU")
const memory = new Chart("memory", "Memory")
/** @type {ReturnType<typeof client.logsWatch> | undefined} */
let watched
const log = new Log((level) => {
  const sent = () => calls.count("logs/watch", "sent")
  watched?.send({ level }).then(sent, () => {}) // a call that has ended: the next one begins with the level
})
new Services(client, calls, ["sampler", "watchdog"])

void keepOpen(
  () => client.metricsStream({ interval: INTERVAL }),
  (sample) => {
    calls.count("metrics/stream", "received")
    cpu.add(sample.timestamp, sample.cpu)
    memory.add(sample.timestamp, sample.memory)
  },
)
void keepOpen(
  () => (watched = client.logsWatch({ level: log.level })),
  (record) => {
    calls.count("logs/watch", "received")
    log.add(record)
  },
)

/**
 * Open a call again whenever it has ended. While there is no connection, a new call waits for one.
 *
 * @template Item
 * @param {() => AsyncIterable<Item>} open
 * @param {(item: Item) => void} show
 */
async function keepOpen(open, show) {
  let failed = false
  for (;;) {
    try {
      for await (const item of open()) {
        if (failed) notify("")
        failed = false
        show(item)
      }
    } catch (error) {
      if (error instanceof ConnectionLost) failed = false
      else if (error instanceof CallError) {
        failed = true
        notify(`The server answered with ${error.code}: ${error.message}`)
      } else throw error
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE))
  }
}

/** @param {import("./enkaku.js").State} state */
function showState(state) {
  const { dataset } = document.body
  const before = dataset.state
  const first = before === "connecting"
  const now = state === "open" ? "connected" : state === "connecting" && !first ? "reconnecting" : state
  if (now === before) return
  dataset.state = now
  find("connection", HTMLElement).textContent = LABELS[now]
  document.title = now === "connected" ? "Dashboard" : `${LABELS[now]} · Dashboard`
  notify(now === "reconnecting" ? `Connection lost at ${clock(Date.now())}. The page connects again by itself.` : "")
}

setTimeout(() => {
  if (connection.state !== "open") notify(`No answer over ${overHttp ? "HTTP" : "WebSocket"} so far. The page goes on trying.`)
}, PATIENCE)

/** @param {string} text What everybody should see; empty hides it. */
function notify(text) {
  const notice = find("notice", HTMLElement)
  notice.textContent = text
  notice.hidden = !text
}
