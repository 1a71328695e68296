/**
 * Enkaku clients for browsers and Node, over WebSocket, or HTTP with server-sent events. enkaku.d.ts describes the interface.
 */

const WINDOW = 256 * 1024 // bytes of unread items of a call
const UNGRANTED = 64 * 1024 // bytes sent before the first credit
const UNREAD_MAX = 16 * 1024 * 1024 // bytes of unread items, without flow control
const BATCH_MAX = 1_000 // messages in a POST
const CREDIT_AFTER = 20 // ms that a reader waits before it grants less
const FLOW_TIME = 5_000 // ms without a message: no flow control
const OPEN_TIME = 10_000 // ms to connect
const PING_AFTER = 30_000 // ms of silence with open calls
const FEED_SILENCE = 45_000 // ms; the server sends a comment every 15 s
const FEED_REST = 60_000 // ms without a call, until a feed is closed
const FEED = "text/event-stream"

export class CallError extends Error {
	constructor(code, message, data = {}) {
		super(message)
		Object.assign(this, { name: new.target.name, code, data })
	}
}

export class DeclaredError extends CallError {
	constructor(message, data, code = new.target.code) {
		super(code, message, data)
	}
}

export class DeadlineExceeded extends CallError {
	constructor(message = "The deadline has passed") {
		super("EK05", message)
	}
}

export class ConnectionLost extends Error {
	constructor(message, cause) {
		super(message, { cause })
		this.name = "ConnectionLost"
	}
}

export const connect = (url, options) => new Connection(url, options)

const ignore = () => {}
const lost = (message, cause) => new ConnectionLost(message, cause)
const closed = () => lost("the connection is closed")
const invalid = () => new CallError("EK08", "The server sent an invalid message")
const utf8 = new TextEncoder()
export const sizeOf = (text) => utf8.encode(text).length + 1 // with a newline

/** Start a timer that keeps no Node process alive. */
function later(time, callback, start = setTimeout) {
	const timer = start(callback, time)
	timer.unref?.()
	return timer
}

const ping = (kind) => new Call("alive?", { name: "enkaku:alive?", kind })

export function latch() {
	let resolve
	return Object.assign(new Promise((each) => (resolve = each)), { resolve })
}

/** Join metadata; the last wins. */
export function join(...parts) {
	if (!parts.some(Boolean)) return
	const metadata = Object.assign({}, ...parts)
	for (const [name, value] of Object.entries(metadata)) {
		if (/^(enkaku|trace(parent|state)$|baggage$)/i.test(name) || typeof value !== "string")
			throw new TypeError(`metadata: ${name} is reserved, or no string`)
	}
	if (sizeOf(JSON.stringify(metadata)) > 4097) throw new TypeError("metadata: more than 4 KiB")
	return metadata
}

/** Encode a message; `json` becomes the property `key` of the payload. */
export function encode(payload, key, json, header) {
	let text = JSON.stringify(payload)
	if (json !== undefined) text = `${text.slice(0, -1)},"${key}":${json}}`
	return `{"header":${JSON.stringify({ typ: "JWT", alg: "none", ...header })},"payload":${text}}`
}

/** Open calls, or by itself waiting ones, by their ids. */
class Transport {
	calls = new Map()
	served // by callbacks.js: the calls of the server
	flow // whether the server has flow control, if known
	down = latch() // with an error, when new calls need another connection

	constructor(options) {
		this.options = options
	}

	open(call) {
		call.transport = this
		this.calls.set(call.rid, call)
	}

	release(call) {
		this.calls.delete(call.rid)
	}

	write() {}

	receive(text) {
		let message
		try {
			message = JSON.parse(text)
		} catch {}
		const payload = message?.payload
		if (!(payload instanceof Object)) return
		if (payload.typ === "leaving") this.options.onLeaving(this)
		// A server with flow control begins with a credit.
		if (payload.typ === "credit") this.flow = true
		else if (this.flow === undefined) this.setFlow(false)
		;(this.calls.get(payload.rid) ?? this.served)?.receive(payload, text, message)
	}

	setFlow(flow) {
		this.flow = flow
		for (const call of this.calls.values()) call.wake()
	}

	endCalls(error) {
		for (const call of this.calls.values()) call.end(error)
	}
}

