/**
 * Serves the calls of a server: `connect(url, { handler: serve({ ... }) })`. callbacks.d.ts describes the interface.
 *
 * A `Session` has the open calls of one connection; each `ServedCall` runs a method. A window bounds what the server sends
 * into a channel before the method takes it, and credits of the server bound what is sent to it.
 */

import { CallError, DeadlineExceeded, DeclaredError, encode, latch, sizeOf } from "./enkaku.js"

const WINDOW = 256 * 1024 // bytes of unread items that the server may send into a channel
const CREDIT_AFTER = 20 // ms that a reader waits before it grants less
const CLOSE_TIME = 30_000 // ms that a method may go on after the close
const TIME_MAX = 2 ** 31 - 1 // ms of a timer
const CALLS_MAX = 10_000 // open calls of a connection
const KINDS = ["event", "request", "stream", "channel"]

export function serve(handler, procedures) {
	const routes = new Map()
	for (const method of Object.keys(procedures ?? handler)) {
		const { name, kind } = procedures?.[method] ?? { name: method }
		if (typeof handler[method] !== "function") throw new TypeError(`serve: the handler has no method ${method}`)
		routes.set(name, { kind, run: (param, call) => handler[method](param, call) })
	}
	if (!routes.size) throw new TypeError("serve: the handler has no methods; an object of a class needs its procedures")
	return { connected: (write) => new Session(routes, write) }
}

/** The calls of the server on one connection. `write` sends a message. */
class Session {
	#routes
	#write
	#calls = new Map()
	#ended = false

	constructor(routes, write) {
		this.#routes = routes
		this.#write = write
	}

