/**
 * Logs in on a connection, before its first call and before each login expires; imported by enkaku.js for the option `login`.
 *
 * Over HTTP, each POST is a connection of its own, and a login checks the proof alone. There, its metadata is sent with each call.
 */

import { Call, CallError, join } from "./enkaku.js"

const LOGIN = { name: "enkaku:login", kind: "request" }
const MARGIN = 30_000 // ms before the expiry, for retries
const MARGIN_PART = 0.2 // or this part of the time that the login lasts, if that is less
const LEAST = 1_000 // ms between two logins
const LONGEST_PAUSE = 30_000 // ms between two attempts
const TIME_MAX = 2 ** 31 - 1 // ms of a timer

/** Log in; then keep the transport logged in, until it is lost or the connection is closed. */
export async function logIn(transport, options, closing) {
	let timer
	const renewLater = (delay, pause) => {
		timer = setTimeout(() => renew(pause), Math.min(delay, TIME_MAX))
		timer.unref?.()
	}
	const renewBefore = (left) => left === undefined || renewLater(Math.max(left - Math.min(MARGIN, left * MARGIN_PART), LEAST), LEAST)

	async function renew(pause) {
		const current = timer
		try {
			const left = await attempt(transport, options)
			if (timer === current) renewBefore(left)
		} catch (error) {
			if (timer !== current) return
			console.warn("to log in again failed, and will be tried again:", error)
			renewLater(pause, Math.min(2 * pause, LONGEST_PAUSE))
		}
	}

	try {
		renewBefore(await attempt(transport, options))
	} catch (error) {
		if (!transport.separate) transport.close()
		throw error
	}
	Promise.race([transport.down, closing]).then(() => {
		clearTimeout(timer)
		timer = undefined
	})
}

/** Log in once; return in how many ms the login expires, or undefined. */
async function attempt(transport, { login, timeout }) {
	const signal = Number.isFinite(timeout) ? AbortSignal.timeout(Math.min(timeout, TIME_MAX)) : undefined
	const late = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)))
	const metadata = join(await Promise.race([login(), late]))
	const call = new Call(`login-${Math.random().toString(36).slice(2)}`, LOGIN, undefined, { timeout, metadata })
	transport.open(call)
	try {
		const { expires_in: seconds } = Object(await call.outcome)
		if (transport.separate) transport.login = metadata
		if (Number.isFinite(seconds)) return Math.max(0, seconds * 1_000)
	} catch (error) {
		// What the server rejects once, it would reject again.
		if (error instanceof CallError) error.isFinal = ["EK02", "EK08"].includes(error.code)
		throw error
	}
}