class Connection {
	#options
	#state = "connecting"
	#listeners
	#waiting = new Transport()
	#transport
	#http
	#count = 0
	// TypeScript servers need unique ids.
	#prefix = Math.random().toString(36).slice(2, 12)
	#closing = latch()
	#ended
	#error // why it is closed

	constructor(url, { transport = "auto", reconnect = true, timeout = 60_000, onState, ...options } = {}) {
		if (!/^(auto|websocket|http)$/.test(transport)) throw new TypeError(`connect: unknown transport ${transport}`)
		const intro = { ext: ["credit", "leaving", ...(options.handler ? ["call"] : [])] }
		url = new URL(url, globalThis.location?.href)
		url.protocol = url.protocol.replace("ws", "http")
		this.#options = { ...options, url, transport, reconnect, timeout, intro, onLeaving: this.#onLeaving }
		this.#listeners = new Set(onState && [onState])
		globalThis.addEventListener?.("pagehide", this.#disconnect)
		this.#ended = this.#run()
	}

	get state() {
		return this.#state
	}

	onState(listener) {
		this.#listeners.add(listener)
		return () => this.#listeners.delete(listener)
	}

	async close() {
		this.#closing.resolve()
		await this.#ended
	}

	request(procedure, param, options) {
		return this.#call(procedure, param, { timeout: this.#options.timeout, ...options }).outcome
	}

	event = (...call) => this.request(...call)
	stream = (...call) => stream(this.#call(...call))
	channel = (...call) => channel(this.#call(...call))

	#call(procedure, param, options) {
		const call = new Call(`${this.#prefix}-${++this.#count}`, procedure, param, options)
		if (this.#state === "closed") call.end(this.#error)
		if (call.ended) return call
		this.#waiting.open(call)
		if (this.#state === "open") this.#send(call)
		return call
	}

	/** Send a waiting call: at once, unless a function returns the metadata. */
	async #send(call) {
		try {
			let { metadata } = this.#options
			if (typeof metadata === "function") metadata = await metadata()
			if (this.#state !== "open" || !this.#waiting.calls.has(call.rid)) return
			call.metadata = join(this.#transport.login, metadata, call.metadata)
			this.#waiting.release(call)
			this.#transport.open(call)
		} catch (error) {
			call.end(error)
		}
	}

	#enter(state) {
		if (state === this.#state) return
		this.#state = state
		for (const listener of this.#listeners) queueMicrotask(() => listener(state))
	}

	/** Connect again and again. */
	async #run() {
		const { reconnect } = this.#options
		const pauses = { first: 100, factor: 2, longest: 30_000, ...reconnect } // ms
		let bound = pauses.first
		let ended = false
		this.#closing.then(() => (ended = true))
		do {
			const opening = this.#connect()
			try {
				const transport = await Promise.race([opening, this.#closing])
				if (ended) opening.then((late) => late.close(), ignore)
				else {
					const since = Date.now()
					this.#transport = transport
					this.#enter("open")
					for (const call of this.#waiting.calls.values()) this.#send(call)
					this.#error = await Promise.race([transport.down, this.#closing])
					if (Date.now() - since > bound) bound = pauses.first
				}
			} catch (failure) {
				this.#error = failure
			}
			if (ended || !reconnect || [401, 403].includes(this.#error.data?.status) || this.#error.isFinal) break
			this.#enter("connecting")
			const pause = latch()
			const timer = setTimeout(pause.resolve, Math.random() * bound) // full jitter
			await Promise.race([pause, this.#closing])
			clearTimeout(timer)
			bound = Math.min(pauses.longest, bound * pauses.factor)
		} while (!ended)
		if (ended) this.#error = closed()
		this.#enter("closed")
		this.#waiting.endCalls(this.#error)
		globalThis.removeEventListener?.("pagehide", this.#disconnect)
		await this.#disconnect()
	}

	/** End all calls, also of a page that is left: a browser may keep it. */
	#disconnect = () => Promise.all([this.#transport?.close(), this.#http?.close()])

	async #connect() {
		const transport = await this.#open()
		if (this.#options.login) await (await import("./login.js")).logIn(transport, this.#options, this.#closing)
		return transport
	}

	async #open() {
		const { transport, headers } = this.#options
		const automatic = transport === "auto" && !headers && globalThis.WebSocket
		if (transport === "websocket" || automatic) {
			try {
				return await new WebSocketTransport(this.#options).connect()
			} catch (error) {
				if (!automatic) throw error // else HTTP may get through
			}
		}
		// One for all: its calls may outlive a loss.
		this.#http ??= new HttpTransport(this.#options)
		return this.#http.connect()
	}

	/** Let new calls wait for another connection. */
	#onLeaving = (transport) => {
		for (const call of transport.calls.values()) call.onLeaving()
		if (this.#options.reconnect && transport === this.#transport && this.#state === "open") this.#enter("connecting")
	}
}

export class Call {
	ended = false
	iterated = false
	transport
	opened = latch()
	outcome = latch() // the result, or a rejected promise
	#error
	#signal
	#timer
	#due
	#param
	// Received items; counts are bytes
	#items = []
	#unread = 0
	#taken = 0 // for which no credit was sent
	#dropping = false
	#readers = []
	#creditTimer
	// Sent items
	#sent = 0
	#granted = UNGRANTED
	#window // the server's first credit
	#sending = Promise.resolve()
	#changed = latch()
	#closed // why further items are rejected
	#hurried = false // so are those that wait for credit

	constructor(rid, procedure, param, { timeout, signal, metadata } = {}) {
		Object.assign(this, { rid, procedure, metadata })
		this.streaming = /^(stream|channel)$/.test(procedure.kind)
		this.outcome.catch(ignore) // no unhandled rejection
		this.#param = JSON.stringify(param)
		this.#signal = signal
		signal?.addEventListener("abort", this.#onSignal)
		if (signal?.aborted) this.end(signal.reason)
		else if (Number.isFinite(timeout)) {
			this.#due = Date.now() + timeout
			this.#timer = setTimeout(() => this.abort(new DeadlineExceeded(), "Timeout"), Math.min(timeout, 2 ** 31 - 1))
		}
	}

	opening(header) {
		const { name: prc, kind: typ } = this.procedure
		header = { ...header, meta: this.metadata }
		if (typ === "event") return encode({ typ, prc }, "data", this.#param, header)
		const win = this.streaming ? WINDOW : undefined
		const ttl = this.#due && Math.max(0, this.#due - Date.now())
		return encode({ typ, rid: this.rid, prc }, "prm", this.#param, { ...header, win, ttl })
	}

	receive(payload, text) {
		const { typ, val, n } = payload
		if (typ === "result") {
			this.outcome.resolve(val)
			this.end()
		} else if (typ === "receive" && val !== undefined && this.streaming) this.#onItem(val, sizeOf(text))
		else if (typ === "credit" && Number.isFinite(n)) this.#onCredit(n)
		else if (typ === "error" && typeof payload.code === "string") this.#onError(payload)
		else if (/^(receive|credit|error)$/.test(typ)) this.abort(invalid())
	}

	#onError({ code, msg, data }) {
		const { errors = {}, otherError: Other } = this.procedure
		if (["EK06", "EK08"].includes(code) && this.#sent) this.#write("abort") // its handler still runs
		if (Object.hasOwn(errors, code)) return this.end(new errors[code](msg, data))
		if (Other && !/^EKP?\d\d$/.test(code)) return this.end(new Other(msg, data, code))
		this.end(code === "EK05" ? new DeadlineExceeded(msg) : new CallError(code, msg, data))
	}

	end(error) {
		if (this.ended) return
		this.ended = true
		this.#error = error
		if (error !== undefined) this.outcome.resolve(Promise.reject(error))
		clearTimeout(this.#timer)
		clearTimeout(this.#creditTimer)
		this.#signal?.removeEventListener("abort", this.#onSignal)
		this.opened.resolve()
		this.wake()
		for (const resolve of this.#readers.splice(0)) resolve(this.next())
		this.transport?.release(this)
	}

	abort(error, reason) {
		if (this.ended) return
		if (this.procedure.kind !== "event") this.#write("abort", "rsn", JSON.stringify(reason?.slice(0, 1024)))
		this.#items = []
		this.end(error)
	}

	#onSignal = () => this.abort(this.#signal.reason, "Cancelled")

	close() {
		this.dropExcess()
		this.#stopSending("closed", "abort", "rsn", '"Close"')
		return this.outcome
	}

	/** Write a message after the items that can be sent now. */
	#stopSending(reason, ...message) {
		if (this.ended || this.#hurried) return
		this.#closed = reason
		this.#hurried = true
		this.wake()
		this.#inOrder(() => this.ended || this.#write(...message))
	}

	#write(typ, key, json) {
		this.transport?.write(this, encode({ typ, rid: this.rid }, key, json))
	}

	wake() {
		this.#changed.resolve()
		this.#changed = latch()
	}

	#onItem(val, size) {
		if (this.#unread > (this.transport.flow ? 2 * WINDOW : UNREAD_MAX)) {
			this.abort(new CallError("EKP02", "Too many unread items"))
		} else if (this.#readers.length) {
			this.#take(size)
			this.#readers.shift()({ done: false, value: val })
		} else if (this.#dropping && (this.#hurried || !this.iterated) && this.#unread + size > WINDOW) {
			this.#take(size)
		} else {
			this.#items.push({ val, size })
			this.#unread += size
		}
	}

	async next() {
		const item = this.#items.shift()
		if (item) {
			this.#unread -= item.size
			this.#take(item.size)
			return { done: false, value: item.val }
		}
		if (!this.ended) {
			// The next item may need the whole window.
			this.#creditTimer ??= later(CREDIT_AFTER, () => this.#credit())
			return new Promise((resolve) => this.#readers.push(resolve))
		}
		const error = this.#error
		this.#error = undefined // it is raised once
		if (error !== undefined) throw error
		return { done: true, value: undefined }
	}

	#take(size) {
		this.#taken += size
		if (this.#taken >= WINDOW / 2) this.#credit()
	}

	#credit() {
		clearTimeout(this.#creditTimer)
		this.#creditTimer = undefined
		if (this.ended || !this.transport.flow || !this.#taken) return
		this.#write("credit", "n", this.#taken)
		this.#taken = 0
	}

	/** Drop items that do not fit the window: they have no reader. */
	dropExcess() {
		if (this.#dropping || this.ended) return
		this.#dropping = true
		this.opened.then(() => this.#take(WINDOW))
	}

	send(item) {
		const json = JSON.stringify(item)
		const text = encode({ typ: "send", prc: this.procedure.name, rid: this.rid }, "val", json)
		const size = sizeOf(text)
		const refused = this.#closed
		return this.#inOrder(async () => {
			if (json === undefined) throw new TypeError("send: an item must be a JSON value")
			while (!this.ended && !refused) {
				const free = this.#granted - this.#sent
				if (size <= free || free >= (this.#window ?? UNGRANTED) || this.transport.flow === false) {
					this.#sent += size
					return this.transport.write(this, text)
				}
				if (this.#hurried) break
				await this.#changed
			}
			throw this.#error ?? new Error(`send: the channel is ${this.#closed ?? "ended"}`)
		})
	}

	endSending() {
		const refused = this.#closed
		this.#closed ??= "half-closed"
		return this.#inOrder(async () => {
			while (!this.ended && this.transport.flow === undefined) await this.#changed
			if (this.ended || refused || this.#hurried) return
			if (!this.transport.flow) throw new Error("end: the server does not support half-close")
			this.#write("end")
		})
	}

	/** The server stops: it takes no more items. */
	onLeaving() {
		if (this.procedure.kind === "channel") this.#stopSending("left by the server", "end")
	}

	#inOrder(step) {
		const done = this.#sending.then(() => this.opened).then(step)
		this.#sending = done.catch(ignore)
		return done
	}

	#onCredit(n) {
		if (this.#window) this.#granted += n
		else this.#granted = this.#window = n
		this.wake()
	}
}

const stream = (call) => ({
	[Symbol.asyncIterator]() {
		call.iterated = true
		const leave = async (value) => {
			this.abort()
			return { done: true, value }
		}
		return { next: () => call.next(), return: leave }
	},

	result() {
		if (!call.iterated) call.dropExcess()
		return call.outcome
	},

	close: () => call.close(),

	abort: (reason) => call.abort(new DOMException("The call was aborted", "AbortError"), reason),
})

const channel = (call) => ({ ...stream(call), send: (item) => call.send(item), end: () => call.endSending() })

class WebSocketTransport extends Transport {
	#socket
	#closed = latch()
	#isNew = true
	#heard = true
	#pinged = false
	#pinging

	async connect() {
		const url = new URL(this.options.url)
		url.protocol = url.protocol.replace("http", "ws")
		const socket = (this.#socket = new WebSocket(url, ["enkaku.v1"]))
		const opened = latch()
		const timer = setTimeout(() => this.#end(lost("it took too long to connect")), OPEN_TIME)
		socket.onopen = () => opened.resolve()
		socket.onclose = ({ code, reason }) => this.#end(lost(`the WebSocket was closed with code ${code} ${reason}`.trim()))
		socket.onmessage = ({ data }) => {
			this.#heard = true
			this.receive(data)
		}
		const error = await Promise.race([opened, this.down])
		clearTimeout(timer)
		if (error) throw error
		this.#pinging = later(PING_AFTER, () => this.#ping(), setInterval)
		this.served = this.options.handler?.connected((text) => this.write(undefined, text))
		if (this.served) this.open(ping("request"))
		return this
	}

	open(call) {
		super.open(call)
		this.write(call, call.opening(this.#isNew && this.options.intro))
		if (this.#isNew) later(FLOW_TIME, () => this.flow ?? this.setFlow(false))
		this.#isNew = false
		call.opened.resolve()
		if (call.procedure.kind === "event") call.receive({ typ: "result" })
	}

	write(_, text) {
		if (this.#socket.readyState === 1) this.#socket.send(text)
	}

	async close() {
		this.#end(closed())
		await this.#closed
	}

	#ping() {
		if (!this.#heard && this.#pinged) this.#end(lost("the server does not answer"))
		this.#pinged = !this.#heard && this.flow && this.calls.size
		if (this.#pinged) this.open(ping("request"))
		this.#heard = false
	}

	#end(error) {
		const socket = this.#socket
		clearInterval(this.#pinging)
		if (socket.readyState === 3) this.#closed.resolve()
		else {
			socket.onclose = this.#closed.resolve
			later(1_000, this.#closed.resolve)
			socket.close(1000)
		}
		this.down.resolve(error)
		this.endCalls(error)
		this.served?.end(error)
	}
}

/** POSTs: a request is one; streams and channels share a feed of events. */
class HttpTransport extends Transport {
	separate = true
	#feed

	/** Ask whether the server is there. */
	async connect() {
		this.down = latch()
		const { headers } = await this.#post(encode({ typ: "abort", rid: "alive?" }), { signal: AbortSignal.timeout(OPEN_TIME) })
		this.flow = headers.has("enkaku-ext")
		if (this.flow && this.options.handler) {
			if (!this.#feed) this.open(ping("stream"))
			const feed = this.#feed
			await feed.ready
			if (feed.dropped) throw feed.dropped
		}
		return this
	}

	open(call) {
		super.open(call)
		const opening = call.streaming ? this.#openStream(call) : this.#request(call)
		opening.catch((error) => {
			call.held = undefined
			call.abort(error) // its handler may run
		})
	}

	release(call) {
		super.release(call)
		call.controller?.abort()
		const { feed } = call
		if (feed?.calls.delete(call) && !feed.calls.size && !this.served) feed.rest = later(FEED_REST, () => this.#drop(feed))
	}

	/** Write a message. Without flow control, return a promise of its POST. */
	write({ feed, held }, text) {
		if (held) held.push(text)
		else if (feed && !feed.dropped) {
			feed.outbox.push(text)
			feed.flushed ??= this.#flush(feed)
			return this.flow ? undefined : feed.flushed
		}
	}

	async close() {
		const error = closed()
		this.endCalls(error)
		this.#drop(this.#feed, error)
	}

	async #post(body, { feed, accept = "application/json", type = "application/json", signal }) {
		const headers = { ...this.options.headers, accept, "content-type": type, "enkaku-ext": "1" }
		if (feed?.session) headers["enkaku-session-id"] = feed.session
		let response, text
		try {
			response = await fetch(this.options.url, { method: "POST", headers, body, signal })
			if (response.ok && accept === FEED) return response
			text = await response.text()
		} catch (failure) {
			const error = lost("the server cannot be reached", failure)
			throw signal?.aborted ? error : this.#fail(error)
		}
		const { ok, status } = response
		if (ok) return { headers: response.headers, text }
		const message = `The server answered with status ${status}: ${text.slice(0, 200)}`
		if (status !== 503 || !this.options.reconnect) throw new CallError("EK_HTTP_REQUEST_FAILED", message, { status })
		throw this.#fail(lost(message))
	}

	/** Let new calls wait for the server. */
	#fail(error) {
		if (this.options.reconnect || this.served) this.down.resolve(error)
		return error
	}

	async #request(call) {
		const { signal } = (call.controller = new AbortController())
		const feed = this.served && this.#feed // on which its handler can call
		const { text } = await this.#post(call.opening(), { feed, signal })
		if (call.procedure.kind === "event") call.receive({ typ: "result" })
		else this.receive(text)
		call.end(invalid())
	}

	async #openStream(call) {
		call.held = [] // what is written before the answer
		while (!call.ended) {
			const feed = this.#feed
			if (!feed) return this.#openFeed(call)
			await feed.ready
			if (call.ended || feed.dropped) continue
			this.#carry(feed, call)
			try {
				await this.#post(call.opening(), { feed })
				return this.#onOpened(feed, call)
			} catch (error) {
				if (!error.message.includes("Invalid session ID")) throw error
				feed.calls.delete(call) // the opening was not executed
				this.#drop(feed, lost("the server does not know the feed"))
			}
		}
	}

	#carry(feed, call) {
		clearTimeout(feed.rest)
		call.feed = feed
		feed.calls.add(call)
	}

	#onOpened(feed, call) {
		const { held } = call
		call.held = undefined
		for (const text of held) this.write(call, text)
		call.opened.resolve()
		feed.ready.resolve()
	}

	async #openFeed(call) {
		const feed = { calls: new Set(), outbox: [], ready: latch(), controller: new AbortController(), heard: Date.now() }
		this.#feed = feed
		this.#carry(feed, call)
		const check = () => this.flow && Date.now() - feed.heard > FEED_SILENCE && this.#drop(feed, lost("the server is silent"))
		feed.watch = later(FEED_SILENCE / 3, check, setInterval)
		let error = lost("the feed has ended")
		try {
			const { intro, handler } = this.options
			const response = await this.#post(call.opening(intro), { feed, accept: FEED, signal: feed.controller.signal })
			feed.session = response.headers.get("enkaku-session-id")
			this.served = handler?.connected((text) => this.write({ feed }, text))
			this.#onOpened(feed, call)
			await this.#read(feed, response.body)
		} catch (failure) {
			error = failure instanceof CallError ? failure : lost("the feed broke off", failure)
		}
		this.#drop(feed, error)
	}

	async #read(feed, body) {
		const reader = body.pipeThrough(new TextDecoderStream()).getReader()
		let text = ""
		for (;;) {
			const { done, value } = await reader.read()
			if (done) return
			feed.heard = Date.now()
			text += value
			if (!value.includes("\n")) continue
			const events = text.split(/\r?\n\r?\n/)
			text = events.pop()
			for (const event of events) {
				const lines = event.match(/^data:.*/gm) ?? [] // others are comments
				this.receive(lines.map((line) => line.replace(/^data: ?/, "")).join("\n"))
			}
		}
	}

	#drop(feed, error) {
		if (!feed || feed.dropped) return
		feed.dropped = error ?? true
		if (this.#feed === feed) this.#feed = undefined
		clearInterval(feed.watch)
		feed.controller.abort()
		feed.ready.resolve()
		for (const call of feed.calls) call.end(error)
		this.served?.end(error)
		clearTimeout(feed.rest)
		if (error instanceof ConnectionLost) this.#fail(error)
	}

	/** Send what is written, one POST after the other. */
	async #flush(feed) {
		await undefined // what is written at once leaves at once
		while (feed.outbox.length && !feed.dropped) {
			let [size, count] = [0, 0]
			do size += feed.outbox[count++].length
			while (this.flow && count < feed.outbox.length && count < BATCH_MAX && size < WINDOW)
			const batch = feed.outbox.splice(0, count)
			try {
				const type = this.flow ? "application/x-ndjson" : undefined
				const { text } = await this.#post(batch.join("\n"), { feed, type })
				for (const line of text.split("\n")) this.receive(line)
			} catch (error) {
				for (const text of batch) this.calls.get(JSON.parse(text).payload.rid)?.abort(error)
				if (this.served) this.#drop(feed, lost("a reply was not sent", error)) // its caller waits for it
			}
		}
		feed.flushed = undefined
	}
}