	/** Handle a message that is for no call of this client. */
	receive(payload, text, { header }) {
		const call = this.#calls.get(payload.rid)
		if (call) call.receive(payload, text)
		else if (KINDS.includes(payload.typ) && !this.#ended) this.#open(payload, header ?? {})
	}

	/** Abort every call: the connection has ended. */
	end(error) {
		this.#ended = true
		for (const call of this.#calls.values()) call.abort(error)
	}

	#open({ typ: kind, rid, prc, prm, data }, { win, ttl, meta }) {
		const write = kind === "event" ? () => {} : this.#write // an event has no reply
		const reject = (code, msg) => write(encode({ typ: "error", rid, code, data: {}, msg }))
		const route = this.#routes.get(prc)
		if (!route || (route.kind ?? kind) !== kind) reject("EK08", "Unknown procedure")
		else if (ttl === 0) reject("EK05", "The deadline had passed before the call began")
		else if (this.#calls.size >= CALLS_MAX) reject("EK03", "Too many open calls")
		else {
			const id = rid ?? Symbol(prc)
			const call = new ServedCall(kind, prc, rid, write, () => this.#calls.delete(id))
			this.#calls.set(id, call)
			call.begin(win, ttl)
			call.run(route.run, kind === "event" ? data : prm, meta)
		}
	}
}

/** A call of the server, from its opening to its end. */
class ServedCall {
	#kind
	#name
	#rid
	#write
	#onEnd
	#ended = false
	#aborting = new AbortController()
	#closing = new AbortController()
	#due = Infinity
	#timer
	#changed = latch()
	// Sent items; counts are bytes
	#window = Infinity
	#free = Infinity
	// Received items
	#items = []
	#complete = false // whether no more will come
	#unread = 0
	#taken = 0 // for which no credit was sent

	constructor(kind, name, rid, write, onEnd) {
		this.#kind = kind
		this.#name = name
		this.#rid = rid
		this.#write = write
		this.#onEnd = onEnd
	}

	begin(win, ttl) {
		if (Number.isFinite(ttl)) this.#endAfter(ttl)
		if (!Number.isFinite(win)) return // the server has no flow control
		this.#window = this.#free = win
		this.#write(this.#encode("credit", { n: this.#kind === "channel" ? WINDOW : 0 }))
	}

	/** Run a method, and send what becomes of it. */
	async run(method, param, metadata = {}) {
		try {
			const call = { signal: this.#aborting.signal, closing: this.#closing.signal, metadata }
			if (this.#kind === "channel") call.items = this.#read()
			const returned = method(param, call)
			const streaming = this.#kind === "stream" || this.#kind === "channel"
			const result = await (streaming ? this.#sendAll(returned) : returned)
			this.#end(this.#encode("result", {}, JSON.stringify(result)))
		} catch (error) {
			this.#fail(error)
		}
	}

	receive({ typ, rsn, val, n }, text) {
		if (typ === "send" && !this.#complete) this.#onItem(val, sizeOf(text))
		else if (typ === "credit" && Number.isFinite(n)) this.#free += n
		else if (typ === "end") this.#complete = true
		else if (typ === "abort" && rsn === "Close") this.#close()
		else if (typ === "abort") this.abort(new DOMException("The server has aborted the call", "AbortError"))
		this.#wake()
	}

	/** End the call without a reply, and abort its method. */
	abort(reason) {
		if (this.#ended) return
		this.#ended = true
		clearTimeout(this.#timer)
		this.#onEnd()
		this.#aborting.abort(reason)
		this.#wake()
	}

	/** Reply with an error, and abort the method. */
	#abortWith(error) {
		if (!this.#ended) this.#write(this.#encodeError(error))
		this.abort(error)
	}

	#close() {
		this.#complete = true
		this.#endAfter(CLOSE_TIME)
		this.#closing.abort(new DOMException("The server has closed the call", "AbortError"))
	}

	#endAfter(time) {
		const due = Date.now() + time
		if (due >= this.#due) return
		this.#due = due
		clearTimeout(this.#timer)
		this.#timer = setTimeout(() => this.#abortWith(new DeadlineExceeded("The call took too long")), Math.min(time, TIME_MAX))
	}

	/** Encode a message; `json` is its value. */
	#encode(typ, more, json) {
		return encode({ typ, rid: this.#rid, ...more }, "val", json)
	}

	#encodeError({ code, data, message }) {
		return this.#encode("error", { code, data, msg: message })
	}

	/** End the call with a reply. */
	#end(reply) {
		if (this.#ended) return
		this.#write(reply)
		this.#ended = true
		clearTimeout(this.#timer)
		this.#onEnd()
	}

	#fail(error) {
		if (this.#ended) return
		try {
			if (!(error instanceof DeclaredError) || this.#kind === "event") throw error
			this.#end(this.#encodeError(error))
		} catch (failure) {
			console.error(`${this.#name}: the method has failed:`, failure)
			this.#end(this.#encodeError(new CallError("EK01", "Handler execution failed")))
		}
	}

	#wake() {
		this.#changed.resolve()
		this.#changed = latch()
	}

	/** Send what a generator yields; return what it returns. */
	async #sendAll(generator) {
		const iterator = generator[Symbol.asyncIterator]()
		try {
			let step = await iterator.next()
			for (; !step.done && !this.#ended; step = await iterator.next()) await this.#send(step.value)
			return step.value
		} finally {
			await iterator.return?.() // after an abort: its own "finally" runs
		}
	}

	async #send(item) {
		const json = JSON.stringify(item)
		if (json === undefined) throw new TypeError("an item must be a JSON value")
		const text = this.#encode("receive", {}, json)
		const size = sizeOf(text)
		while (!this.#ended && size > this.#free && this.#free < this.#window) await this.#changed
		if (this.#ended) return
		this.#free -= size
		this.#write(text)
	}

	#onItem(val, size) {
		this.#unread += size
		this.#items.push({ val, size })
		if (this.#unread > 2 * WINDOW) this.#abortWith(new CallError("EKP02", "Too many unread items"))
	}

	/** Yield the items of a channel; throw the reason if it is aborted. */
	async *#read() {
		for (;;) {
			this.#aborting.signal.throwIfAborted()
			const item = this.#items.shift()
			if (item) {
				this.#unread -= item.size
				this.#taken += item.size
				if (this.#taken >= WINDOW / 2) this.#credit()
				yield item.val
			} else if (this.#complete) {
				return
			} else {
				const timer = setTimeout(() => this.#credit(), CREDIT_AFTER) // the next item may need the whole window
				await this.#changed
				clearTimeout(timer)
			}
		}
	}

	#credit() {
		if (this.#ended || !this.#taken) return
		this.#write(this.#encode("credit", { n: this.#taken }))
		this.#taken = 0
	}
}
