// Servers that answer as a test says, over HTTP and WebSocket.
import { createHash } from "node:crypto"
import { createServer } from "node:http"

export const message = (payload, header = {}) => JSON.stringify({ header: { typ: "JWT", alg: "none", ...header }, payload })

/**
 * Call `use(url)` while a server calls `answer(payload, reply, end)` with each message of a client, and `reply(text)` sends one.
 * `end()` breaks the connection off; `received` has the payloads.
 */
export async function served(answer, use, { flow = true } = {}) {
  const received = []
  const sockets = new Set()
  let feed
  const server = createServer(async (request, response) => {
    let body = ""
    for await (const part of request) body += part
    const payloads = body.split("\n").map((line) => JSON.parse(line).payload)
    if (payloads[0].rid === "alive?") payloads.pop()
    received.push(...payloads)
    const headers = flow ? { "enkaku-ext": "1" } : {}
    const [{ typ } = {}] = payloads
    if ((typ === "stream" || typ === "channel") && !request.headers["enkaku-session-id"]) {
      feed = response
      response.writeHead(200, { ...headers, "content-type": "text/event-stream", "enkaku-session-id": "s1" })
      response.write(":\n\n")
    } else if (typ !== "request") {
      response.writeHead(204, headers).end()
    } else {
      response.writeHead(200, { ...headers, "content-type": "application/json" })
    }
    for (const payload of payloads) {
      if (payload.typ === "request") answer(payload, (text) => response.end(text), () => response.destroy())
      else answer(payload, (text) => feed.write(`data: ${text}\n\n`), () => feed.destroy())
    }
  })
  server.on("upgrade", (request, socket) => {
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash("sha1").update(key).digest("base64")
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
        `sec-websocket-accept: ${accept}\r\nsec-websocket-protocol: enkaku.v1\r\n\r\n`,
    )
    socket.on("error", () => {})
    const reply = (text) => socket.write(frame(text))
    if (flow) reply(message({ typ: "credit", rid: "", n: 0 }))
    let data = Buffer.alloc(0)
    socket.on("data", (part) => {
      data = Buffer.concat([data, part])
      for (let read = unframe(data); read; read = unframe(data)) {
        data = data.subarray(read.size)
        if (read.text === undefined) socket.end(Buffer.from([0x88, 0]))
        else {
          const { payload } = JSON.parse(read.text)
          received.push(payload)
          answer(payload, reply, () => socket.destroy())
        }
      }
    })
  })
  server.on("connection", (socket) => sockets.add(socket))
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    return await use(`http://127.0.0.1:${server.address().port}/`, received)
  } finally {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
}

function frame(text) {
  const body = Buffer.from(text)
  if (body.length < 126) return Buffer.concat([Buffer.from([0x81, body.length]), body])
  const head = Buffer.from([0x81, 126, 0, 0])
  head.writeUInt16BE(body.length, 2)
  return Buffer.concat([head, body])
}

/** Read a masked frame of a client; its text is undefined if it is a close. */
function unframe(data) {
  if (data.length < 6) return undefined
  let [size, at] = [data[1] & 127, 2]
  if (size === 126) [size, at] = [data.readUInt16BE(2), 4]
  else if (size === 127) [size, at] = [Number(data.readBigUInt64BE(2)), 10]
  if (data.length < at + 4 + size) return undefined
  const body = data.subarray(at + 4, at + 4 + size).map((byte, index) => byte ^ data[at + (index % 4)])
  return { size: at + 4 + size, text: (data[0] & 15) === 8 ? undefined : Buffer.from(body).toString() }
}
